"""
Sync yesterday's contacts of Turn.io every night, into the store and into files.

The run of day D syncs day D, in every Airflow version, so a backfill's dates are the days that it syncs::

    airflow backfill create --dag-id turn_contacts_daily --from-date 2026-11-01 --to-date 2026-11-07

You can sync any day again at any time: syncs are idempotent and order-independent. If a contact changes twice between
two syncs, only its latest version is recorded; an hourly schedule records more.

Set up before the first run, and remove the task that you do not need:

* connections ``turn_default`` (host, token as password) and ``wacontacts_store`` (PostgreSQL or SQLite);
* the variable ``wacontacts_path``, the URI of the files, for example ``s3://aws_default@lake/contacts``;
* the pool ``turn``: Turn.io limits the requests of a number, so only one sync runs at a time. Without the pool, tasks
  stay in state ``scheduled``, and no log says why::

    airflow pools set turn 1 "one sync of Turn.io at a time"
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator

with DAG(
    "turn_contacts_daily",
    description="Sync the contacts updated in a day into the store and into files",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2022, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "pool": "turn",
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=2),
    },
    doc_md=__doc__,
    tags=["turn", "whatsapp"],
):
    TurnContactsToSqlOperator(task_id="to_store", outlets=[store_asset(source="turn")])
    TurnContactsToObjectStorageOperator(task_id="to_files", path="{{ var.value.wacontacts_path }}")
