"""Read an identifier of any kind from user input or a query's result."""

from __future__ import annotations

import re
from collections.abc import Callable

from airflow_provider_wacontacts.identifiers.identifier import Identifier, InvalidIdentifierError, Kind
from airflow_provider_wacontacts.identifiers.numbers import read_international_number, read_number, written_text
from airflow_provider_wacontacts.identifiers.whatsapp_ids import read_group, read_lid, read_user_id, read_wa_id

__all__ = ["read_contact", "read_identifier"]

MAX_CONTACT_LENGTH = 255
#: Characters that databases refuse, so no contact has them.
REFUSED = re.compile(r"[\0\ud800-\udfff]")
READERS: dict[Kind, Callable[[object], Identifier | None]] = {
    Kind.WA_ID: read_wa_id,
    Kind.LID: read_lid,
    Kind.USER_ID: read_user_id,
    Kind.GROUP: read_group,
}
NAMED_KIND = re.compile(rf"({'|'.join(Kind)}):(.*)", re.DOTALL)


def read_contact(value: object) -> Identifier | None:
    """Read a system's own ID of a contact: 1 to 255 characters; ``None`` if the value is invalid."""
    if type(value) is not str or not value.strip() or len(value) > MAX_CONTACT_LENGTH or REFUSED.search(value):
        return None
    return Identifier(Kind.CONTACT, value)


def read_identifier(value: object, region: str | None = None) -> Identifier:
    """
    Read an identifier of any kind.

    The kind is recognized by the spelling, or named by a prefix, as in ``contact:f6c4e666``, which IDs of contacts
    need. Digits only are a WhatsApp ID or, with a region, a number of that region, as in a check.

    :param value: a string, an integer, or an integral float of a spreadsheet.
    :param region: two letters, upper case, for numbers without a country code; ``None`` if unknown.
    :raises InvalidIdentifierError: the value is not an identifier. The reason does not contain the value.
    """
    if isinstance(value, str):
        if named := NAMED_KIND.fullmatch(value.strip()):
            return _read_named(Kind(named[1]), named[2].strip(), region)
        for kind, read in READERS.items():
            if ("@" in value or kind is not Kind.WA_ID) and (identifier := read(value)):
                return identifier
    if region is not None:
        return read_number(value, region)
    text = written_text(value)
    return (None if text.startswith("+") else read_wa_id(text)) or read_international_number(value)


def _read_named(kind: Kind, text: str, region: str | None) -> Identifier:
    if kind is Kind.NUMBER:
        return read_number(text, region)
    identifier = read_contact(text) if kind is Kind.CONTACT else READERS[kind](text)
    if identifier is None:
        raise InvalidIdentifierError(f"not a {kind}")
    return identifier
