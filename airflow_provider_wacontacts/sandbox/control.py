"""
The control API: routes by which tests and demos change the sandbox. They need no token and are not counted.

==============================  =======================================================================================
route                           what it does
==============================  =======================================================================================
``GET /sandbox``                time, number of contacts, behaviour, pending faults, ``whatsapp``, ``green_api``
``GET /sandbox/clock``          ``{"now": …, "rate": …}``
``POST /sandbox/clock``         ``{"now": "2022-09-13T00:00:00Z"}`` or ``{"advance_s": 3600}``; optional ``rate``:
                                sandbox seconds in a real second
``GET /sandbox/behaviour``      all fields of :class:`~airflow_provider_wacontacts.sandbox.TurnBehaviour`
``POST /sandbox/behaviour``     changes the given fields: ``{"cursor_kind": "offset", "page_size": 10}``
``DELETE /sandbox/behaviour``   restores the behaviour that the sandbox started with
``GET /sandbox/faults``         pending faults
``POST /sandbox/faults``        adds one :class:`~airflow_provider_wacontacts.sandbox.Fault` or a list of them:
                                ``{"kind": "status", "on": "page", "status": 503, "times": 3}``
``DELETE /sandbox/faults``      removes all faults
``POST /sandbox/contacts``      changes a contact now, or makes one: ``{"id": 7, "details": {"name": …}}``, or a list;
                                other fields stay; optional ``at``, ``uuid``, ``extra``; a value ``{"$raw": …}`` is
                                sent as it is, one character a byte (Latin-1). Returns the states that it made
``DELETE /sandbox/contacts/7``  deletes a contact now
``POST /sandbox/world``         replaces all contacts: ``{"name": "bob"}``, ``{"seed": 1, "contacts": 300, "start": …,
                                "days": 14, "deleted_share": 0.1}`` or
                                ``{"events": [{"at": …, "id": 1, "details": …}]}``. Forgets requests, faults and
                                everything that was set; the clock stays. GREEN-API's list follows from the same
                                arguments, or is its documentation's beside Bob and beside ``events``
``GET /sandbox/truth``          ``{"now", "contacts", "states"}``: every state up to now, oldest first
``GET /sandbox/requests``       counts by kind of request, ``outcomes`` within each, and ``asked``: the bodies of
                                requests for a cursor
``DELETE /sandbox/requests``    resets the counts
==============================  =======================================================================================

The WhatsApp Business API client, below ``/sandbox/whatsapp``:

=========================  ============================================================================================
route                      what it does
=========================  ============================================================================================
``GET``                    ``behaviour``, messages ``sent``, ``real_checks``, whether the sender is ``banned``
``… /behaviour``           as above, of :class:`~airflow_provider_wacontacts.sandbox.WhatsAppBehaviour`
``POST /people``           sets the status of a number, or of a list: ``{"number": "+1…", "status": "invalid"}``;
                           optional ``wa_id``, ``slow``, ``missing``
``POST /truth``            ``["+1…", …]``: what a check of each number finds in the end
``GET /numbers``           how often each number was ``asked`` and really ``checked``, and the ``calls``: real time
                           ``at``, ``size``, ``force_check``, ``blocking``
``DELETE /numbers``        resets these counts
``POST /sent``             ``{"count": 50}``: counts messages as sent
``DELETE /tokens``         revokes all tokens
``POST /identities``       ``{"wa_id": "…"}``: changes a user's identity now
``POST /messages``         ``{"from": "…", "text": "…"}``: receives a user's message
``POST /finish``           finishes every pending check, and makes the callbacks
``GET /callbacks``         the log of callbacks: ``body``, ``url``, ``outcomes`` (a status for each attempt, 0 for no
                           response)
``POST /callbacks``        makes a callback of the body
``DELETE /callbacks``      forgets all callbacks
=========================  ============================================================================================

The GREEN-API account, below ``/sandbox/green_api``:

=====================  ================================================================================================
route                  what it does
=====================  ================================================================================================
``GET``                ``behaviour``, number of ``contacts`` in the list now, ``used_quota``
``… /behaviour``       as above, of :class:`~airflow_provider_wacontacts.sandbox.GreenApiBehaviour`
``POST /contacts``     puts a contact into the list, or a list of them: ``{"id": "…@c.us", "name": "…", "contact_name":
                       "…"}``; optional ``type``, ``extra``, ``at``; ``{"$raw": …}`` as above
``POST /names``        renames one or a list: ``{"id": …, "name": …}``, or ``contact_name``; optional ``at``
``POST /gone``         removes one or a list: ``{"id": …}``; optional ``at``
``POST /list``         replaces the list: ``{"name": "example"}``, or ``{"seed": 1, "contacts": 300, "start": …,
                       "days": 14, "changing_share": 0.3}``
``GET /rows``          the list as it truly is now
``GET /truth``         every state up to now, oldest first: ``at``, ``id``, and the ``row``, null where it was removed
``GET /calls``         the requests so far: real time ``at``, ``kind``, ``outcome``, ``parameters``, ``authorization``
``DELETE /calls``      forgets the requests
=====================  ================================================================================================

An invalid body is answered with 400 Bad Request and ``{"error": …}``, and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import structs
from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_wacontacts.sandbox.control_bodies import (
    Clock,
    Contact,
    ListPopulation,
    Message,
    Number,
    Population,
    Removal,
    Renaming,
    Row,
    Sent,
    User,
)
from airflow_provider_wacontacts.sandbox.core.clock import read_time, write_time
from airflow_provider_wacontacts.sandbox.core.faults import Fault
from airflow_provider_wacontacts.sandbox.core.options import read_json, to_json
from airflow_provider_wacontacts.sandbox.core.raw_json import as_json, from_json
from airflow_provider_wacontacts.sandbox.core.responses import Response, json_response
from airflow_provider_wacontacts.sandbox.green_api.contact_list import ListedState
from airflow_provider_wacontacts.sandbox.turn.world import Event, World

if TYPE_CHECKING:
    from airflow_provider_wacontacts.sandbox.green_api.account import GreenApiAccount
    from airflow_provider_wacontacts.sandbox.server import Sandbox
    from airflow_provider_wacontacts.sandbox.whatsapp_business.client import WhatsAppClient

__all__ = ["control_routes"]


@dataclass(frozen=True, slots=True)
class _Call:
    """
    One route.

    :param body: the type of the request's body, a list of one type for one value or many, or None for none.
    :param change: takes the body; its result is the response unless there is a view.
    :param view: makes the response.
    """

    method: str
    path: str
    view: Callable[[], Any] | None = None
    body: Any = None
    change: Callable[[Any], Any] | None = None

    def run(self, body: Any) -> Any:
        result = self.change(body) if self.change else None
        return self.view() if self.view else result

    def read(self, content: Any) -> Any:
        if isinstance(self.body, list):
            return [read_json(item, self.body[0]) for item in (content if isinstance(content, list) else [content])]
        return content if self.body is None else read_json(content, self.body)


def control_routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of the control API of a sandbox."""
    owners = {"": sandbox, "/whatsapp": sandbox.whatsapp, "/green_api": sandbox.green_api}
    calls = [
        *_turn_calls(sandbox),
        *_whatsapp_calls(sandbox, sandbox.whatsapp, "/whatsapp"),
        *_green_api_calls(sandbox, sandbox.green_api, "/green_api"),
        *(call for path, owner in owners.items() for call in _behaviour_calls(owner, path + "/behaviour")),
    ]
    return [Route("/sandbox" + call.path, _endpoint(sandbox, call), methods=[call.method]) for call in calls]


