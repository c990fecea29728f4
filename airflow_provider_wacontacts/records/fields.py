"""Select the fields of a contact that are written. Other fields are removed before any processing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.records.json import decode, decode_leniently, encode, repair
from airflow_provider_wacontacts.records.pages import Text
from airflow_provider_wacontacts.records.record import Reject, ids_in_rejects

__all__ = ["FieldSelection"]

Path: TypeAlias = tuple[str, ...]
#: Fields by name: ``None`` for a whole field, otherwise the fields inside it.
Tree: TypeAlias = "dict[str, Tree | None]"


class FieldSelection:
    """
    Removes fields from contacts.

    :param include: fields to write, next to the key fields; a dot leads into an object, as in ``details.name``.
    :param exclude: fields to leave out. A list or a string in place of an object is left out completely.
    :param needed: fields that are always written, because contacts are keyed by them.
    :ivar options: a value that changes with the selection.
    :ivar unmatched: the given fields that no contact had so far.
    :raises ConfigError: both or neither are given, or one is not a list of fields that can be left out.
    """

    def __init__(
        self, include: Sequence[str] | None, exclude: Sequence[str] | None, *, needed: Collection[str]
    ) -> None:
        if include is not None and exclude is not None:
            raise ConfigError("`include_fields` and `exclude_fields` cannot be combined. Remove one of them.")
        name, fields = ("exclude_fields", exclude) if include is None else ("include_fields", include)
        paths = _read_paths(name, fields, needed)
        if include is None and (kept := sorted(path[0] for path in paths if path[0] in needed)):
            raise ConfigError(f"`exclude_fields` contains '{kept[0]}', which is the key of contacts. Remove it.")
        self.options = (name, tuple(sorted(set(fields or ()))))
        self.unmatched = {".".join(path) for path in paths}
        self._includes = include is not None
        self._tree = _tree(paths | {(field,) for field in needed} if self._includes else paths)

    def keeps(self, *path: str) -> bool:
        """Return whether a field, or something inside it, is written."""
        tree = self._tree
        for name in path:
            if name not in tree:
                return not self._includes
            inner = tree[name]
            if inner is None:
                return self._includes
            tree = inner
        return True

    def has(self, field: str) -> bool:
        """Return whether a field is written, by its name in arguments."""
        return self.keeps(*field.split("."))

    def apply(self, text: Text) -> bytes:
        """
        Return a contact's JSON with the selected fields.

        :raises ValueError: not one JSON object.
        """
        return encode(self._select(decode(text)))

    def apply_to_reject(self, reject: Reject) -> Reject:
        """
        Return a reject with the selected fields in its body.

        If the body is not an object, only the IDs remain, so that a later import knows that these contacts exist.
        """
        try:
            return Reject(reject.reason, encode(self._select(repair(decode_leniently(reject.body))[0])))
        except (ValueError, TypeError, RecursionError):
            body = b" ".join(encode({"id": contact_id}) for contact_id in sorted(ids_in_rejects([reject])))
            return Reject(f"{reject.reason} (fields left out)", body)

    def _select(self, contact: Any) -> dict[str, Any]:
        if type(contact) is not dict:
            raise ValueError("not an object")
        select = self._including if self._includes else self._excluding
        selected: dict[str, Any] = select(contact, self._tree, "")
        return selected

    def _including(self, parent: dict[str, Any], tree: Tree, prefix: str) -> dict[str, Any]:
        kept = {}
        for name, inner in tree.items():
            if name not in parent:
                continue
            value, path = parent[name], prefix + name
            if inner is None:
                self.unmatched.discard(path)
                kept[name] = value
            elif type(value) is dict:
                kept[name] = self._including(value, inner, f"{path}.")
        return kept

    def _excluding(self, parent: dict[str, Any], tree: Tree, prefix: str) -> dict[str, Any]:
        kept = dict(parent)
        for name, inner in tree.items():
            if name not in kept:
                continue
            value, path = kept[name], prefix + name
            if inner is not None and type(value) is dict:
                kept[name] = self._excluding(value, inner, f"{path}.")
            elif value is not None or inner is None:
                self.unmatched.discard(path)
                del kept[name]
        return kept


def _read_paths(name: str, fields: Sequence[str] | None, needed: Collection[str]) -> set[Path]:
    is_list = isinstance(fields, Sequence) and not isinstance(fields, str) and len(fields) > 0
    if not is_list or not all(isinstance(field, str) for field in fields or ()):
        raise ConfigError(f"`{name}` must be a list of one or more fields, for example ['details.name'].")
    paths = {tuple(field.split(".")) for field in fields or ()}
    if wrong := sorted(".".join(path) for path in paths if not all(path)):
        raise ConfigError(f"`{name}` contains {wrong[0]!r}, which has an empty part. A dot leads into an object.")
    if wrong := sorted(".".join(path) for path in paths if len(path) > 1 and path[0] in needed):
        raise ConfigError(f"`{name}` contains {wrong[0]!r}, but '{wrong[0].split('.')[0]}' is not an object.")
    return paths


def _tree(paths: Collection[Path]) -> Tree:
    """Arrange paths in a tree. A field includes the fields inside it."""
    tree: Tree = {}
    for path in sorted(paths):
        parent: Tree | None = tree
        for name in path[:-1]:
            if parent is not None:
                parent = parent.setdefault(name, {})
        if parent is not None:
            parent[path[-1]] = None
    return tree
