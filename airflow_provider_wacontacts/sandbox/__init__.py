"""
Local mock servers of Turn.io, the WhatsApp Business API and GREEN-API, for demos and tests.

In a test, over a real socket of the loopback interface::

    from airflow_provider_wacontacts.sandbox import Fault, Sandbox, TurnBehaviour, bob

    with Sandbox(bob(), now="2022-09-13T08:00:00Z", behaviour=TurnBehaviour(cursor_kind="offset")) as sandbox:
        sandbox.clock.set("2022-09-14T00:00:00Z")
        sandbox.change(page_size=2, last_page="null")
        sandbox.fail(Fault(on="page", kind="cut"))
        ...                                    # fetch from sandbox.url with the token sandbox.token
        assert sandbox.requests.count("page") == 3

The same process serves the WhatsApp Business API under ``/v1/users/login``, ``/v1/contacts`` and
``/v1/contacts/<wa_id>/identity``::

    with Sandbox(whatsapp=WhatsAppBehaviour(sender="+919876500000", processing_answers=2)) as sandbox:
        sandbox.whatsapp.put("+919876500001", "invalid")
        sandbox.fail(Fault(on="check", kind="status", status=503, code=1016))
        ...                                    # check numbers with the token sandbox.whatsapp.behaviour.token
        assert sandbox.asked_numbers["+919876500001"] == 1
        sandbox.whatsapp.finish()              # callback bodies of numbers that are processing

And GREEN-API's methods under ``/waInstance<idInstance>/<method>/<apiTokenInstance>``, for an account whose list of
contacts changes with the sandbox's clock::

    with Sandbox(green_api=GreenApiBehaviour(empty_answers=2), contact_list=seeded_contact_list(7)) as sandbox:
        sandbox.green_api.put("447700900123@c.us", name="Zorblatt", contact_name="Zorblatt Glimworthy")
        sandbox.green_api.rename("447700900123@c.us", name="Quillimar", at="2022-09-20T00:00:00Z")
        sandbox.green_api.remove("447700900123@c.us", at="2022-09-21T00:00:00Z")
        sandbox.fail(Fault(on="contacts", kind="status", status=400, message="Instance is deleted"))
        ...                                    # request contacts with sandbox.green_api.behaviour.token
        assert [call.outcome for call in sandbox.green_api.calls] == ["400", "200", "200", "200"]

From a shell, ``wacontacts sandbox --help``. Other processes use the control API; see
:mod:`airflow_provider_wacontacts.sandbox.control`.

The sandbox shares no code with the client, so both cannot have the same misinterpretation of the contract.
"""

from __future__ import annotations

from airflow_provider_wacontacts.sandbox.core.clock import Clock
from airflow_provider_wacontacts.sandbox.core.faults import Fault
from airflow_provider_wacontacts.sandbox.core.raw import Raw
from airflow_provider_wacontacts.sandbox.green_api.account import GreenApiAccount
from airflow_provider_wacontacts.sandbox.green_api.behaviour import GreenApiBehaviour
from airflow_provider_wacontacts.sandbox.green_api.contact_list import ContactList, ListedContact, ListedState
from airflow_provider_wacontacts.sandbox.population import bob, example_contact_list, seeded_contact_list, seeded_world
from airflow_provider_wacontacts.sandbox.server import Sandbox
from airflow_provider_wacontacts.sandbox.turn.behaviour import TurnBehaviour
from airflow_provider_wacontacts.sandbox.turn.world import Event, World
from airflow_provider_wacontacts.sandbox.whatsapp_business.behaviour import WhatsAppBehaviour
from airflow_provider_wacontacts.sandbox.whatsapp_business.client import WhatsAppClient

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
