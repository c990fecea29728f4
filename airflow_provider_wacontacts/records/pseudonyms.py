"""
Pseudonyms in contacts: chosen fields are replaced by HMAC-SHA256 before anything is written.

The same value has the same pseudonym in every feed, so rows of different feeds can be joined. WhatsApp ids are reduced
to their digits first, because each feed spells them differently.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.pseudonyms import hmac_hex
from airflow_provider_wacontacts.identifiers.wa_ids import wa_id_digits
from airflow_provider_wacontacts.records.json import decode_leniently, encode, repair
from airflow_provider_wacontacts.records.pages import Text
from airflow_provider_wacontacts.records.record import Reject, ids_in_rejects

__all__ = ["Pseudonymizer"]

#: Domains that stay behind a pseudonym, because they tell a person from a group.
DOMAINS = frozenset({"c.us", "s.whatsapp.net", "g.us", "lid", "newsletter", "broadcast"})
USER_DOMAINS = frozenset({"c.us", "s.whatsapp.net", ""})
#: A phone number, however it is written.
PHONE_NUMBER = re.compile(r"\+?(?:[\s().-]*\d){7,}[\s().-]*")


class Pseudonymizer:
    """
    Replaces fields of contacts by pseudonyms.

    :param key: secret; anybody who has it can find a number by trying all of them.
    :param fields: keys of a contact; a dot leads into an object, as in ``details.name``. If there is a list or a string
        in place of the object, it is replaced as a whole.
    :ivar fields: sorted, each once.
    :raises ConfigError: an empty key, no field, or a field that the package needs in clear.
    """

    def __init__(self, key: bytes, fields: Sequence[str]) -> None:
        if not key:
            raise ConfigError("The secret for pseudonyms is empty.")
        if isinstance(fields, str) or not fields or not all(isinstance(field, str) and field for field in fields):
            raise ConfigError("`pseudonymize` must be a list of one or more fields, for example ['details.name'].")
        if needed := {"updated_at", "number_id", "type"} & set(fields):
            raise ConfigError(f"`pseudonymize` contains '{min(needed)}', which is needed in clear. Remove it.")
        self._key = key
        self.fields = sorted(set(fields))
        self._paths = _outermost({tuple(field.split(".")) for field in self.fields})

    def apply(self, text: Text) -> bytes:
        """
        Return a contact's JSON with pseudonyms in it. Fields that are missing or null stay so.

        :raises ValueError: not one JSON object.
        """
        return encode(self._replace_fields(decode_leniently(bytes(text))))

    def apply_to_reject(self, reject: Reject) -> Reject:
        """
        Return a reject with pseudonyms in its body.

        If the body is not an object, one pseudonym replaces it. If ``id`` is a field, pseudonyms of the ids in the body
        follow, so that a later import knows that these contacts still exist.
        """
        try:
            return Reject(reject.reason, encode(self._replace_fields(repair(decode_leniently(reject.body))[0])))
        except (ValueError, TypeError, RecursionError):
            ids = sorted(ids_in_rejects([reject])) if "id" in self.fields else []
            members = [encode({"id": self.value(contact_id)}) for contact_id in ids]
            body = b" ".join([self._hash(reject.body).encode(), *members])
            return Reject(f"{reject.reason} (pseudonymized)", body)

    def value(self, value: Any) -> Any:
        """Return the pseudonym of a value: 64 hexadecimal digits and the domain, if any; ``None`` for ``None``."""
        if value is None:
            return None
        if type(value) is not str:
            return self._hash(encode(value))
        local, _, domain = value.partition("@")
        if domain and domain not in DOMAINS:
            return self._hash(value.encode())
        if domain in USER_DOMAINS and PHONE_NUMBER.fullmatch(local):
            local = wa_id_digits(local) or local
        return f"{self._hash(local.encode())}@{domain}" if domain else self._hash(local.encode())

    def _replace_fields(self, contact: Any) -> dict[str, Any]:
        if type(contact) is not dict:
            raise ValueError("not an object")
        for path in self._paths:
            self._replace(contact, *path)
        return contact

    def _replace(self, parent: dict[str, Any], *path: str) -> None:
        *outer, name = path
        for key in outer:
            inner = parent.get(key)
            if type(inner) is not dict:
                # Not an object, so the field may be anywhere in it.
                name = key
                break
            parent = inner
        if name in parent:
            parent[name] = self.value(parent[name])

    def _hash(self, text: bytes) -> str:
        return hmac_hex(text, self._key)


def _outermost(paths: Collection[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Leave out fields inside another field that is replaced as a whole."""
    return sorted(path for path in paths if not any(path[:level] in paths for level in range(1, len(path))))
