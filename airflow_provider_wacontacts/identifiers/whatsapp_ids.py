"""WhatsApp's own identifiers, as spelled by the systems: WhatsApp IDs, LIDs, business-scoped user IDs, and groups."""

from __future__ import annotations

import re
from typing import NamedTuple

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import PSEUDONYM_PATTERN

__all__ = [
    "GROUP_DOMAIN",
    "IdsByKind",
    "group_creator",
    "ids_by_kind",
    "read_group",
    "read_lid",
    "read_user_id",
    "read_wa_id",
]

#: The device of a message: part of the address, not of the identity.
DEVICE = r"(?:[._][0-9]{1,3})?(?::[0-9]{1,5})?"
PATTERNS = {
    Kind.WA_ID: rf"\+?(?P<wa_id>[1-9][0-9]{{6,14}}|{PSEUDONYM_PATTERN})(?:{DEVICE}@(?:c\.us|s\.whatsapp\.net))?",
    Kind.LID: rf"(?P<lid>[1-9][0-9]{{0,19}}|{PSEUDONYM_PATTERN}){DEVICE}@(?:hosted\.)?lid",
    Kind.USER_ID: rf"(?P<user_id>(?-i:[A-Z]{{2}}\.(?:ENT\.)?[A-Za-z0-9]{{1,128}})|{PSEUDONYM_PATTERN}@user_id)",
    Kind.GROUP: rf"(?P<group>(?P<creator>[1-9][0-9]{{6,14}})-[0-9]{{1,12}}|[0-9]{{8,24}}|{PSEUDONYM_PATTERN})@g\.us",
}
COMPILED = {kind: re.compile(pattern, re.IGNORECASE | re.ASCII) for kind, pattern in PATTERNS.items()}
ANY_KIND = re.compile("|".join(f"(?:{pattern})" for pattern in PATTERNS.values()), re.IGNORECASE | re.ASCII)
GROUP_DOMAIN = "@g.us"
DOMAINS = {Kind.LID: "@lid", Kind.GROUP: GROUP_DOMAIN}
#: Recognizes a WhatsApp ID in the usual spelling, ten times faster than :func:`read_wa_id`.
is_plain_wa_id = re.compile(r"[1-9][0-9]{6,14}").fullmatch
MAX_INTEGER = 10**15 - 1


class IdsByKind(NamedTuple):
    """The identifiers of a contact that join its rows; ``None`` for a missing kind."""

    wa_id: str | None = None
    lid: str | None = None
    user_id: str | None = None


def read_wa_id(value: object) -> Identifier | None:
    """
    Read a WhatsApp ID: 7 to 15 digits, alone or with one of its domains; ``None`` if the value is invalid.

    A leading plus sign and a trailing device are removed.
    """
    return _read(value, Kind.WA_ID)


def read_lid(value: object) -> Identifier | None:
    """Read a linked ID, with its domain ``@lid``; ``None`` if the value is invalid."""
    return _read(value, Kind.LID)


def read_user_id(value: object) -> Identifier | None:
    """Read a business-scoped user ID, for example ``US.13491208655302741918``; ``None`` if the value is invalid."""
    return _read(value, Kind.USER_ID)


def read_group(value: object) -> Identifier | None:
    """Read the ID of a group, with its domain ``@g.us``; ``None`` if the value is invalid."""
    return _read(value, Kind.GROUP)


def group_creator(group: Identifier) -> Identifier | None:
    """Return the WhatsApp ID of a group's creator, the start of old group IDs; ``None`` for new ones."""
    found = COMPILED[Kind.GROUP].fullmatch(group.value) if group.kind is Kind.GROUP else None
    return Identifier(Kind.WA_ID, found["creator"]) if found and found["creator"] else None


def ids_by_kind(*values: object) -> IdsByKind:
    """
    Sort the identifiers of one contact by kind.

    :param values: strings or integers. Values that identify no person are left out; the first of a kind counts.
    """
    if len(values) == 1 and type(values[0]) is str and is_plain_wa_id(values[0]):
        return IdsByKind(values[0])
    found: dict[str, str] = {}
    for value in values:
        if type(value) is int and 0 < value <= MAX_INTEGER:
            value = str(value)  # noqa: PLW2901
        if type(value) is not str or not value:
            continue
        if is_plain_wa_id(plain := value.removesuffix("@c.us")):
            found.setdefault(Kind.WA_ID, plain)
        elif (identifier := _match(value, ANY_KIND)) and identifier.kind in IdsByKind._fields:
            found.setdefault(identifier.kind, identifier.value)
    return IdsByKind(**found)


def _read(value: object, kind: Kind) -> Identifier | None:
    return _match(value, COMPILED[kind]) if type(value) is str else None


def _match(value: str, pattern: re.Pattern[str]) -> Identifier | None:
    found = pattern.fullmatch(value.strip())
    if found is None:
        return None
    # The group that closes last: its kind, not the creator inside it.
    kind = Kind(found.lastgroup or "")
    return Identifier(kind, found[kind] + DOMAINS.get(kind, ""))
