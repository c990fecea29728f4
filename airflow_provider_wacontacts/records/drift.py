"""Schema drift: find fields of contacts that are new, gone or of a new type."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, NamedTuple

__all__ = ["Drift", "FieldCounter", "KnownField", "ObservedFields", "find_drift"]

#: Objects with fields that are observed one by one.
CONTAINER = "details"
JSON_TYPES = {str: "string", bool: "boolean", dict: "object", list: "array"}
#: Limits of recorded names: a name with more digits, characters or signs may be a person's identifier.
NAME = re.compile(r"(?!.*\d{5})[^\W\d][\w .:-]{0,63}")
MAX_FIELDS = 1_000
#: All contacts are searched for new names. Types and shares come from a sample: the first contacts, and every 64th one.
FIRST_CONTACTS = 20
SAMPLE_EVERY = 64
#: A field is gone if it is missing by chance with less than this probability.
CHANCE = 1e-6
#: Above this count, counts are halved, so that shares follow recent contacts.
MAX_COUNTED = 10_000


class ObservedFields(NamedTuple):
    """
    The fields of some contacts.

    :param contacts: contacts that were searched for fields.
    :param sampled: contacts with counted fields.
    :param counts: sampled contacts with each field, including null values.
    :param json_types: JSON types by field, without null.
    :param declared: types by field, as declared by the source; ``None`` if it declares none.
    """

    contacts: int
    sampled: int
    counts: Mapping[str, int]
    json_types: Mapping[str, Collection[str]]
    declared: Mapping[str, str] | None = None

    def share(self, field: str) -> float:
        """Return the share of contacts that have a field."""
        if field not in self.counts or not self.contacts:
            return 0.0
        return max(self.counts[field] / max(self.sampled, 1), 1 / self.contacts)


class _Members:
    """The keys of objects, and the types and counts in sampled objects."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.types: set[tuple[str, type]] = set()
        self.counts: Counter[str] = Counter()

    def sample(self, members: Mapping[str, Any], *, is_counted: bool) -> None:
        """Add the types of an object's values."""
        self.types.update(zip(members, map(type, members.values()), strict=True))
        if is_counted:
            self.counts.update(members.keys())

    def fields(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield each name that may be recorded, and its field."""
        return ((name, prefix + name) for name in self.names if NAME.fullmatch(name))


class FieldCounter:
    """Counts the fields of contacts: keys of the contact, and keys of its ``details``."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget all contacts."""
        self._contacts = self._sampled = 0
        self._outer, self._inner = _Members(), _Members()

    def add(self, contact: Mapping[str, Any]) -> None:
        """Add a contact."""
        self._contacts += 1
        outer, inner = self._outer.names, self._inner.names
        before = len(outer) + len(inner)
        # Names may be data: then their number has no limit.
        if before >= MAX_FIELDS:
            return
        outer.update(contact)
        if type(details := contact.get(CONTAINER)) is dict:
            inner.update(details)
        is_counted = _is_sampled(self._contacts)
        if is_counted or len(outer) + len(inner) > before:
            self._sampled += is_counted
            self._outer.sample(contact, is_counted=is_counted)
            if type(details) is dict:
                self._inner.sample(details, is_counted=is_counted)

    @property
    def samples_next(self) -> bool:
        """Whether the types of the next contact's fields are counted."""
        return _is_sampled(self._contacts + 1)

    def skip(self) -> None:
        """Count a contact that is not sampled and has no new names."""
        self._contacts += 1

    def observed(self, declared: Mapping[str, str] | None = None) -> ObservedFields:
        """
        Return the fields so far, without names that may be data.

        :param declared: see :class:`ObservedFields`.
        """
        counts: dict[str, int] = {}
        types: dict[str, set[str]] = {}
        for members, prefix in ((self._inner, f"{CONTAINER}."), (self._outer, "")):
            fields = dict(members.fields(prefix))
            counts |= {field: members.counts[name] for name, field in fields.items()}
            types |= {field: set() for field in fields.values()}
            for name, kind in members.types:
                if name in fields and kind is not NoneType:
                    types[fields[name]].add(JSON_TYPES.get(kind, "number"))
        recordable = None if declared is None else {f: t for f, t in declared.items() if _is_recordable(f)}
        return ObservedFields(self._contacts, self._sampled, counts, types, recordable)


def _is_sampled(number: int) -> bool:
    return number <= FIRST_CONTACTS or number % SAMPLE_EVERY == 0


@dataclass(frozen=True, slots=True)
class Drift:
    """
    A field that changed.

    :param change_kind: ``new``, ``gone`` or ``retyped``.
    :param type_before: ``None`` for a missing field or one without a value, like ``type_after``.
    :param share: share of contacts with the field; for ``gone``, the share before.
    """

    field: str
    change_kind: str
    type_before: str | None
    type_after: str | None
    share: float

    def __str__(self) -> str:
        types = self.type_before if self.change_kind == "gone" else self.type_after
        if self.change_kind == "retyped":
            types = f"from {self.type_before} to {self.type_after}"
        return f"{self.field} is {self.change_kind} ({types or 'no value yet'}, {self.share:.0%} of contacts)"


@dataclass(frozen=True, slots=True)
class KnownField:
    """
    A known field of an account.

    :param json_types: all JSON types of its values so far.
    :param declared_type: as last declared by the source; ``None`` if never.
    :param contacts: contacts counted since it is known.
    :param contacts_with: contacts with the field.
    :param contacts_since: contacts since it was last seen.
    """

    field: str
    json_types: frozenset[str] = frozenset()
    declared_type: str | None = None
    is_present: bool = True
    contacts: int = 0
    contacts_with: int = 0
    contacts_since: int = 0

    @property
    def type(self) -> str | None:
        """The declared type, or the JSON types."""
        return self.declared_type or ",".join(sorted(self.json_types)) or None

    @property
    def share(self) -> float:
        """Share of contacts with the field."""
        return self.contacts_with / self.contacts if self.contacts else 0.0

    @property
    def is_missed(self) -> bool:
        """Whether it is missing from too many contacts to be chance."""
        without = 1 - self.contacts_with / (self.contacts + 1)
        return self.contacts_with > 0 and without**self.contacts_since < CHANCE

    def seen(self, observed: ObservedFields) -> KnownField:
        """Return the field, updated with observed contacts."""
        if self.field not in observed.counts:
            return replace(self, contacts_since=self.contacts_since + observed.contacts)
        contacts, having = self.contacts + observed.sampled, self.contacts_with + observed.counts[self.field]
        while contacts > MAX_COUNTED:
            contacts, having = contacts // 2, having // 2
        types = self.json_types.union(observed.json_types[self.field])
        return replace(self, json_types=types, contacts=contacts, contacts_with=having, contacts_since=0)


def find_drift(
    known: Iterable[KnownField], observed: ObservedFields, *, are_latest: bool = True
) -> tuple[list[Drift], list[KnownField]]:
    """
    Compare the fields of an account's contacts with its known fields.

    Declared fields exist if the source's declaration has them. Other fields exist if contacts have them. The first
    contacts and the first declaration are no drift.

    :param are_latest: whether these contacts are the latest; otherwise missing fields do not count.
    :returns: drift, by field, and the updated known fields.
    """
    fields = {field.field: field for field in known}
    drift: dict[str, Drift] = {}
    is_first = not any(field.contacts for field in fields.values())
    was_declared = any(field.declared_type for field in fields.values())
    for name in sorted({*fields, *observed.counts}):
        before = fields.get(name)
        after = (before or KnownField(name)).seen(observed)
        if before is None:
            if len(fields) >= MAX_FIELDS:
                continue
            if not is_first:
                drift[name] = Drift(name, "new", None, after.type, observed.share(name))
        else:
            after = _judge(before, after, observed, drift, are_latest=are_latest)
        fields[name] = after
    _declare(fields, observed, drift, is_drift=was_declared)
    return [drift[name] for name in sorted(drift)], [fields[name] for name in sorted(fields)]


def _judge(
    before: KnownField, after: KnownField, observed: ObservedFields, drift: dict[str, Drift], *, are_latest: bool
) -> KnownField:
    """Evaluate a known field by the contacts."""
    name, share = before.field, observed.share(before.field)
    if before.json_types and after.json_types != before.json_types:
        type_before, type_after = (",".join(sorted(types)) for types in (before.json_types, after.json_types))
        drift[name] = Drift(name, "retyped", type_before, type_after, share)
    if before.declared_type or not are_latest:
        return after
    if name in observed.counts and not before.is_present:
        drift[name] = Drift(name, "new", None, after.type, share)
        return replace(after, is_present=True)
    if before.is_present and after.is_missed:
        drift[name] = Drift(name, "gone", before.type, None, before.share)
        return replace(after, is_present=False)
    return after


def _declare(
    fields: dict[str, KnownField], observed: ObservedFields, drift: dict[str, Drift], *, is_drift: bool
) -> None:
    """Evaluate fields by the source's declaration."""
    declared = observed.declared
    if declared is None:
        return
    for name, type_ in declared.items():
        before = fields.get(name)
        if before is None and len(fields) >= MAX_FIELDS:
            continue
        is_new = before is None or name in drift or (before.declared_type is not None and not before.is_present)
        if is_drift and is_new and (name not in drift or drift[name].change_kind == "new"):
            drift[name] = Drift(name, "new", None, type_, observed.share(name))
        elif before and before.declared_type not in (None, type_):
            drift[name] = Drift(name, "retyped", before.declared_type, type_, observed.share(name))
        fields[name] = replace(before or KnownField(name), declared_type=type_, is_present=True)
    for name, field in fields.items():
        if field.declared_type and field.is_present and name not in declared:
            drift[name] = Drift(name, "gone", field.type, None, field.share)
            fields[name] = replace(field, is_present=False)


def _is_recordable(field: str) -> bool:
    return all(NAME.fullmatch(name) for name in field.split(".", 1))
