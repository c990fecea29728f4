"""
Check which contacts of a table are on WhatsApp, wait for late results, and pass the valid IDs on to a table.

Trigger it when your table has changed, manually or from the DAG that loads it, or give it a daily schedule. A number is
checked once in seven days, however often the DAG runs. ``whatsapp_revalidate_stale`` rechecks stale numbers. Never
check more numbers than you write to: WhatsApp bans senders that do.

Set up before the first run:

* connection ``whatsapp_business_default``, whose extra ``daily_checks`` is the budget of a day. To check with
  GREEN-API, set ``SYSTEM`` below to ``green_api``, and create connection ``green_api_default``;
* connection ``wacontacts_store`` (PostgreSQL or SQLite);
* connection ``crm``, any database with a table ``contacts``, or the table of parameter ``table``. Its columns are
  ``contact_key``, your own key, ``number`` in any spelling, and ``opted_in``, which must be true;
* a triggerer, which waits without a worker.

The IDs are in table ``whatsapp_ids`` of connection ``wacontacts_store``, which the DAG creates: ``contact_key``,
``number``, ``wa_id`` and ``status``. ``target_conn_id`` may be any SQL connection. A contact that is deleted from your
table keeps its rows there: delete them as well. No number passes through Airflow, only the ID of the check.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_wacontacts.operators.green_api import GreenApiCheckContactsOperator
from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppCheckContactsOperator,
    WhatsAppCheckResultsToSqlOperator,
)
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

#: The system that checks the numbers: ``whatsapp_business`` or ``green_api``.
SYSTEM = "whatsapp_business"

CheckOperator: Any = GreenApiCheckContactsOperator if SYSTEM == "green_api" else WhatsAppCheckContactsOperator
#: GREEN-API has no late results, but checks may fail.
WAIT_FOR = {"green_api_conn_id": "green_api_default", "recheck_failed": 2} if SYSTEM == "green_api" else {}

with DAG(
    "whatsapp_check_contacts",
    description="Check which contacts of a table are on WhatsApp, and under which IDs",
    schedule=None,
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
    check = CheckOperator(
        task_id="check",
        contacts_conn_id="crm",
        contacts_sql="SELECT contact_key, number, opted_in FROM {{ params.table }}",
        require_opt_in=True,
    )
    wait = WhatsAppContactsSensor(
        task_id="wait",
        check_id=check.output["check_id"],
        deferrable=True,
        timeout=timedelta(hours=2).total_seconds(),
        **WAIT_FOR,
    )
    hand_on = WhatsAppCheckResultsToSqlOperator(
        task_id="hand_on",
        check_id=check.output["check_id"],
        target_conn_id="wacontacts_store",
        target_table="whatsapp_ids",
        create_table=True,
    )
    check >> wait >> hand_on
