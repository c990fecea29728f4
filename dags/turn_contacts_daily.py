"""
Yesterday's contacts of Turn.io, every night: into the store, and the same into files.

The run of day D pulls day D, on every Airflow, so the dates of a backfill name the days that are pulled::

    airflow backfill create --dag-id turn_contacts_daily --from-date 2026-11-01 --to-date 2026-11-07

Any day may be pulled again at any time: no state that was ever seen is lost by it. What changed twice between two
pulls was seen once; an hourly schedule sees more.

Set up before the first run; of the two tasks, drop the one that is not wanted:

* connections ``turn_default`` (host, token as password) and ``wacontacts_store`` (PostgreSQL or SQLite);
* the variable ``wacontacts_path``, where files go, such as ``s3://aws_default@lake/contacts``;
* the pool ``turn``: Turn.io counts the calls of a number, so one pull at a time. Without it Airflow starts no task::

    airflow pools set turn 1 "one pull of Turn.io at a time"
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator

with DAG(
    "turn_contacts_daily",
    description="Contacts updated in the day, into the store and into files",
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
