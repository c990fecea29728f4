"""
Pseudonyms in contacts: replace chosen fields before anything is written.

An identifier of a person has the same pseudonym in every feed, so rows of different feeds can be joined. Other values
have the same pseudonym only for the same value of the same field.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import (
    pseudonymize,
    pseudonymize_field,
    secret_id,
    validate_secret,
)
from airflow_provider_wacontacts.identifiers.whatsapp_ids import read_group, read_lid, read_user_id, read_wa_id
from airflow_provider_wacontacts.records.json import decode_leniently, encode, repair
from airflow_provider_wacontacts.records.pages import Text
from airflow_provider_wacontacts.records.record import Reject, ids_in_rejects

__all__ = ["Pseudonymizer"]

#: Domains that are kept after a pseudonym, because they distinguish persons from groups.
DOMAINS = frozenset({"c.us", "s.whatsapp.net", "g.us", "lid", "newsletter", "broadcast"})


class Pseudonymizer:
    """
    Replaces fields of contacts with pseudonyms.

    :param secret: 16 bytes and more. With it, numbers can be found by brute force.
    :param fields: keys of a contact; a dot leads into an object, as in ``details.name``. A list or a string in place of
        the object is replaced completely.
    :ivar fields: sorted, each once.
    :raises ConfigError: the secret is too short, there is no field, or a field must not be pseudonymized.
    """

    def __init__(self, secret: bytes, fields: Sequence[str]) -> None:
        if isinstance(fields, str) or not fields or not all(isinstance(field, str) and field for field in fields):
            raise ConfigError("`pseudonymize` must be a list of one or more fields, for example ['details.name'].")
        if needed := {"updated_at", "number_id", "type"} & set(fields):
            raise ConfigError(f"`pseudonymize` contains '{min(needed)}', which cannot be pseudonymized. Remove it.")
        self._secret = validate_secret(secret)
        self.fields = sorted(set(fields))
        self._paths = _outermost({tuple(field.split(".")) for field in self.fields})

    @property
    def secret_id(self) -> str:
        """ID of the secret and of the pseudonyms' version. It does not reveal the secret."""
        return secret_id(self._secret)

    def apply(self, text: Text, identifier_fields: Collection[str]) -> bytes:
        """
        Return a contact's JSON with pseudonyms. Missing and null fields stay unchanged.

        :param identifier_fields: the fields that identify a person.
        :raises ValueError: not one JSON object.
        """
        return encode(self._replace_fields(decode_leniently(bytes(text)), identifier_fields))

    def apply_to_reject(self, reject: Reject, identifier_fields: Collection[str]) -> Reject:
        """
        Return a reject with pseudonyms in its body.

        If the body is not an object, one pseudonym replaces it. If ``id`` is a field, pseudonyms of the IDs in the body
        follow, so that a later import knows that these contacts still exist.
        """
        try:
            body = repair(decode_leniently(reject.body))[0]
            return Reject(reject.reason, encode(self._replace_fields(body, identifier_fields)))
        except (ValueError, TypeError, RecursionError):
            ids = sorted(ids_in_rejects([reject])) if "id" in self.fields else []
            members = [encode({"id": self.value("id", contact_id, identifier_fields)}) for contact_id in ids]
            body = b" ".join([pseudonymize_field("", reject.body, self._secret).encode(), *members])
            return Reject(f"{reject.reason} (pseudonymized)", body)

    def value(self, field: str, value: Any, identifier_fields: Collection[str] = ()) -> Any:
        """Return the pseudonym of a field's value; ``None`` for ``None``."""
        if value is None:
            return None
        text = value if type(value) is str else encode(value).decode()
        if field not in identifier_fields:
            return pseudonymize_field(field, text.encode(), self._secret)
        # The domains distinguish GREEN-API's IDs of persons and groups.
        domain = text.rpartition("@")[2]
        if identifier := _read(text):
            suffix = "@c.us" if identifier.kind is Kind.WA_ID and domain != text else ""
            return pseudonymize(identifier, self._secret) + suffix
        suffix = f"@{domain}" if domain in DOMAINS else ""
        return pseudonymize_field(field, text.encode(), self._secret) + suffix

    def _replace_fields(self, contact: Any, identifier_fields: Collection[str]) -> dict[str, Any]:
        if type(contact) is not dict:
            raise ValueError("not an object")
        for path in self._paths:
            self._replace(contact, path, identifier_fields)
        return contact

    def _replace(self, parent: dict[str, Any], path: tuple[str, ...], identifier_fields: Collection[str]) -> None:
        for depth, name in enumerate(path, 1):
            inner = parent.get(name)
            if depth == len(path) or type(inner) is not dict:
                # A value that is not an object may contain the field anywhere.
                if name in parent:
                    parent[name] = self.value(".".join(path[:depth]), inner, identifier_fields)
                return
            parent = inner


def _read(value: str) -> Identifier | None:
    readers = (read_wa_id, read_lid, read_user_id, read_group)
    return next((identifier for read in readers if (identifier := read(value))), None)


def _outermost(paths: Collection[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Remove fields inside another field that is replaced completely."""
    return sorted(path for path in paths if not any(path[:level] in paths for level in range(1, len(path))))
