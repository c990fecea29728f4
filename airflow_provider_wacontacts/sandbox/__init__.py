"""
A Turn.io and a WhatsApp Business API client that run on this machine: for demos, for authors of DAGs, and for tests.

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
    from airflow_provider_wacontacts.sandbox.population import bob, seeded_world
    from airflow_provider_wacontacts.sandbox.server import Sandbox
    from airflow_provider_wacontacts.sandbox.whatsapp_behaviour import WhatsAppBehaviour
    from airflow_provider_wacontacts.sandbox.whatsapp_client import WhatsAppClient
    from airflow_provider_wacontacts.sandbox.world import Event, Raw, World

__all__ = [
    "Clock",
    "Event",
    "Fault",
    "Raw",
    "Sandbox",
    "TurnBehaviour",
    "WhatsAppBehaviour",
    "WhatsAppClient",
    "World",
    "bob",
    "seeded_world",
]

_MODULES = {
    "Clock": "clock",
    "Event": "world",
    "Fault": "behaviour",
    "Raw": "world",
    "Sandbox": "server",
    "TurnBehaviour": "behaviour",
    "WhatsAppBehaviour": "whatsapp_behaviour",
    "WhatsAppClient": "whatsapp_client",
    "World": "world",
    "bob": "population",
    "seeded_world": "population",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
