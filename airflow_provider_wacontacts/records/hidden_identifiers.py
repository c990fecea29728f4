"""Find contacts with a repeated field that identifies a person: decoders read only the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from airflow_provider_wacontacts.records.json import UNDECODABLE, has_repeated_keys
from airflow_provider_wacontacts.records.pages import Text

__all__ = ["HiddenIdentifiers"]


class _Value:
    """Stands for any value except null."""


_VALUE = _Value()


class _Details(msgspec.Struct, gc=False):
    whatsapp_id: _Value | None = None


class _Contact(msgspec.Struct, gc=False):
    """The fields by which people are found, of all feeds."""

    id: _Value | None = None
    uuid: _Value | None = None
    phone_number: _Value | None = msgspec.field(name="phoneNumber", default=None)
    details: _Details | None = None


class HiddenIdentifiers:
    """
    Finds contacts whose JSON has identifiers that no decoder returns.

    The decoder calls a function for each value, also for those that it replaces later. If a contact has fewer values
    than calls, a field is repeated. This takes a quarter of the time of :func:`.has_repeated_keys`.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._decoder = msgspec.json.Decoder(list[_Contact], dec_hook=self._count)

    def rows(self, texts: Sequence[Text]) -> set[int]:
        """Return the indices of these contacts."""
        if not self._are_in(texts):
            return set()
        return {index for index, text in enumerate(texts) if self._are_in([text])}

    def _are_in(self, texts: Sequence[Text]) -> bool:
        self._calls = 0
        try:
            contacts = self._decoder.decode(b"[%s]" % b",".join(texts))
        except UNDECODABLE:
            return len(texts) > 1 or has_repeated_keys(bytes(texts[0]))
        values = [value for one in contacts for value in (one.id, one.uuid, one.phone_number)]
        values += [one.details.whatsapp_id for one in contacts if one.details]
        return len(values) - values.count(None) < self._calls

    def _count(self, kind: Any, value: Any) -> _Value:  # noqa: ARG002
        self._calls += 1
        return _VALUE
