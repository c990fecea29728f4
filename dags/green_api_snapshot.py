"""
All contacts of a GREEN-API account, every night: what is new, has changed, is gone and is back, into the store.

GREEN-API tells no times and only the whole list, so each run is a snapshot of its moment: running an old day again
takes today's list. Run it as often as history is to be fine. Nobody counts as gone because an answer is empty or
suddenly small; the log says what was found, and what to do.

Set up before the first run:

* connections ``green_api_default`` (host ``apiUrl``, login ``idInstance``, password ``apiTokenInstance``) and
  ``wacontacts_store`` (PostgreSQL or SQLite);
* the pool ``green_api``, so that an account's snapshots come one after the other. Without it Airflow starts no task::

    airflow pools set green_api 1 "one snapshot at a time"
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.operators.green_api import GreenApiContactsToSqlOperator

with DAG(
    "green_api_snapshot",
    description="A snapshot of all contacts, into the store",
    schedule=CronDataIntervalTimetable("30 0 * * *", timezone="UTC"),
    start_date=datetime(2022, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "pool": "green_api",
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=1),
    },
    doc_md=__doc__,
    tags=["green-api", "whatsapp"],
):
    GreenApiContactsToSqlOperator(task_id="to_store", outlets=[store_asset(source="green_api")])
