"""
The routes by which tests and demos move the sandbox. They ask for no token and are not counted.

==============================  =======================================================================================
route                           what it does
==============================  =======================================================================================
``GET /sandbox``                time, number of contacts, behaviour, waiting faults, and what the others tell
``GET /sandbox/clock``          ``{"now": …, "rate": …}``
``POST /sandbox/clock``         ``{"now": "2022-09-13T00:00:00Z"}`` or ``{"advance_s": 3600}``, and optionally ``rate``:
                                sandbox seconds in a real one
``GET /sandbox/behaviour``      all fields of :class:`~airflow_provider_wacontacts.sandbox.TurnBehaviour`
``POST /sandbox/behaviour``     changes those that are given: ``{"cursor_kind": "offset", "page_size": 10}``
``DELETE /sandbox/behaviour``   back to how the sandbox was started
``GET /sandbox/faults``         what waits
``POST /sandbox/faults``        one :class:`~airflow_provider_wacontacts.sandbox.Fault` or a list of them:
                                ``{"kind": "status", "on": "page", "status": 503, "times": 3}``
``DELETE /sandbox/faults``      calls them off
``POST /sandbox/contacts``      changes a contact now, or makes one: ``{"id": 7, "details": {"name": …}}``, or a list;
                                other fields stay; optional ``at``, ``uuid``, ``extra``; a value ``{"$raw": …}`` is
                                sent as it stands, one character a byte (Latin-1). Answers the states that it made
``DELETE /sandbox/contacts/7``  deletes a contact now
``POST /sandbox/world``         another world: ``{"name": "bob"}``, ``{"seed": 1, "contacts": 300, "start": …,
                                "days": 14, "deleted_share": 0.1}`` or
                                ``{"events": [{"at": …, "id": 1, "details": …}]}``; all that the stand-ins were
                                asked, told and given is forgotten, the clock stays; GREEN-API's list is made of the
                                same arguments, and that of its documentation beside Bob and beside ``events``
``GET /sandbox/truth``          ``{"now", "contacts", "states"}``: every state up to now, oldest first, with
                                ``inserted_at`` and ``updated_at``
``GET /sandbox/requests``       counts by kind (``create``, ``page``, ``schemas``; ``login``, ``check``, ``identity``,
                                ``acknowledge``; ``contacts``, ``state``, ``wa_settings``; ``other``), ``outcomes``
                                within each, and ``asked``: the bodies of requests for a cursor
``DELETE /sandbox/requests``    counts anew
==============================  =======================================================================================

Those of the WhatsApp Business API client are in :mod:`airflow_provider_wacontacts.sandbox.whatsapp_control`, those of
the GREEN-API account in :mod:`airflow_provider_wacontacts.sandbox.green_api_control`.

A body that cannot be understood is answered with 400 and ``{"error": …}``, and nothing is changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_wacontacts.sandbox.behaviour import changed, fault_from_json, to_json
from airflow_provider_wacontacts.sandbox.clock import read_time, write_time
from airflow_provider_wacontacts.sandbox.front import Front
from airflow_provider_wacontacts.sandbox.green_api_account import GreenApiAccount
from airflow_provider_wacontacts.sandbox.green_api_control import GreenApiControl
from airflow_provider_wacontacts.sandbox.population import DEFAULT_START, bob, seeded_world
from airflow_provider_wacontacts.sandbox.turn import TurnApi
from airflow_provider_wacontacts.sandbox.whatsapp_client import WhatsAppClient
from airflow_provider_wacontacts.sandbox.whatsapp_control import WhatsAppControl, only
from airflow_provider_wacontacts.sandbox.wire import Answer, json_answer
from airflow_provider_wacontacts.sandbox.world import Event, World, as_json, from_json

__all__ = ["Control", "describe"]


class Control:
    """The control routes of one sandbox."""

    def __init__(self, front: Front, api: TurnApi, client: WhatsAppClient, account: GreenApiAccount) -> None:
        self._front = front
        self._api = api
        self._first_behaviour = api.behaviour
        self._client = client
        self._whatsapp = WhatsAppControl(client)
        self._green_api = GreenApiControl(account)

    def routes(self) -> list[Route]:
        """Give the control routes."""
        calls: list[tuple[str, str, Callable[[Any], Any]]] = [
            ("GET", "", self._status),
            ("GET", "/clock", self._clock),
            ("POST", "/clock", self._move_clock),
            ("GET", "/behaviour", self._behaviour),
            ("POST", "/behaviour", self._change_behaviour),
            ("DELETE", "/behaviour", self._reset_behaviour),
            ("GET", "/faults", self._faults),
            ("POST", "/faults", self._add_faults),
            ("DELETE", "/faults", self._clear_faults),
            ("POST", "/contacts", self._upsert),
            ("POST", "/world", self._load),
            ("GET", "/truth", self._truth),
            ("GET", "/requests", self._requests),
            ("DELETE", "/requests", self._clear_requests),
            *self._whatsapp.calls(),
            *self._green_api.calls(),
        ]
        routes = [Route("/sandbox" + path, self._handler(call), methods=[method]) for method, path, call in calls]
        delete = Route("/sandbox/contacts/{contact_id:int}", self._handler(self._delete), methods=["DELETE"])
        return [*routes, delete]

    def _handler(self, call: Callable[[Any], Any]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Answer:
            try:
                given = json.loads(await request.body() or b"{}")
                with self._front.lock:
                    return json_answer(call(given | request.path_params if request.path_params else given))
            except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
                return json_answer({"error": str(error)}, 400)

        return handle

    def _status(self, _given: Any) -> dict[str, Any]:
        return {
            **self._clock({}),
            "contacts": len(self._api.world),
            "behaviour": self._behaviour({}),
            "whatsapp": self._whatsapp.status({}),
            "green_api": self._green_api.status({}),
            "faults": self._faults({}),
        }

    def _clock(self, _given: Any) -> dict[str, Any]:
        return {"now": write_time(self._front.clock.now()), "rate": self._front.clock.rate}

    def _move_clock(self, given: Mapping[str, Any]) -> dict[str, Any]:
        only(given, "now", "advance_s", "rate")
        clock, rate = self._front.clock, given.get("rate")
        if "now" in given:
            clock.set(given["now"], rate=rate)
        else:
            clock.advance(given.get("advance_s", 0.0), rate=rate)
        return self._clock({})

    def _behaviour(self, _given: Any) -> dict[str, Any]:
        return to_json(self._api.behaviour)

    def _change_behaviour(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._api.behaviour = changed(self._api.behaviour, given)
        return self._behaviour({})

    def _reset_behaviour(self, _given: Any) -> dict[str, Any]:
        self._api.behaviour = self._first_behaviour
        return self._behaviour({})

    def _faults(self, _given: Any) -> list[dict[str, Any]]:
        return self._front.faults.to_json()

    def _add_faults(self, given: Any) -> list[dict[str, Any]]:
        for fault in [fault_from_json(item) for item in _listed(given)]:
            self._front.faults.add(fault)
        return self._faults({})

    def _clear_faults(self, _given: Any) -> list[dict[str, Any]]:
        self._front.faults.clear()
        return []

    def _upsert(self, given: Any) -> list[dict[str, Any]]:
        items = _listed(given)
        for item in items:
            only(item, "id", "details", "extra", "uuid", "at")
        return [describe(self._api.world, self._upsert_one(item)) for item in items]

    def _upsert_one(self, item: Mapping[str, Any]) -> Event:
        return self._api.world.upsert(
            item.get("id"),
            from_json(item.get("details", {})),
            at=read_time(item["at"]) if "at" in item else self._front.clock.now(),
            extra=from_json(item.get("extra", {})),
            uuid=item.get("uuid", ""),
        )

    def _delete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return describe(self._api.world, self._api.world.delete(given["contact_id"], at=self._front.clock.now()))

    def _load(self, given: Mapping[str, Any]) -> dict[str, Any]:
        world = _world(given)
        self._front.reset()
        self._api.load(world)
        self._client.reset()
        self._green_api.load_beside(given)
        return self._status({})

    def _truth(self, _given: Any) -> dict[str, Any]:
        now, world = self._front.clock.now(), self._api.world
        states = world.until(now)
        contacts = {event.id for event in states}
        return {
            "now": write_time(now),
            "contacts": len(contacts),
            "states": [describe(world, event) for event in states],
        }

    def _requests(self, _given: Any) -> dict[str, Any]:
        return self._front.requests.to_json()

    def _clear_requests(self, _given: Any) -> dict[str, Any]:
        self._front.requests.clear()
        return self._requests({})


def describe(world: World, event: Event) -> dict[str, Any]:
    """Tell a state as the truth route does, in JSON types."""
    return {
        "id": event.id,
        "uuid": event.uuid,
        "inserted_at": write_time(world.inserted_at(event.id)),
        "updated_at": write_time(event.at),
        "deleted": event.deleted,
        "details": as_json(event.details),
        "extra": as_json(event.extra),
    }


def _world(given: Mapping[str, Any]) -> World:
    only(given, "name", "seed", "contacts", "start", "days", "deleted_share", "events")
    if given.get("name") == "bob":
        return bob()
    if "name" in given:
        raise ValueError("the world with a name is bob")
    if "events" in given:
        return World.from_events((Event.from_json(item) for item in given["events"]), seed=given.get("seed", 0))
    return seeded_world(
        given.get("seed", 0),
        contacts=given.get("contacts", 300),
        start=read_time(given.get("start", DEFAULT_START)),
        days=given.get("days", 14),
        deleted_share=given.get("deleted_share", 0.0),
    )


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]
