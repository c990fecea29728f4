"""
Sync all contacts of a GREEN-API account every night: new, changed, gone and returned contacts, into the store.

GREEN-API returns only the current contact list, without update times, so each run takes a full snapshot. Running an old
day again takes a snapshot of today. The schedule sets the resolution of your history. An empty or unexpectedly small
list never marks contacts as gone; the log says why, and what to do.

Set up before the first run:

* connections ``green_api_default`` (host ``apiUrl``, login ``idInstance``, password ``apiTokenInstance``) and
  ``wacontacts_store`` (PostgreSQL or SQLite);
* the pool ``green_api``, so that an account's snapshots run one at a time. Without the pool, tasks stay in state
  ``scheduled``, and no log says why::

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
    description="Sync a full snapshot of an account into the store",
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
