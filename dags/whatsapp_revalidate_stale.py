"""
Every day, recheck the numbers that were last checked seven days ago, and bring the table of valid IDs up to date.

A WhatsApp Business client caches a result for seven days, so earlier rechecks learn nothing. The oldest are rechecked
first, at most ``limit`` of them and within the sender's ``daily_checks``. The others wait for the next day. The limit
is half of the default budget of a day: the rest is left to new numbers. Numbers that have left the table, and those of
people who have opted out, are not rechecked.

The task ``hand_on`` removes the ID of a number that became ``invalid`` from table ``whatsapp_ids``. An ID whose check
only ``failed`` stays.

It needs the connections and the table of ``whatsapp_check_contacts``. To recheck with GREEN-API, set ``SYSTEM`` below.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_wacontacts.operators.green_api import GreenApiRevalidateContactsOperator
from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppCheckResultsToSqlOperator,
    WhatsAppRevalidateContactsOperator,
)
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

#: The system that checks the numbers: ``whatsapp_business`` or ``green_api``.
SYSTEM = "whatsapp_business"

RevalidateOperator: Any = (
    GreenApiRevalidateContactsOperator if SYSTEM == "green_api" else WhatsAppRevalidateContactsOperator
)
#: GREEN-API has no late results, but checks may fail.
WAIT_FOR = {"green_api_conn_id": "green_api_default", "recheck_failed": 2} if SYSTEM == "green_api" else {}

with DAG(
    "whatsapp_revalidate_stale",
    description="Recheck numbers whose results are stale",
    schedule=CronDataIntervalTimetable("0 3 * * *", timezone="UTC"),
    start_date=datetime(2022, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "table": Param(
            "contacts",
            type="string",
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
            description="Table of the contacts, in the database of connection crm",
        ),
    },
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=2),
    },
    doc_md=__doc__,
    tags=["whatsapp"],
):
    revalidate = RevalidateOperator(
        task_id="revalidate",
        limit=500,
        contacts_conn_id="crm",
        contacts_sql="SELECT number, opted_in FROM {{ params.table }}",
        require_opt_in=True,
    )
    wait = WhatsAppContactsSensor(
        task_id="wait",
        check_id=revalidate.output["check_id"],
        deferrable=True,
        timeout=timedelta(hours=2).total_seconds(),
        **WAIT_FOR,
    )
    hand_on = WhatsAppCheckResultsToSqlOperator(
        task_id="hand_on",
        check_id=revalidate.output["check_id"],
        target_conn_id="wacontacts_store",
        target_table="whatsapp_ids",
        create_table=True,
    )
    revalidate >> wait >> hand_on
