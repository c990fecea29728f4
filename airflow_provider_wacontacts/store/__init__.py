"""
Contacts in tables of PostgreSQL or SQLite, with every state that was ever seen.

.. code-block:: python

    store = Store(engine)
    store.prepare()
    extraction = store.begin(source="turn", account="main", window=window, task=task,
                             options_digest=digest, package_version=__version__)
    extraction.land(records, rejects, position=position, pages=1, size=length, extracted_at=moment, number_ids={"1"})
    finished = extraction.finish()

An extraction is one try: :meth:`Store.begin` takes over from the unfinished one of the same task, window and options,
and goes on from its position. Rows, rejects, counters and position are committed together, and only while the try is
the one that runs. Whatever the order, the repetition and the number of workers, the same rows end in the same tables.

A snapshot, an answer that holds all contacts at once, is landed whole:

.. code-block:: python

    snapshot = store.begin_snapshot(source="green_api", account="main", group=None, task=task,
                                    options_digest=digest, package_version=__version__)
    finished = snapshot.land(lambda: answer.records(moment), answer.rejects, extracted_at=moment, size=answer.size)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.store.completeness import ShrinkGuard
from airflow_provider_wacontacts.store.results import ExtractionResult

if TYPE_CHECKING:
    from airflow_provider_wacontacts.store.schema import upgrade
    from airflow_provider_wacontacts.store.snapshots import SnapshotExtraction
    from airflow_provider_wacontacts.store.store import Extraction, Store

__all__ = ["Extraction", "ExtractionResult", "ShrinkGuard", "SnapshotExtraction", "Store", "TaskInstanceKey", "upgrade"]

_LAZY = {"Extraction": "store", "SnapshotTry": "snapshots", "Store": "store", "upgrade": "schema"}


def __getattr__(name: str) -> Any:
    """Import what needs SQLAlchemy only when somebody lands."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
