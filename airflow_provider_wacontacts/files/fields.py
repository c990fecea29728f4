"""Schema drift of files. The newest manifest of an account lists the known fields of its contacts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.files.layout import MANIFEST, Manifest, ObjectPath, path_segment
from airflow_provider_wacontacts.files.reader import files_below, read_manifest
from airflow_provider_wacontacts.records.drift import FIRST_CONTACTS, SAMPLE_EVERY, FieldCounter, find_drift
from airflow_provider_wacontacts.records.json import UNDECODABLE
from airflow_provider_wacontacts.records.pages import Text

__all__ = ["Declaration", "FieldSampler", "find_file_drift"]

log = logging.getLogger(__name__)

#: ``<day>/<extraction_id>/_manifest.json``
ACCOUNT_DEPTH = 3


class Declaration(NamedTuple):
    """
    The known fields of an account before an extraction's contacts.

    :param types: types by field, as declared by the source; ``None`` if it declares none.
    :param selects: returns whether a field is written; other fields are not compared.
    """

    types: Mapping[str, str] | None = None
    selects: Callable[[str], bool] = lambda _: True


class FieldSampler:
    """Counts the fields of the first contacts and of every 64th one: files are written without decoding contacts."""

    def __init__(self) -> None:
        self.fields = FieldCounter()
        self._seen = 0

    def add(self, texts: Sequence[Text]) -> None:
        """Add contacts."""
        first = texts[: max(FIRST_CONTACTS - self._seen, 0)]
        for text in (*first, *texts[SAMPLE_EVERY - 1 - self._seen % SAMPLE_EVERY :: SAMPLE_EVERY]):
            self._sample(text)
        self._seen += len(texts)

    def _sample(self, text: Text) -> None:
        try:
            contact = msgspec.json.decode(text)
        except UNDECODABLE:
            return
        if type(contact) is dict:
            self.fields.add(contact)


def find_file_drift(root: ObjectPath, manifest: Manifest, sampler: FieldSampler, declaration: Declaration) -> Manifest:
    """
    Compare the fields of an extraction with the fields of the account's newest one.

    An extraction of an older window than the newest is not compared, and its manifest has no fields.

    :returns: the manifest with its fields and its drift.
    """
    selects, types = declaration.selects, declaration.types
    observed = sampler.fields.observed(types and {field: types[field] for field in types if selects(field)})
    try:
        newest = _newest(root, manifest.source, manifest.account)
    except LandingError as error:
        log.warning("Schema drift is unknown, because the previous fields cannot be read: %s", error)
        return manifest
    if not (observed.contacts or observed.declared) or (newest and _reached(newest) > _reached(manifest)):
        return manifest
    stored = newest.fields if newest else []
    known = [field for field in stored if selects(field.field)]
    is_complete = not manifest.is_cut and manifest.is_synchronised is not False
    drift, fields = find_drift(known, observed, are_latest=is_complete)
    others = [field for field in stored if not selects(field.field)]
    return msgspec.structs.replace(manifest, fields=[*fields, *others], drift=drift)


def _newest(root: ObjectPath, source: str, account: str) -> Manifest | None:
    """Return the account's manifest with fields that has the latest watermark."""
    prefix = root / path_segment("source", source) / path_segment("account", account)
    names = [names for names in files_below(prefix, ACCOUNT_DEPTH) if names[-1] == MANIFEST]
    for day in sorted({day for day, *_ in names}, reverse=True):
        if of_day := list(_with_fields(prefix, [found for found in names if found[0] == day])):
            return max(of_day, key=lambda manifest: (_reached(manifest), manifest.finished_at))
    return None


def _with_fields(prefix: ObjectPath, names: Sequence[tuple[str, ...]]) -> Iterator[Manifest]:
    for day, extraction_id, _ in names:
        manifest = read_manifest(prefix / day / extraction_id)
        if manifest and manifest.fields:
            yield manifest


def _reached(manifest: Manifest) -> datetime:
    return manifest.window_end or manifest.extracted_at
