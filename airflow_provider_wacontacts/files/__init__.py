"""
Contacts in files of an object store, or of a directory.

.. code-block:: python

    with ExtractionWriter(path, source="turn", account="main", window=window, task=task,
                          package_version=__version__, file_format="jsonl.gz") as extraction:
        for page in pages:
            extraction.land(page)
        manifest = extraction.finish(extracted_at=moment, finished_at=now, lossy=False)

An extraction has a prefix of its own, ``<path>/<source>/<account>/<YYYY-MM-DD>/<extraction_id>/``, with the UTC day on
which its window starts. Files named ``part-00000.jsonl.gz`` hold one landed text a line, those named
``part-00000.parquet`` a row a contact; ``_rejects.jsonl.gz`` holds what could not be a contact. ``_manifest.json``
is written last: a prefix without it is of a try that is running or was killed, and is never read. Nothing is ever
replaced, unless somebody is erased.

:func:`read_contacts` yields the contacts of all complete extractions; :func:`versions` and :func:`current` bring them
together into what a store's tables would hold.

``path`` is an Airflow ``ObjectStoragePath``, a ``UPath`` or a ``pathlib.Path``.
"""

from airflow_provider_wacontacts.files.extraction import ExtractionWriter
from airflow_provider_wacontacts.files.formats import FILE_FORMATS, validate_file_format
from airflow_provider_wacontacts.files.layout import ObjectPath
from airflow_provider_wacontacts.files.manifest import FileEntry, Manifest
from airflow_provider_wacontacts.files.merge import Version, current, merge_versions, versions
from airflow_provider_wacontacts.files.reader import (
    CompletePrefix,
    StoredContact,
    complete_prefixes,
    read_contacts,
)

__all__ = [
    "FILE_FORMATS",
    "CompletePrefix",
    "ExtractionWriter",
    "FileEntry",
    "Manifest",
    "ObjectPath",
    "StoredContact",
    "Version",
    "complete_prefixes",
    "current",
    "merge_versions",
    "read_contacts",
    "validate_file_format",
    "versions",
]
