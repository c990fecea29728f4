"""
The routes by which tests and demos move the GREEN-API account. They ask for no token and are not counted.

========================================  =============================================================================
route                                     what it does
========================================  =============================================================================
``GET /sandbox/green_api``                ``behaviour``, number of ``contacts`` in the list now, ``used_quota``
``GET /sandbox/green_api/behaviour``      all fields of :class:`~airflow_provider_wacontacts.sandbox.GreenApiBehaviour`
``POST /sandbox/green_api/behaviour``     changes those that are given: ``{"state": "notAuthorized"}``
``DELETE /sandbox/green_api/behaviour``   back to how the sandbox was started
``POST /sandbox/green_api/contacts``      has a contact in the list, or a list of them: ``{"id": "…@c.us", "name": "…",
                                          "contact_name": "…"}``; optional ``type``, ``extra``, ``at``; a value
                                          ``{"$raw": …}`` is sent as it stands, one character a byte (Latin-1).
                                          Answers the states that it made
``POST /sandbox/green_api/names``         renames, one or a list: ``{"id": …, "name": …}``, or ``contact_name``; ``at``
``POST /sandbox/green_api/gone``          has one, or a list of them, no longer in the list: ``{"id": …}``; ``at``
``POST /sandbox/green_api/list``          another list: ``{"name": "example"}``, or ``{"seed": 1, "contacts": 300,
                                          "start": …, "days": 14, "changing_share": 0.3}``
``GET /sandbox/green_api/rows``           the list as it truly is now
``GET /sandbox/green_api/truth``          every state up to now, oldest first: ``at``, ``id``, and the ``row``, which
                                          is null where the list no longer held it
``GET /sandbox/green_api/calls``          the requests so far: real time ``at``, ``kind``, ``outcome``, ``parameters``,
                                          and whether they came with ``authorization``
``DELETE /sandbox/green_api/calls``       forgets them
========================================  =============================================================================

A body that cannot be understood is answered with 400 and ``{"error": …}``, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from airflow_provider_wacontacts.sandbox.behaviour import to_json
from airflow_provider_wacontacts.sandbox.clock import read_time, write_time
from airflow_provider_wacontacts.sandbox.green_api_account import GreenApiAccount
from airflow_provider_wacontacts.sandbox.green_api_list import ContactList, ListedState
from airflow_provider_wacontacts.sandbox.green_api_population import example_contact_list, seeded_contact_list
from airflow_provider_wacontacts.sandbox.population import DEFAULT_START
from airflow_provider_wacontacts.sandbox.whatsapp_control import only
from airflow_provider_wacontacts.sandbox.world import Raw, as_json, from_json

__all__ = ["GreenApiControl"]

_LIST_ARGUMENTS = {"seed", "contacts", "start", "days", "changing_share"}
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "id": str,
    "name": (str, Raw, type(None)),
    "contact_name": (str, Raw, type(None)),
    "type": str,
    "extra": dict,
    "at": str,
}


class GreenApiControl:
    """The control routes of one account."""

    def __init__(self, account: GreenApiAccount) -> None:
        self._account = account
        self._first_behaviour = account.behaviour

    def calls(self) -> list[tuple[str, str, Callable[[Any], Any]]]:
        """Give method, path below ``/sandbox`` and function of each route; the function takes the body as read."""
        here = "/green_api"
        return [
            ("GET", here, self.status),
            ("GET", here + "/behaviour", self._behaviour),
            ("POST", here + "/behaviour", self._change_behaviour),
            ("DELETE", here + "/behaviour", self._reset_behaviour),
            ("POST", here + "/contacts", self._put),
            ("POST", here + "/names", self._rename),
            ("POST", here + "/gone", self._remove),
            ("POST", here + "/list", self._load),
            ("GET", here + "/rows", self._rows),
            ("GET", here + "/truth", self._truth),
            ("GET", here + "/calls", self._calls),
            ("DELETE", here + "/calls", self._clear_calls),
        ]

    def status(self, _given: Any) -> dict[str, Any]:
        """Tell the behaviour, how many contacts there are now, and how much of the quota is used."""
        account = self._account
        return {
            "behaviour": to_json(account.behaviour),
            "contacts": len(account.rows()),
            "used_quota": account.used_quota,
        }

    def load_beside(self, world: Mapping[str, Any]) -> None:
        """Put the list in place that goes with one of Turn's worlds, as the route for these takes them."""
        seeded = world.keys() & {"name", "events"} == set()
        names = _LIST_ARGUMENTS & world.keys()
        self._account.load(_read_list({name: world[name] for name in names} if seeded else {"name": "example"}))

    def _behaviour(self, _given: Any) -> dict[str, Any]:
        return to_json(self._account.behaviour)

    def _change_behaviour(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return to_json(self._account.change(**given))

    def _reset_behaviour(self, _given: Any) -> dict[str, Any]:
        return to_json(self._account.change(**to_json(self._first_behaviour)))

    def _put(self, given: Any) -> list[dict[str, Any]]:
        items = [_item(item, "name", "contact_name", "type", "extra") for item in _listed(given)]
        return [_describe(self._account.put(item.pop("id"), **item)) for item in items]

    def _rename(self, given: Any) -> list[dict[str, Any]]:
        items = self._known([_item(item, "name", "contact_name") for item in _listed(given)])
        return [_describe(self._account.rename(item.pop("id"), **item)) for item in items]

    def _remove(self, given: Any) -> list[dict[str, Any]]:
        items = self._known([_item(item) for item in _listed(given)])
        return [_describe(self._account.remove(item.pop("id"), **item)) for item in items]

    def _known(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        unknown = [item["id"] for item in items if self._account.find(item["id"], item.get("at")) is None]
        if unknown:
            raise LookupError(f"not in the list: {', '.join(unknown)}")
        return items

    def _load(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self._account.load(_read_list(given))
        return self.status({})

    def _rows(self, _given: Any) -> list[dict[str, Any]]:
        return [as_json(row) for row in self._account.rows()]

    def _truth(self, _given: Any) -> list[dict[str, Any]]:
        return [_describe(state) for state in self._account.truth()]

    def _calls(self, _given: Any) -> list[dict[str, Any]]:
        return [asdict(call) for call in self._account.calls]

    def _clear_calls(self, _given: Any) -> list[Any]:
        self._account.clear_calls()
        return []


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _item(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Read what is told of one contact, by the names of the account's arguments."""
    only(given, "id", "at", *names)
    if "id" not in given:
        raise ValueError("id is missing")
    item: dict[str, Any] = from_json(given)
    wrong = sorted(name for name, value in item.items() if not isinstance(value, _TYPES[name]))
    if wrong:
        raise TypeError(f"of another type: {', '.join(wrong)}")
    if "at" in item:
        item["at"] = read_time(item["at"])
    if "extra" in item:
        item["extra"] = from_json(item["extra"])
    return item


def _describe(state: ListedState) -> dict[str, Any]:
    row = None if state.contact is None else as_json(state.contact.row())
    return {"at": write_time(state.at), "id": state.id, "row": row}


def _read_list(given: Mapping[str, Any]) -> ContactList:
    only(given, "name", *_LIST_ARGUMENTS)
    if given.get("name") == "example":
        return example_contact_list()
    if "name" in given:
        raise ValueError("the list with a name is example")
    arguments = {**given, "start": read_time(given.get("start", DEFAULT_START))}
    return seeded_contact_list(arguments.pop("seed", 0), **arguments)
