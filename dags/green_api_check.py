"""
Check with GREEN-API which contacts of a table are on WhatsApp.

GREEN-API knows whether a number is on WhatsApp; WhatsApp Business API clients from v2.43 on do not. Each new or stale
number costs one check of your plan's monthly quota. Past the daily budget the task waits for the next day, and past the
monthly budget for the next month.

Set up before the first run:

* connections ``green_api_default`` (host ``apiUrl``, login ``idInstance``, password ``apiTokenInstance``, and extra
  ``monthly_checks``, the quota of your plan), ``wacontacts_store`` (PostgreSQL or SQLite), and ``crm``, any database
  with a table ``contacts``, or the table of parameter ``table``. Its columns are ``contact_key``, your own key,
  ``number`` in any spelling, and ``opted_in``, which must be true;
* a triggerer, for the days without a budget.

The results are in view ``wacontacts_check_result``, by the ``check_id`` of the task's summary. No number passes through
Airflow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_wacontacts.operators.green_api import GreenApiCheckContactsOperator

#: On Airflow 2.11 it also counts while the task waits for a new budget, for a day or until the next month.
TIMEOUT = None if version("apache-airflow").startswith("2.") else timedelta(hours=2)

with DAG(
    "green_api_check",
    description="Check with GREEN-API which contacts of a table are on WhatsApp",
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
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5), "execution_timeout": TIMEOUT},
    doc_md=__doc__,
    tags=["green-api", "whatsapp"],
):
    GreenApiCheckContactsOperator(
        task_id="check",
        contacts_conn_id="crm",
        contacts_sql="SELECT contact_key, number, opted_in FROM {{ params.table }}",
        require_opt_in=True,
        on_budget="defer",
    )
