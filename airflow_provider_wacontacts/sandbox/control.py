"""
The control API. Tests and demos change the sandbox with these routes, which need no token and are not counted.

If a route names a Python method, the body contains its arguments, and the response is its result. For a list of bodies,
the method is called for each, and the response is a list. Times are ISO 8601 strings with an offset. ``{"$raw": …}`` is
a :class:`~airflow_provider_wacontacts.sandbox.Raw` value.

==============================  =======================================================================================
Route                           What it does
==============================  =======================================================================================
``GET /sandbox``                time, number of contacts, behaviour, pending faults, ``whatsapp``, ``green_api``
``GET /sandbox/clock``          ``{"now": …, "rate": …}``
``POST /sandbox/clock``         ``{"now": "2022-09-13T00:00:00Z"}`` or ``{"advance_s": 3600}``; optional ``rate``:
                                sandbox seconds in a real second
``GET /sandbox/behaviour``      all fields of :class:`~airflow_provider_wacontacts.sandbox.TurnBehaviour`
``POST /sandbox/behaviour``     changes the given fields: ``{"cursor_kind": "offset", "page_size": 10}``
``DELETE /sandbox/behaviour``   restores the behaviour that the sandbox started with
``GET /sandbox/faults``         pending faults
``POST /sandbox/faults``        adds a :class:`~airflow_provider_wacontacts.sandbox.Fault`:
                                ``{"kind": "status", "on": "page", "status": 503, "times": 3}``
``DELETE /sandbox/faults``      removes all faults
``POST /sandbox/contacts``      changes a contact now, or adds one: ``{"id": 7, "details": {"name": …}}``; other fields
                                stay; optional ``at``, ``uuid``, ``extra``
``DELETE /sandbox/contacts/7``  deletes a contact now
``POST /sandbox/world``         replaces all contacts: ``{"name": "bob"}``, ``{"seed": 1, "contacts": 300, "start": …,
                                "days": 14}`` or ``{"events": [{"at": …, "id": 1, "details": …}]}``. Resets everything
                                except the clock. GREEN-API's list has the same people, or the documented example
``GET /sandbox/truth``          every :class:`~airflow_provider_wacontacts.sandbox.Event` up to now, oldest first
``GET /sandbox/requests``       counts by kind of request, ``outcomes`` within each, and ``asked``: the bodies of
                                requests for a cursor
``DELETE /sandbox/requests``    resets the counts
==============================  =======================================================================================

Below ``/sandbox/whatsapp``, methods of :class:`~airflow_provider_wacontacts.sandbox.WhatsAppClient`:

=========================  ============================================================================================
Route                      What it does
=========================  ============================================================================================
``GET``                    ``behaviour``, messages ``sent``, ``real_checks``, whether the sender is ``banned``
``… /behaviour``           as above, of :class:`~airflow_provider_wacontacts.sandbox.WhatsAppBehaviour`
``POST /people``           ``put``: sets the status of a number: ``{"number": "+1…", "status": "invalid"}``
``POST /truth``            ``truth``: the final result of a check of a number: ``{"number": "+1…"}``
``GET /numbers``           how often each number was ``asked`` and really ``checked``, and the ``calls``: real time
                           ``at``, ``size``, ``force_check``, ``blocking``
``DELETE /numbers``        resets these counts
``POST /sent``             ``send``: counts messages as sent: ``{"count": 50}``
``DELETE /tokens``         ``revoke_tokens``
``POST /identities``       ``change_identity``: ``{"wa_id": "…"}``
``POST /forgotten``        ``forget``: a message to this user is refused until the next check: ``{"wa_id": "…"}``
``POST /messages``         ``receive``: receives a user's message: ``{"wa_id": "…", "text": "…"}``
``POST /finish``           ``finish``: finishes every pending check, and makes the callbacks
``GET /callbacks``         the log of callbacks: ``body``, ``url``, ``outcomes`` (a status for each attempt, 0 for no
                           response)
``POST /callbacks``        makes a callback of the body
``DELETE /callbacks``      removes all callbacks
=========================  ============================================================================================

Below ``/sandbox/green_api``, methods of :class:`~airflow_provider_wacontacts.sandbox.GreenApiAccount`:

=====================  ================================================================================================
Route                  What it does
=====================  ================================================================================================
``GET``                ``behaviour``, number of ``contacts`` in the list now, ``used_quota``
``… /behaviour``       as above, of :class:`~airflow_provider_wacontacts.sandbox.GreenApiBehaviour`
``POST /contacts``     ``put``: sets a row: ``{"chat_id": "…@c.us", "name": "…", "contact_name": "…"}``
``POST /names``        ``rename``: ``{"chat_id": …, "name": …}``, or ``contact_name``
``POST /gone``         ``remove``: ``{"chat_id": …}``
``POST /numbers``      ``put_number``: sets what a check of a number finds: ``{"number": "+1…", "exists": false}``
``GET /numbers``       how often each number was checked
``POST /list``         replaces the list: ``{"name": "example"}``, or ``{"seed": 1, "contacts": 300, "start": …,
                       "days": 14}``
``GET /rows``          the list as it is now
``GET /truth``         every :class:`~airflow_provider_wacontacts.sandbox.ListedState` up to now, oldest first
``GET /calls``         the requests so far: real time ``at``, ``kind``, ``outcome``, ``parameters``, ``authorization``
``DELETE /calls``      resets them
=====================  ================================================================================================

An invalid body gets 400 Bad Request and ``{"error": …}``, and changes nothing. In a list, earlier bodies have been
applied.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import partial
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_wacontacts.sandbox.core.clock import read_time, write_time
from airflow_provider_wacontacts.sandbox.core.faults import Fault
from airflow_provider_wacontacts.sandbox.core.options import read_json, to_json
from airflow_provider_wacontacts.sandbox.core.raw import Raw
from airflow_provider_wacontacts.sandbox.core.responses import Response, json_response
from airflow_provider_wacontacts.sandbox.population import (
    DEFAULT_START,
    bob,
    example_contact_list,
    seeded_contact_list,
    seeded_world,
)
from airflow_provider_wacontacts.sandbox.turn.world import Event, World

if TYPE_CHECKING:
    from airflow_provider_wacontacts.sandbox.green_api.account import GreenApiAccount
    from airflow_provider_wacontacts.sandbox.server import Sandbox
    from airflow_provider_wacontacts.sandbox.whatsapp_business.client import WhatsAppClient

__all__ = ["control_routes"]

_Calls = dict[str, Callable[..., Any]]


def control_routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of the control API of a :class:`~airflow_provider_wacontacts.sandbox.Sandbox`."""
    rooms = {
        "/sandbox": _turn_calls(sandbox) | _behaviour_calls(sandbox),
        "/sandbox/whatsapp": _whatsapp_calls(sandbox) | _behaviour_calls(sandbox.whatsapp),
        "/sandbox/green_api": _green_api_calls(sandbox) | _behaviour_calls(sandbox.green_api),
    }
    routes = []
    for prefix, calls in rooms.items():
        for name, call in calls.items():
            method, _, path = name.partition(" ")
            routes.append(Route(prefix + path, _endpoint(sandbox, call), methods=[method]))
    return routes


