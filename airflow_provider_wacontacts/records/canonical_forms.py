"""
Compute the canonical form of many contacts, twice as fast as :func:`.canonical`.

The contacts of an account have the same fields, many of them null. After a number of contacts, msgspec decodes the
others into a struct of these fields, and encodes it without nulls. Other contacts are passed to :func:`.canonical`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec

from airflow_provider_wacontacts.records.drift import MAX_FIELDS, FieldCounter
from airflow_provider_wacontacts.records.json import canonical, decoder_of, encode
from airflow_provider_wacontacts.records.pages import Text

__all__ = ["CanonicalForms"]

#: A struct is created after this many contacts, again after twice as many did not match, and so on.
FIRST_CONTACTS = 200
#: Minimum share of the known fields in a contact. If fields without a value are omitted, structs are slower.
MIN_SHARE = 0.75
#: Maximum nesting of objects that become structs.
MAX_LEVELS = 3
#: Objects with up to this many fields are decoded into sorted fields. With more, finding a field is slower than
#: sorting.
FEW_FIELDS = 32
#: The type of a field that has been null, a string, a boolean or an integer. Other numbers have no type, because a
#: typed decoder rounds them.
PLAIN: Any = str | bool | int | None
PLAIN_TYPES = frozenset({str, bool, int})
CONTAINERS = frozenset({dict, list})

#: The type of each field of an object, or its fields if it is an object; ``None`` if it was always null.
Fields: TypeAlias = dict[str, Any]


class CanonicalForms:
    """
    Returns the canonical forms of contacts, one by one.

    :param counter: counts the fields of the contacts.
    """

    def __init__(self, counter: FieldCounter | None = None) -> None:
        self._counter = counter
        self._fields: Fields = {}
        self._struct: _Struct | None = None
        self._fitting = self._others = 0
        self._limit: int | None = FIRST_CONTACTS

    def __call__(self, text: Text) -> bytes:
        """
        Return the canonical form of a contact; see :func:`.canonical`.

        :raises ValueError: the text has no canonical form.
        """
        if self._struct is None or (self._counter and self._counter.samples_next):
            return canonical(text, self._look)
        try:
            form = self._struct.encode(text)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return canonical(text, self._look)
        self._fitting += 1
        if self._counter:
            self._counter.skip()
        return form

    def _look(self, contact: dict[str, Any]) -> None:
        if self._counter:
            self._counter.add(contact)
        if self._limit is None:
            return
        _add_fields(self._fields, contact)
        self._others += 1
        if self._others >= self._limit or (self._others % FIRST_CONTACTS == 0 and _count(self._fields) > MAX_FIELDS):
            self._struct = self._new_struct(contact)
            self._limit = None if self._struct is None else 2 * self._limit
            if self._limit is None:
                self._fields.clear()
            self._fitting = self._others = 0

    def _new_struct(self, contact: Mapping[str, Any]) -> _Struct | None:
        """Return a new struct; ``None`` if it would not be faster."""
        was_useful = self._struct is None or self._fitting >= self._others
        fields = _count(self._fields)
        if not was_useful or fields > MAX_FIELDS or _count(contact) < MIN_SHARE * fields:
            return None
        try:
            return _Struct(self._fields, contact)
        except ValueError:
            # A name with a quote or a control character.
            return None


class _Struct:
    """
    Objects with known fields.

    :param like: an object with fields in the order received.
    """

    def __init__(self, fields: Fields, like: Mapping[str, Any]) -> None:
        shape = _Object(fields, like)
        self._decode = decoder_of(shape.type).decode
        self._sort = shape.sort

    def encode(self, text: Text) -> bytes:
        """
        Return the canonical form of a contact.

        :raises ValueError: the contact does not match the struct; ``msgspec.DecodeError`` as well.
        """
        return encode(self._sort(self._decode(text)))


class _Object:
    """
    Types of an object as decoded, and with sorted fields. See :class:`_Struct`.

    msgspec searches fields in the order of their definition. A few fields are found as fast in any order, so they are
    defined in sorted order. Many fields are defined in the order received, and sorted afterwards.
    """

    type: Any

    def __init__(self, fields: Fields, like: Mapping[str, Any]) -> None:
        in_order = sorted(fields)
        names = in_order if len(fields) <= FEW_FIELDS else sorted(fields, key=_places(like))
        attributes = {name: f"field_{place}" for place, name in enumerate(names)}
        objects = {name: _Object(kind, _object(like.get(name))) for name, kind in fields.items() if type(kind) is dict}
        types = {name: objects[name].type | None if name in objects else fields[name] for name in names}
        self.type = _define(types.items())
        self._objects = [(attributes[name], inner) for name, inner in objects.items() if not inner.is_sorted]
        self._untyped = [attributes[name] for name in names if fields[name] is Any]
        self._sorted_type = _define((name, Any) for name in in_order)
        self._in_order = None if names == in_order else itemgetter(*map(names.index, in_order))

    @property
    def is_sorted(self) -> bool:
        """Whether :meth:`sort` always returns its argument."""
        return not (self._objects or self._untyped or self._in_order)

    def sort(self, received: Any) -> Any:
        """
        Return the object with sorted fields.

        :raises ValueError: a field is an object or a list, but never was before.
        """
        for name in self._untyped:
            if type(getattr(received, name)) in CONTAINERS:
                raise ValueError("an object or a list")
        for name, inner in self._objects:
            if (value := getattr(received, name)) is not None:
                setattr(received, name, inner.sort(value))
        if self._in_order is None:
            return received
        return self._sorted_type(*self._in_order(msgspec.structs.astuple(received)))


def _add_fields(fields: Fields, contact: Mapping[str, Any], levels: int = MAX_LEVELS) -> None:
    for name, value in contact.items():
        known, kind = fields.get(name), type(value)
        if value is None:
            fields.setdefault(name, None)
        elif kind is dict and levels and (known is None or type(known) is dict):
            inner = fields[name] = known or {}
            _add_fields(inner, value, levels - 1)
        else:
            fields[name] = PLAIN if kind in PLAIN_TYPES and known in (None, PLAIN) else Any


def _count(fields: Mapping[str, Any]) -> int:
    return len(fields) + sum(_count(inner) for inner in fields.values() if type(inner) is dict)


def _define(fields: Iterable[tuple[str, Any]]) -> Any:
    """
    Return a struct type that leaves out nulls and refuses other fields.

    :raises ValueError: a name is not a valid field name.
    """
    named = {f"field_{place}": field for place, field in enumerate(fields)}
    return msgspec.defstruct(
        "Contact",
        [(alias, PLAIN if kind is None else kind, None) for alias, (_, kind) in named.items()],
        rename={alias: name for alias, (name, _) in named.items()},
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def _places(like: Mapping[str, Any]) -> Callable[[str], tuple[int, str]]:
    """Return a sort key for fields in the order received. Other fields come last."""
    places = {name: place for place, name in enumerate(like)}
    return lambda name: (places.get(name, len(places)), name)


def _object(value: Any) -> Mapping[str, Any]:
    return value if type(value) is dict else {}