def _endpoint(sandbox: Sandbox, call: _Call) -> Callable[[Request], Any]:
    async def respond(request: Request) -> Response:
        try:
            content = json.loads(await request.body() or b"{}")
            with sandbox.lock:
                return json_response(call.run(request.path_params or call.read(content)))
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            return json_response({"error": str(error)}, 400)

    return respond


def _behaviour_calls(owner: Any, path: str) -> list[_Call]:
    first = to_json(owner.behaviour)

    def view() -> dict[str, Any]:
        return to_json(owner.behaviour)

    return [
        _Call("GET", path, view),
        _Call("POST", path, view, dict[str, Any], lambda changes: owner.change(**changes)),
        _Call("DELETE", path, view, None, lambda _: owner.change(**first)),
    ]


def _turn_calls(sandbox: Sandbox) -> list[_Call]:
    def faults() -> list[dict[str, Any]]:
        return sandbox.faults.to_json()

    def requests() -> dict[str, Any]:
        return sandbox.requests.to_json()

    clock, status = partial(_clock, sandbox), partial(_status, sandbox)
    return [
        _Call("GET", "", status),
        _Call("GET", "/clock", clock),
        _Call("POST", "/clock", clock, Clock, lambda body: _set_clock(sandbox, body)),
        _Call("GET", "/faults", faults),
        _Call("POST", "/faults", faults, [Fault], lambda body: sandbox.fail(*body)),
        _Call("DELETE", "/faults", faults, None, lambda _: sandbox.faults.clear()),
        _Call("POST", "/contacts", None, [Contact], lambda body: [_upsert(sandbox, contact) for contact in body]),
        _Call(
            "DELETE",
            "/contacts/{contact_id:int}",
            None,
            None,
            lambda key: _describe(sandbox.world, sandbox.delete(**key)),
        ),
        _Call("POST", "/world", status, Population, lambda body: _load(sandbox, body)),
        _Call("GET", "/truth", partial(_truth, sandbox)),
        _Call("GET", "/requests", requests),
        _Call("DELETE", "/requests", requests, None, lambda _: sandbox.requests.clear()),
    ]