def _behaviour_calls(owner: Any) -> _Calls:
    first = to_json(owner.behaviour)
    return {
        "GET /behaviour": lambda: owner.behaviour,
        "POST /behaviour": owner.change,
        "DELETE /behaviour": lambda: owner.change(**first),
    }


def _turn_calls(sandbox: Sandbox) -> _Calls:
    def set_clock(*, now: str | None = None, advance_s: float = 0.0, rate: float | None = None) -> dict[str, Any]:
        if now is None:
            sandbox.clock.advance(advance_s, rate=rate)
        else:
            sandbox.clock.set(now, rate=rate)
        return _clock(sandbox)

    def put_contact(
        *,
        id: int | None = None,  # noqa: A002 - Turn.io's word
        details: dict[str, Any] = {},  # noqa: B006 - never changed
        extra: dict[str, Any] = {},  # noqa: B006
        uuid: str = "",
        at: str | None = None,
    ) -> Event:
        moment = sandbox.clock.now() if at is None else read_time(at)
        return sandbox.world.upsert(id, details, at=moment, extra=extra, uuid=uuid)

    def load_world(
        *,
        name: Literal["bob"] | None = None,
        seed: int = 0,
        contacts: int = 300,
        start: str | None = None,
        days: int = 14,
        events: list[Event] | None = None,
    ) -> None:
        size: dict[str, Any] = {"contacts": contacts, "start": _start(start), "days": days}
        contact_list = example_contact_list()
        if name:
            world = bob()
        elif events is not None:
            world = World.from_events(events, seed=seed)
        else:
            world = seeded_world(seed, **size)
            contact_list = seeded_contact_list(seed, **size)
        sandbox.load(world, now=sandbox.clock.now(), contact_list=contact_list)

    return {
        "GET ": partial(_status, sandbox),
        "GET /clock": partial(_clock, sandbox),
        "POST /clock": set_clock,
        "GET /faults": sandbox.faults.to_json,
        "POST /faults": lambda **fault: sandbox.fail(read_json(fault, Fault)),
        "DELETE /faults": sandbox.faults.clear,
        "POST /contacts": put_contact,
        "DELETE /contacts/{contact_id:int}": sandbox.delete,
        "POST /world": load_world,
        "GET /truth": sandbox.truth,
        "GET /requests": sandbox.requests.to_json,
        "DELETE /requests": sandbox.requests.clear,
    }


