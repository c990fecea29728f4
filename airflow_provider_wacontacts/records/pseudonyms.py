"""
Fields of contacts replaced by what stands for them, before anything is written.

What stands for a value is HMAC-SHA256 under a secret: the same value has the same pseudonym in every feed, so rows can
be joined, and nobody without the secret can tell whose they are. WhatsApp ids are reduced to their digits first, since
each feed spells them in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.pseudonyms import hmac_hex
from airflow_provider_wacontacts.identifiers.wa_ids import wa_id_digits
from airflow_provider_wacontacts.records.contacts import Reject, encode, read_leniently, repair
from airflow_provider_wacontacts.records.green_api import unkept_in

__all__ = ["Pseudonymizer"]

#: What may stand behind a WhatsApp id, and stays, because it tells a person from a group.
SERVERS = frozenset({"c.us", "s.whatsapp.net", "g.us", "lid", "newsletter", "broadcast"})
USERS = frozenset({"c.us", "s.whatsapp.net", ""})
#: A number, in whatever way it is written.
DIALLED = re.compile(r"\+?(?:[\s().-]*\d){7,}[\s().-]*")
REJECTED = "pseudonymised"


class Pseudonymizer:
    """
    Puts pseudonyms into contacts.

    :param key: secret; whoever has it can find a number by trying all of them.
    :param fields: members of a contact; a dot leads into an object, as ``details.name`` does. Where there is no object
        but something else, all of that is replaced.
    :ivar fields: in order, each once.
    :raises ConfigError: an empty key, no field, or one that landing needs as it is.
    """

    def __init__(self, key: bytes, fields: Sequence[str]) -> None:
        if not key:
            raise ConfigError("the secret for pseudonyms is empty")
        if isinstance(fields, str) or not fields or not all(isinstance(field, str) and field for field in fields):
            raise ConfigError("pseudonymize is a list of one or more fields, such as ['details.name']")
        if needed := {"updated_at", "number_id", "type"} & set(fields):
            raise ConfigError(f"pseudonymize: {min(needed)} is needed as it is")
        self._key = key
        self.fields = sorted(set(fields))
        self._paths = _outermost({tuple(field.split(".")) for field in self.fields})

    def applied(self, landed: bytes | msgspec.Raw) -> bytes:
        """
        Return a landed text with pseudonyms in it. Members that are missing or null stay so.

        :raises ValueError: it is not one JSON object.
        """
        return encode(self._replaced(read_leniently(bytes(landed))))

    def apply_to_reject(self, reject: Reject) -> Reject:
        """
        Return a reject with pseudonyms in its body.

        Where that is no object, with nothing of it but a pseudonym; and, if ``id`` is a field, with those of the ids in
        it: whose row it was is not gone, and has to be known when it lands from a file, too.
        """
        try:
            return Reject(reject.reason, encode(self._replaced(repair(read_leniently(reject.body))[0])))
        except (ValueError, TypeError, RecursionError):
            ids = sorted(unkept_in([reject])) if "id" in self.fields else []
            told = [self._hash(reject.body).encode(), *(encode({"id": self.of(one)}) for one in ids)]
            return Reject(f"{reject.reason} ({REJECTED})", b" ".join(told))

    def of(self, value: Any) -> Any:
        """Return what stands for a value: a text, and ``None`` for ``None``."""
        if value is None:
            return None
        if type(value) is not str:
            return self._hash(encode(value))
        who, _, server = value.partition("@")
        if server and server not in SERVERS:
            return self._hash(value.encode())
        if server in USERS and DIALLED.fullmatch(who):
            who = wa_id_digits(who) or who
        return f"{self._hash(who.encode())}@{server}" if server else self._hash(who.encode())

    def _replaced(self, contact: Any) -> dict[str, Any]:
        if type(contact) is not dict:
            raise ValueError("not an object")
        for path in self._paths:
            self._replace(contact, *path)
        return contact

    def _replace(self, place: dict[str, Any], *path: str) -> None:
        *parents, name = path
        for parent in parents:
            inner = place.get(parent)
            if type(inner) is not dict:
                # Whatever it is, the field may be anywhere in it.
                name = parent
                break
            place = inner
        if name in place:
            place[name] = self.of(place[name])

    def _hash(self, text: bytes) -> str:
        return hmac_hex(text, self._key)


def _outermost(paths: Collection[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave out what is part of something that is replaced as a whole."""
    return sorted(path for path in paths if not any(path[:level] in paths for level in range(1, len(path))))
