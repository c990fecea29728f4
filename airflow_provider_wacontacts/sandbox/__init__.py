"""
A Turn.io, a WhatsApp Business API client and a GREEN-API on this machine: for demos, authors of DAGs, and tests.

In a test, over a real socket of the loopback interface::

    from airflow_provider_wacontacts.sandbox import Fault, Sandbox, TurnBehaviour, bob

    with Sandbox(bob(), now="2022-09-13T08:00:00Z", behaviour=TurnBehaviour(cursor_kind="offset")) as sandbox:
        sandbox.clock.set("2022-09-14T00:00:00Z")
        sandbox.change(page_size=2, last_page="null")
        sandbox.fail(Fault(on="page", kind="cut"))
        ...                                    # pull from sandbox.url with the token sandbox.token
        assert sandbox.requests.count("page") == 3

The same process answers what the WhatsApp Business API client does under ``/v1/users/login``, ``/v1/contacts`` and
``/v1/contacts/<wa_id>/identity``::

    with Sandbox(whatsapp=WhatsAppBehaviour(sender="+919876500000", processing_answers=2)) as sandbox:
        sandbox.whatsapp.put("+919876500001", "invalid")
        sandbox.fail(Fault(on="check", kind="status", status=503, code=1016))
        ...                                    # check numbers with the token sandbox.whatsapp.behaviour.token
        assert sandbox.asked_numbers["+919876500001"] == 1
        sandbox.whatsapp.finish()              # bodies of the callbacks for what is still processing

And GREEN-API's methods under ``/waInstance<idInstance>/<method>/<apiTokenInstance>``, for an account whose list of
contacts changes with the sandbox's clock::

    with Sandbox(green_api=GreenApiBehaviour(empty_answers=2), contact_list=seeded_contact_list(7)) as sandbox:
        sandbox.green_api.put("447700900123@c.us", name="Zorblatt", contact_name="Zorblatt Glimworthy")
        sandbox.green_api.rename("447700900123@c.us", name="Quillimar", at="2022-09-20T00:00:00Z")
        sandbox.green_api.remove("447700900123@c.us", at="2022-09-21T00:00:00Z")
        sandbox.fail(Fault(on="contacts", kind="status", status=400, message="Instance is deleted"))
        ...                                    # ask for contacts with sandbox.green_api.behaviour.token
        assert [call.outcome for call in sandbox.green_api.calls] == ["400", "200", "200", "200"]

From a shell, ``wacontacts sandbox --help``. Everything that a test does to the object, another process does through
the control routes that :mod:`airflow_provider_wacontacts.sandbox.control` lists.

The sandbox is the other side of the wire. It shares no code with the client, so that what one of the two misreads in
the contract, the other does not misread with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_wacontacts.sandbox.behaviour import Fault, TurnBehaviour
    from airflow_provider_wacontacts.sandbox.clock import Clock
    from airflow_provider_wacontacts.sandbox.green_api_account import GreenApiAccount
    from airflow_provider_wacontacts.sandbox.green_api_behaviour import GreenApiBehaviour
    from airflow_provider_wacontacts.sandbox.green_api_list import ContactList, ListedContact, ListedState
    from airflow_provider_wacontacts.sandbox.green_api_population import example_contact_list, seeded_contact_list
    from airflow_provider_wacontacts.sandbox.population import bob, seeded_world
    from airflow_provider_wacontacts.sandbox.server import Sandbox
    from airflow_provider_wacontacts.sandbox.whatsapp_behaviour import WhatsAppBehaviour
    from airflow_provider_wacontacts.sandbox.whatsapp_client import WhatsAppClient
    from airflow_provider_wacontacts.sandbox.world import Event, Raw, World

__all__ = [
    "Clock",
    "ContactList",
    "Event",
    "Fault",
    "GreenApiAccount",
    "GreenApiBehaviour",
    "ListedContact",
    "ListedState",
    "Raw",
    "Sandbox",
    "TurnBehaviour",
    "WhatsAppBehaviour",
    "WhatsAppClient",
    "World",
    "bob",
    "example_contact_list",
    "seeded_contact_list",
    "seeded_world",
]

_MODULES = {
    "Clock": "clock",
    "ContactList": "green_api_list",
    "Event": "world",
    "Fault": "behaviour",
    "GreenApiAccount": "green_api_account",
    "GreenApiBehaviour": "green_api_behaviour",
    "ListedContact": "green_api_list",
    "ListedState": "green_api_list",
    "Raw": "world",
    "Sandbox": "server",
    "TurnBehaviour": "behaviour",
    "WhatsAppBehaviour": "whatsapp_behaviour",
    "WhatsAppClient": "whatsapp_client",
    "World": "world",
    "bob": "population",
    "example_contact_list": "green_api_population",
    "seeded_contact_list": "green_api_population",
    "seeded_world": "population",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