def _whatsapp_calls(sandbox: Sandbox) -> _Calls:
    client = sandbox.whatsapp
    return {
        "GET ": partial(_whatsapp_status, client),
        "POST /people": client.put,
        "POST /truth": client.truth,
        "GET /numbers": lambda: {"asked": client.asked, "checked": client.checked, "calls": client.calls},
        "DELETE /numbers": client.clear_counts,
        "POST /sent": client.send,
        "DELETE /tokens": client.revoke_tokens,
        "POST /identities": client.change_identity,
        "POST /forgotten": client.forget,
        "POST /messages": client.receive,
        "POST /finish": client.finish,
        "GET /callbacks": client.callbacks.to_json,
        "POST /callbacks": lambda **content: client.call_back(content),
        "DELETE /callbacks": client.callbacks.clear,
    }


def _green_api_calls(sandbox: Sandbox) -> _Calls:
    account = sandbox.green_api

    def load_list(
        *,
        name: Literal["example"] | None = None,
        seed: int = 0,
        contacts: int = 300,
        start: str | None = None,
        days: int = 14,
    ) -> None:
        seeded = seeded_contact_list(seed, contacts=contacts, start=_start(start), days=days)
        account.load(example_contact_list() if name else seeded)

    return {
        "GET ": partial(_green_api_status, account),
        "POST /contacts": account.put,
        "POST /names": account.rename,
        "POST /gone": account.remove,
        "POST /numbers": account.put_number,
        "GET /numbers": lambda: account.asked_numbers,
        "POST /list": load_list,
        "GET /rows": account.rows,
        "GET /truth": account.truth,
        "GET /calls": lambda: account.calls,
        "DELETE /calls": account.clear_calls,
    }


def _clock(sandbox: Sandbox) -> dict[str, Any]:
    return {"now": sandbox.clock.now(), "rate": sandbox.clock.rate}


def _status(sandbox: Sandbox) -> dict[str, Any]:
    return {
        **_clock(sandbox),
        "contacts": len(sandbox.world),
        "behaviour": sandbox.behaviour,
        "whatsapp": _whatsapp_status(sandbox.whatsapp),
        "green_api": _green_api_status(sandbox.green_api),
        "faults": sandbox.faults.to_json(),
    }


def _whatsapp_status(client: WhatsAppClient) -> dict[str, Any]:
    counts = {"sent": client.sent, "real_checks": client.checks.real}
    return {"behaviour": client.behaviour, **counts, "banned": client.is_banned}


def _green_api_status(account: GreenApiAccount) -> dict[str, Any]:
    return {"behaviour": account.behaviour, "contacts": len(account.rows()), "used_quota": account.used_quota}


def _start(start: str | None) -> datetime:
    return read_time(start) if start else DEFAULT_START


def _endpoint(sandbox: Sandbox, call: Callable[..., Any]) -> Callable[[Request], Any]:
    async def respond(request: Request) -> Response:
        try:
            content = json.loads(await request.body() or b"{}", object_hook=_decode)
            with sandbox.lock:
                if isinstance(content, list):
                    result: Any = [call(**_arguments(call, item)) for item in content]
                else:
                    result = call(**_arguments(call, content | request.path_params))
                return Response(200, json.dumps(result, default=_encode).encode())
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            return json_response({"error": str(error)}, 400)

    return respond


def _arguments(call: Callable[..., Any], content: Any) -> dict[str, Any]:
    """
    Read the arguments of a function from JSON.

    :raises ValueError: an argument is unknown, missing or of another type.
    """
    parameters = inspect.signature(call).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(content)
    hints = get_type_hints(call) if parameters else {}
    body = msgspec.defstruct(
        "body",
        [
            (each.name, _json_type(hints[each.name]), *([] if each.default is each.empty else [each.default]))
            for each in parameters
        ],
        forbid_unknown_fields=True,
        kw_only=True,
    )
    return msgspec.structs.asdict(msgspec.convert(content, body))


def _json_type(hint: Any) -> Any:
    """Remove ``datetime`` from a union with ``str``: the function parses the string."""
    if get_origin(hint) in (Union, UnionType) and {str, datetime} <= set(get_args(hint)):
        return Union[tuple(each for each in get_args(hint) if each is not datetime)]  # noqa: UP007
    return hint


def _decode(values: dict[str, Any]) -> Any:
    return Raw(str(values["$raw"]).encode("latin-1")) if set(values) == {"$raw"} else values


def _encode(value: Any) -> Any:
    if isinstance(value, Raw):
        return {"$raw": value.content.decode("latin-1")}
    if isinstance(value, datetime):
        return write_time(value)
    if isinstance(value, bytes):
        return json.loads(value)
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    raise TypeError(f"{type(value).__name__} is not JSON")