def _whatsapp_calls(sandbox: Sandbox, client: WhatsAppClient, path: str) -> list[_Call]:
    status, numbers, callbacks = partial(_whatsapp_status, sandbox), partial(_numbers, client), client.callbacks
    return [
        _Call("GET", path, status),
        _Call("POST", f"{path}/people", None, [Number], lambda body: [_put(client, number) for number in body]),
        _Call("POST", f"{path}/truth", None, list[str], lambda body: [asdict(client.truth(text)) for text in body]),
        _Call("GET", f"{path}/numbers", numbers),
        _Call("DELETE", f"{path}/numbers", numbers, None, lambda _: client.checks.clear_counts()),
        _Call("POST", f"{path}/sent", status, Sent, lambda body: client.send(body.count)),
        _Call("DELETE", f"{path}/tokens", status, None, lambda _: client.revoke_tokens()),
        _Call("POST", f"{path}/identities", None, User, lambda body: asdict(client.change_identity(body.wa_id))),
        _Call("POST", f"{path}/messages", None, Message, lambda body: _receive(client, body)),
        _Call("POST", f"{path}/finish", lambda: [json.loads(body) for body in client.finish()]),
        _Call("GET", f"{path}/callbacks", callbacks.to_json),
        _Call("POST", f"{path}/callbacks", None, dict[str, Any], lambda body: json.loads(client.call_back(body))),
        _Call("DELETE", f"{path}/callbacks", callbacks.to_json, None, lambda _: callbacks.clear()),
    ]


def _green_api_calls(sandbox: Sandbox, account: GreenApiAccount, path: str) -> list[_Call]:
    def calls() -> list[dict[str, Any]]:
        return [asdict(call) for call in account.calls]

    change = partial(_change_list, account)
    status = partial(_green_api_status, sandbox)
    return [
        _Call("GET", path, status),
        _Call("POST", f"{path}/contacts", None, [Row], partial(change, account.put)),
        _Call("POST", f"{path}/names", None, [Renaming], partial(change, account.rename)),
        _Call("POST", f"{path}/gone", None, [Removal], partial(change, account.remove)),
        _Call("POST", f"{path}/list", status, ListPopulation, lambda body: account.load(body.contact_list())),
        _Call("GET", f"{path}/rows", lambda: [as_json(row) for row in account.rows()]),
        _Call("GET", f"{path}/truth", lambda: [_describe_row(state) for state in account.truth()]),
        _Call("GET", f"{path}/calls", calls),
        _Call("DELETE", f"{path}/calls", calls, None, lambda _: account.clear_calls()),
    ]


