"""
Contacts in tables of PostgreSQL or SQLite, with their change history (SCD Type 2).

.. code-block:: python

    store = Store(engine)
    store.prepare()
    extraction = store.begin(source="turn", account="main", window=window, task=task,
                             options_digest=digest, package_version=__version__)
    extraction.write(records, rejects, position=position, pages=1, size=length, extracted_at=moment, number_ids={"1"})
    finished = extraction.finish()

An extraction is one attempt: :meth:`Store.begin` takes over from the unfinished one of the same task, window and
options, and resumes from its position. Rows, rejects, changes, counters and position are committed together, and only
while no other attempt has taken over. Loading is idempotent and order-independent, with any number of workers.

A snapshot, which is a response with all contacts, is loaded in one transaction:

.. code-block:: python

    snapshot = store.begin_snapshot(source="green_api", account="main", group=None, task=task,
                                    options_digest=digest, package_version=__version__)
    finished = snapshot.write(lambda: response.records(moment), response.rejects, extracted_at=moment, size=size)
"""

from __future__ import annotations

from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.store.completeness import ShrinkGuard
from airflow_provider_wacontacts.store.extractions import Extraction
from airflow_provider_wacontacts.store.ledger import ExtractionResult
from airflow_provider_wacontacts.store.schema import upgrade
from airflow_provider_wacontacts.store.snapshots import SnapshotExtraction
from airflow_provider_wacontacts.store.store import Store

__all__ = ["Extraction", "ExtractionResult", "ShrinkGuard", "SnapshotExtraction", "Store", "TaskInstanceKey", "upgrade"]
