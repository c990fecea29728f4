"""
Read one person's rows: rows of the directory, and each contact with its change history.

It only uses indexed columns, so it finds less than an erasure, which also searches texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from airflow_provider_wacontacts.identifiers.identifier import Identifier
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.person_search import FoundContact, PersonSearch

__all__ = ["ContactVersion", "FieldDifference", "FoundPerson", "read_person"]

MAX_CONTACTS = 20
MAX_VERSIONS = 100
KEYS_OF_CONTACTS = """
SELECT c.version_id, coalesce(c.wa_id, c.person_key) AS person_key FROM {at}wacontacts_contact_current c
WHERE c.account_id = :account_id AND c.contact_id = :contact_id
"""
KEYS_OF_NUMBERS = " UNION ".join(
    f"SELECT number_id, person_key FROM {{at}}wacontacts_number WHERE {name} = :value"
    for name in ("number_key", "person_key", "lid_key", "user_id_key")
)
DIRECTORY = "SELECT * FROM {at}wacontacts_directory WHERE person_key IN :keys"
HISTORY = """
SELECT h.version_id, h.valid_from, h.valid_to, h.first_seen_at, h.last_seen_at, h.state, h.extraction_id, h.payload
FROM {at}wacontacts_history h
WHERE h.source = :source AND h.account = :account AND h.contact_id = :contact_id
ORDER BY h.updated_at DESC, h.last_seen_at DESC, h.row_hash DESC LIMIT :size
"""
TIMES = (
    *("turn_updated_at", "turn_last_seen_at", "green_api_updated_at", "green_api_last_seen_at"),
    *("checked_at", "identity_changed_at"),
)
TIMES_OF_HISTORY = ("valid_from", "valid_to", "first_seen_at", "last_seen_at")


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """
    A field that differs between a version and the one before it.

    :param field: its path, for example ``details.name``.
    :param before: value as JSON; ``None`` if the field is missing, like ``after``.
    """

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class ContactVersion:
    """
    A version of a contact's content.

    :param valid_to: ``None`` for the current one.
    :param changes: changes since the version before it; for the oldest version shown, all fields.
    """

    extraction_id: str | None
    state: str
    valid_from: datetime
    valid_to: datetime | None
    first_seen_at: datetime
    last_seen_at: datetime
    changes: Sequence[FieldDifference]


@dataclass(frozen=True, slots=True)
class FoundPerson:
    """
    The rows found by an identifier.

    :param row_ids: IDs of the rows that were read, without personal data, for an audit log.
    :param directory: rows of the directory, usually one.
    :param contacts: each contact, with its versions, the latest first.
    """

    row_ids: Mapping[str, Sequence[str]]
    directory: Sequence[Mapping[str, Any]]
    contacts: Sequence[tuple[FoundContact, Sequence[ContactVersion]]]


def read_person(db: Database, identifier: Identifier) -> FoundPerson:
    """Find a person by one identifier. If the store has no such person, the result is empty."""
    wanted = identifier.as_wa_id()
    contacts = PersonSearch(db).contacts([wanted])[:MAX_CONTACTS]
    key = db.keys_of({wanted.kind: wanted.value})[f"{wanted.kind}_key"]
    keys, versions, numbers = {key}, [], []
    for contact in contacts:
        for row in db.execute(KEYS_OF_CONTACTS, account_id=contact.account_id, contact_id=contact.contact_id):
            versions.append(f"{contact.account_id}:{row.version_id}")
            keys |= {row.person_key}
    for row in db.execute(KEYS_OF_NUMBERS, value=key):
        numbers.append(str(row.number_id))
        keys |= {row.person_key}
    directory = db.execute(DIRECTORY, times=TIMES, keys=[key for key in keys if key])
    return FoundPerson(
        row_ids={"versions": versions, "numbers": numbers},
        directory=[dict(row) for row in directory.mappings()],
        contacts=[(contact, _history(db, contact)) for contact in contacts],
    )


def _history(db: Database, contact: FoundContact) -> list[ContactVersion]:
    rows = db.execute(
        HISTORY,
        times=TIMES_OF_HISTORY,
        ids=("extraction_id",),
        source=contact.source,
        account=contact.account,
        contact_id=contact.contact_id,
        size=MAX_VERSIONS,
    ).all()
    fields = [dict(_fields(_decoded(row.payload))) for row in rows]
    return [
        ContactVersion(
            extraction_id=row.extraction_id,
            state=row.state,
            valid_from=row.valid_from,
            valid_to=row.valid_to,
            first_seen_at=row.first_seen_at,
            last_seen_at=row.last_seen_at,
            changes=list(_changes(before, after)),
        )
        for row, after, before in zip(rows, fields, [*fields[1:], {}], strict=True)
    ]


def _decoded(payload: Any) -> Any:
    return msgspec.json.decode(payload) if isinstance(payload, (str, bytes)) else payload


def _fields(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the JSON of each field, through nested objects."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _fields(item, f"{path}.{name}" if path else name)
    elif path:
        yield path, value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[FieldDifference]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield FieldDifference(name, before.get(name), after.get(name))
