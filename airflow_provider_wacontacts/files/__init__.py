"""
Contacts in files of object storage, or of a local directory.

.. code-block:: python

    with ExtractionWriter(path, source="turn", account="main", window=window, task=task,
                          package_version=__version__, file_format="jsonl.gz") as extraction:
        for page in pages:
            extraction.write(page, extracted_at=moment)
        manifest = extraction.finish(extracted_at=moment, finished_at=now, lossy=False)

Each extraction has a prefix, ``<path>/<source>/<account>/<YYYY-MM-DD>/<extraction_id>/``, with the UTC day on which its
window starts. ``part-00000.jsonl.gz`` holds the JSON of one contact per line, ``part-00000.parquet`` one contact per
row, and ``_rejects.jsonl.gz`` the rejected rows. ``_manifest.json`` is written last: a prefix without it belongs to an
extraction that is running or was killed, and is never read. Only an erasure replaces files.

:func:`read_contacts` yields the contacts of all complete extractions. :func:`versions` and :func:`current` merge them
into the rows that the tables of a store would hold.

``path`` is an Airflow ``ObjectStoragePath``, a ``UPath`` or a ``pathlib.Path``.
"""

from airflow_provider_wacontacts.files.extraction import ExtractionWriter
from airflow_provider_wacontacts.files.layout import FileEntry, Manifest, ObjectPath
from airflow_provider_wacontacts.files.merge import Version, current, merge_versions, versions
from airflow_provider_wacontacts.files.parts import FILE_FORMATS, validate_file_format
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
