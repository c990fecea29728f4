"""Contacts as JSON: the contract's record, and the variations that a behaviour sets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from airflow_provider_wacontacts.sandbox.core.clock import write_time
from airflow_provider_wacontacts.sandbox.core.raw import Raw
from airflow_provider_wacontacts.sandbox.turn.behaviour import TurnBehaviour
from airflow_provider_wacontacts.sandbox.turn.world import RESERVED_FIELDS, Event, World

__all__ = ["Renderer", "ScrubbingRules", "read_scrubbing_rules", "schema_fields"]

ScrubbingRules = Mapping[str, Mapping[str, str]]

_SCHEMA_TYPES = {
    "birthday": "DATETIME",
    "language": "ENUM",
    "location": "LOCATION",
    "opted_in": "BOOLEAN",
    "opted_in_at": "DATETIME",
    "last_seen_at": "DATETIME",
}


class Renderer:
    """Encodes contacts, and caches each state."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._written: dict[tuple[object, ...], bytes] = {}

    def contact(self, event: Event, behaviour: TurnBehaviour, rules: ScrubbingRules | None = None) -> bytes:
        """
        Return a contact as a JSON object.

        :param rules: rules of the request for the cursor; None for no changes.
        """
        inserted_at = self._world.inserted_at(event.id)
        if rules:
            return self._write(event, inserted_at, behaviour, rules)
        key = (event.sequence, inserted_at, behaviour.time_format, behaviour.number_id)
        written = self._written.get(key)
        if written is None:
            written = self._written[key] = self._write(event, inserted_at, behaviour, {})
        return written

    def _write(self, event: Event, inserted_at: datetime, behaviour: TurnBehaviour, rules: ScrubbingRules) -> bytes:
        number_id = self._world.number_id if behaviour.number_id is None else behaviour.number_id
        record: dict[str, object] = {
            "details": Raw(_object(_scrubbed(dict(event.details), rules))),
            "id": event.id,
            "inserted_at": write_time(inserted_at, behaviour.time_format),
            "number_id": number_id,
            "updated_at": write_time(event.at, behaviour.time_format),
            "uuid": event.uuid,
        }
        if event.deleted:
            record["is_deleted"] = True
        return _object({**record, **event.extra})


def read_scrubbing_rules(rules: object) -> ScrubbingRules:
    """
    Read ``scrubbing_rules`` of contacts: ``{"details.<field>": {"type": "hash"}}``, or ``regex`` with search, replace.

    :raises ValueError: the rules have another form.
    """
    if not isinstance(rules, dict):
        raise ValueError("scrubbing_rules is an object")  # noqa: TRY004
    for key, rule in rules.items():
        kind = rule.get("type") if isinstance(rule, dict) else None
        texts = isinstance(rule, dict) and all(isinstance(rule.get(name), str) for name in ("search", "replace"))
        if not key.startswith("details.") or not (kind == "hash" or (kind == "regex" and texts)):
            raise ValueError("a scrubbing rule is details.<field> with type hash, or type regex, search and replace")
        if kind == "regex":
            _compiled(rule["search"])
    return rules


def schema_fields(events: Iterable[Event]) -> list[dict[str, object]]:
    """Return the reserved and the custom fields of contacts, like ``GET /v1/contacts/schemas``."""
    fields = {name: _SCHEMA_TYPES.get(name, "STRING") for name in (*RESERVED_FIELDS, "last_seen_at")}
    for event in events:
        for name, value in event.details.items():
            if name not in fields or (value is not None and fields[name] == ""):
                fields[name] = _type_name(value)
    return [
        {
            "custom": name not in RESERVED_FIELDS and name != "last_seen_at",
            "default": False if name == "opted_in" else None,
            "display": name.replace("_", " ").capitalize(),
            "is_private": False,
            "name": name,
            "null": name != "opted_in",
            "type": kind or "STRING",
        }
        for name, kind in fields.items()
    ]


def _type_name(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "BOOLEAN"
    return "NUMBER" if isinstance(value, int | float) else "STRING"


def _scrubbed(details: dict[str, object], rules: ScrubbingRules) -> dict[str, object]:
    for key, rule in rules.items():
        name = key.removeprefix("details.")
        value = details.get(name)
        if value is None:
            continue
        text = value if isinstance(value, str) else _value(value).decode("utf-8", "replace")
        if rule["type"] == "hash":
            details[name] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        else:
            details[name] = _compiled(rule["search"]).sub(rule["replace"], text)
    return details


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError("search is no regular expression") from error


def _object(values: Mapping[str, object]) -> bytes:
    if not any(isinstance(value, Raw) for value in values.values()):
        return _value(values)
    return b"{%s}" % b",".join(b"%s:%s" % (_value(key), _value(value)) for key, value in values.items())


def _value(value: object) -> bytes:
    if isinstance(value, Raw):
        return value.content
    return json.dumps(value, separators=(",", ":")).encode()
