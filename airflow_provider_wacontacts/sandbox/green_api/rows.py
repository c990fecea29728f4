"""The list as JSON: the contract's rows, and the variations that a behaviour asks for."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable

import msgspec

from airflow_provider_wacontacts.sandbox.core.malformed import MALFORMED, Raw
from airflow_provider_wacontacts.sandbox.green_api.behaviour import GreenApiBehaviour
from airflow_provider_wacontacts.sandbox.green_api.contact_list import ListedContact

__all__ = ["in_order", "shown", "write_list"]

_NO_CONTACT_NAME: dict[str, object] = {"empty": "", "null": None}


def shown(contacts: Iterable[ListedContact], behaviour: GreenApiBehaviour) -> list[ListedContact]:
    """Return those of the contacts that the list holds."""
    if behaviour.shown_share >= 1:
        return list(contacts)
    return [contact for contact in contacts if _share("shown", contact, behaviour) < behaviour.shown_share]


def in_order(contacts: list[ListedContact], behaviour: GreenApiBehaviour, request: int) -> list[ListedContact]:
    """
    Give the contacts in the order of the list.

    :param request: its number, for an order that is another one each time.
    """
    match behaviour.order:
        case "reversed":
            return contacts[::-1]
        case "id":
            return sorted(contacts, key=lambda contact: contact.id)
        case "shuffled":
            return random.Random(f"{behaviour.seed}:{request}").sample(contacts, len(contacts))  # noqa: S311
        case "listed":
            return contacts


def write_list(contacts: Iterable[ListedContact], behaviour: GreenApiBehaviour | None = None) -> bytes:
    """
    Write the body of an answer, without filtering or sorting anything. 200,000 contacts take under a second.

    :param behaviour: says how rows are shaped; the default one if None.
    """
    behaviour = behaviour or GreenApiBehaviour()
    rows = [_row(contact, behaviour) for contact in contacts]
    rows += [msgspec.Raw(text.encode()) for text in behaviour.odd_rows]
    try:
        return msgspec.json.encode(rows)
    except UnicodeEncodeError:
        return b"[%s]" % b",".join(_encode(row) for row in rows)


def _row(contact: ListedContact, behaviour: GreenApiBehaviour) -> object:
    row = contact.row()
    if behaviour.no_contact_name != "absent":
        row.setdefault("contactName", _NO_CONTACT_NAME[behaviour.no_contact_name])
    if behaviour.extra_keys:
        row |= _extra_keys(contact)
    if _share("malformed", contact, behaviour) < behaviour.malformed_share:
        values = tuple(MALFORMED.values())
        row["malformed"] = Raw(values[int(_share("kind", contact, behaviour) * len(values))])
    return {key: msgspec.Raw(value.content) if isinstance(value, Raw) else value for key, value in row.items()}


def _extra_keys(contact: ListedContact) -> dict[str, object]:
    digits = contact.id.removesuffix("@c.us")
    number = int(digits) if digits.isdecimal() else 0
    return {"chatId": contact.id, "phoneNumber": number, "isArchive": False, "labels": [{"id": "1", "name": ""}]}


def _encode(row: object) -> bytes:
    """Write one row; unlike the other way it writes lone surrogates, as escapes."""
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        members = row.items() if isinstance(row, dict) else ()
        return b"{%s}" % b",".join(_encode_value(key) + b":" + _encode_value(value) for key, value in members)


def _encode_value(value: object) -> bytes:
    return bytes(value) if isinstance(value, msgspec.Raw) else json.dumps(value).encode()


def _share(of: str, contact: ListedContact, behaviour: GreenApiBehaviour) -> float:
    text = f"{behaviour.seed}:{of}:{contact.id}".encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()) / 2**32