def _clock(sandbox: Sandbox) -> dict[str, Any]:
    return {"now": write_time(sandbox.clock.now()), "rate": sandbox.clock.rate}


def _set_clock(sandbox: Sandbox, body: Clock) -> None:
    if body.now is None:
        sandbox.clock.advance(body.advance_s, rate=body.rate)
    else:
        sandbox.clock.set(body.now, rate=body.rate)


def _status(sandbox: Sandbox) -> dict[str, Any]:
    return {
        **_clock(sandbox),
        "contacts": len(sandbox.world),
        "behaviour": to_json(sandbox.behaviour),
        "whatsapp": _whatsapp_status(sandbox),
        "green_api": _green_api_status(sandbox),
        "faults": sandbox.faults.to_json(),
    }


def _whatsapp_status(sandbox: Sandbox) -> dict[str, Any]:
    client = sandbox.whatsapp
    behaviour = to_json(client.behaviour)
    return {
        "behaviour": behaviour,
        "sent": client.sent,
        "real_checks": client.checks.real,
        "banned": client.is_banned,
    }


def _green_api_status(sandbox: Sandbox) -> dict[str, Any]:
    account = sandbox.green_api
    behaviour = to_json(account.behaviour)
    return {"behaviour": behaviour, "contacts": len(account.rows()), "used_quota": account.used_quota}


def _upsert(sandbox: Sandbox, contact: Contact) -> dict[str, Any]:
    event = sandbox.world.upsert(
        contact.id,
        from_json(contact.details),
        at=sandbox.clock.now() if contact.at is None else read_time(contact.at),
        extra=from_json(contact.extra),
        uuid=contact.uuid,
    )
    return _describe(sandbox.world, event)


def _describe(world: World, event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "uuid": event.uuid,
        "inserted_at": write_time(world.inserted_at(event.id)),
        "updated_at": write_time(event.at),
        "deleted": event.deleted,
        "details": as_json(event.details),
        "extra": as_json(event.extra),
    }


def _load(sandbox: Sandbox, body: Population) -> None:
    sandbox.load(body.world(), now=sandbox.clock.now(), contact_list=body.contact_list())


def _truth(sandbox: Sandbox) -> dict[str, Any]:
    states = sandbox.truth()
    return {
        "now": write_time(sandbox.clock.now()),
        "contacts": len({event.id for event in states}),
        "states": [_describe(sandbox.world, event) for event in states],
    }


def _put(client: WhatsAppClient, number: Number) -> dict[str, Any]:
    return asdict(client.put(**structs.asdict(number)))


def _receive(client: WhatsAppClient, message: Message) -> Any:
    return json.loads(client.receive(message.sender, message.text))


def _numbers(client: WhatsAppClient) -> dict[str, Any]:
    calls = [asdict(call) for call in client.calls]
    return {"asked": dict(client.asked), "checked": dict(client.checked), "calls": calls}


def _change_list(
    account: GreenApiAccount, change: Callable[..., ListedState], rows: list[Removal]
) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = [from_json(structs.asdict(row)) for row in rows]
    for item in items:
        item["at"] = item["at"] and read_time(item["at"])
        if "extra" in item:
            item["extra"] = from_json(item["extra"])
        elif account.find(item["id"], item["at"]) is None:
            raise LookupError(f"Contact '{item['id']}' is not in the list.")
    return [_describe_row(change(item.pop("id"), **item)) for item in items]


def _describe_row(state: ListedState) -> dict[str, Any]:
    row = None if state.contact is None else as_json(state.contact.row())
    return {"at": write_time(state.at), "id": state.id, "row": row}
