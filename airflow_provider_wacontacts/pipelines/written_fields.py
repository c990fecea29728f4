"""The fields of contacts that a sync writes, and which of them as pseudonyms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from airflow_provider_wacontacts.records.drift import FieldCounter
from airflow_provider_wacontacts.records.fields import FieldSelection
from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer
from airflow_provider_wacontacts.store.fields import FieldObservation

__all__ = ["WrittenFields"]


class Contacts(Protocol):
    """Contacts as a system returned them: a page, or a snapshot."""

    def selected(self, selection: FieldSelection) -> Self:
        """Return them with the selected fields."""

    def pseudonymized(self, pseudonymizer: Pseudonymizer) -> Self:
        """Return them with pseudonyms."""


ContactsT = TypeVar("ContactsT", bound=Contacts)


@dataclass(frozen=True, slots=True)
class WrittenFields:
    """
    The fields of contacts that a sync writes.

    :param selection: the fields; ``None`` for all.
    :param pseudonyms: applied to the selected fields before they are written; ``None`` for no pseudonyms.
    """

    selection: FieldSelection | None = None
    pseudonyms: Pseudonymizer | None = None

    @property
    def options(self) -> tuple[object, object]:
        """Values that change with the rows that are written."""
        fields = tuple(self.pseudonyms.fields) if self.pseudonyms else ()
        return fields, self.selection.options if self.selection else ()

    @property
    def secret_id(self) -> str | None:
        """The ID of the pseudonyms' secret; ``None`` without pseudonyms."""
        return self.pseudonyms.secret_id if self.pseudonyms else None

    def has(self, field: str) -> bool:
        """Return whether a field is written."""
        return self.selection is None or self.selection.has(field)

    def rewrite(self, contacts: ContactsT) -> ContactsT:
        """Return contacts with only the fields that are written, pseudonymized where set."""
        selected = contacts.selected(self.selection) if self.selection else contacts
        return selected.pseudonymized(self.pseudonyms) if self.pseudonyms else selected

    def observation(self, fields: FieldCounter, declared: Mapping[str, str] | None = None) -> FieldObservation:
        """
        Return the fields found, among those that are written.

        :param declared: types by field, as declared by the source; ``None`` if it declares none.
        """
        kept = None if declared is None else {name: type_ for name, type_ in declared.items() if self.has(name)}
        return FieldObservation(fields.observed(kept), self.has)
