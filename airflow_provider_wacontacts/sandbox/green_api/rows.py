"""The list as JSON: the contract's rows, and the variations that a behaviour sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

import msgspec

from airflow_provider_wacontacts.sandbox.core.raw import Raw
from airflow_provider_wacontacts.sandbox.green_api.behaviour import GreenApiBehaviour
from airflow_provider_wacontacts.sandbox.green_api.contact_list import ListedContact

__all__ = ["shown", "write_list"]


def shown(contacts: Iterable[ListedContact], behaviour: GreenApiBehaviour) -> list[ListedContact]:
    """Return the contacts in the list."""
    if behaviour.shown_share >= 1:
        return list(contacts)
    return [contact for contact in contacts if _share(contact, behaviour) < behaviour.shown_share]


def write_list(contacts: Iterable[ListedContact], behaviour: GreenApiBehaviour) -> bytes:
    """Return the body of a response. 200,000 contacts take less than a second."""
    rows = [_row(contact) for contact in contacts]
    rows += [msgspec.Raw(text.encode()) for text in behaviour.odd_rows]
    try:
        return msgspec.json.encode(rows)
    except UnicodeEncodeError:
        return b"[%s]" % b",".join(_encode(row) for row in rows)


def _row(contact: ListedContact) -> object:
    return {
        key: msgspec.Raw(value.content) if isinstance(value, Raw) else value for key, value in contact.row().items()
    }


def _encode(row: object) -> bytes:
    """Encode a row. Lone surrogates, which the fast encoder refuses, are escaped."""
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        members = row.items() if isinstance(row, dict) else ()
        return b"{%s}" % b",".join(_encode_value(key) + b":" + _encode_value(value) for key, value in members)


def _encode_value(value: object) -> bytes:
    return bytes(value) if isinstance(value, msgspec.Raw) else json.dumps(value).encode()


def _share(contact: ListedContact, behaviour: GreenApiBehaviour) -> float:
    text = f"{behaviour.seed}:shown:{contact.id}".encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()) / 2**32
