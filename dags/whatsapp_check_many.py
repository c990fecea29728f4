"""
Check which contacts of a large table are on WhatsApp: in slices, by many workers, within one sender's rate limit.

The database cuts the table into slices by the order of ``contact_key``, with the window function ``NTILE``, which all
current SQL databases have. All rows of a contact are in one slice. Each slice is checked, waited for and passed on
separately, and one that fails is retried separately. A slice of about 5,000 contacts is a good size. There may be 1,024
slices. Do not change the table while the slices begin: a contact at a border may be left to the next run.

Set up before the first run:

* the connections and the table of ``whatsapp_check_contacts``. To check with GREEN-API, set ``SYSTEM`` below;
* extra ``daily_checks`` of ``whatsapp_business_default``: when it is spent, slices wait for the next day;
* pool ``whatsapp_business``: each of its slots sends up to 20 requests a second, which is the limit of a sender.
  Waiting in the triggerer takes no slot. Without the pool, tasks stay in state ``scheduled``, and no log says why::

    airflow pools set whatsapp_business 1 "tasks that check numbers with one sender"

Slices are numbers. No key and no phone number passes through Airflow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task, task_group

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
#: On Airflow 2.11 it also counts while a task waits in the triggerer: for results, or for the budget of the next day.
TIMEOUT = None if version("apache-airflow").startswith("2.") else timedelta(hours=2)
SLICE = """
SELECT c.contact_key, c.number, c.opted_in FROM {table} c
LEFT JOIN (
    SELECT contact_key, NTILE({slices}) OVER (ORDER BY contact_key) AS slice FROM {table}
    WHERE contact_key IS NOT NULL GROUP BY contact_key
) s ON s.contact_key = c.contact_key
WHERE {condition}
"""


@task
def slices(params: dict[str, Any]) -> list[str]:
    """Write the query of each slice: together they have every row of the table, and each row once."""
    conditions = [f"s.slice = {number}" for number in range(1, params["slices"] + 1)]
    conditions[0] += " OR c.contact_key IS NULL"
    return [SLICE.format(**params, condition=condition) for condition in conditions]


with DAG(
    "whatsapp_check_many",
    description="Check which contacts of a large table are on WhatsApp, in slices",
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
        "slices": Param(16, type="integer", minimum=1, maximum=1024, description="Number of slices"),
    },
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": TIMEOUT,
    },
    doc_md=__doc__,
    tags=["whatsapp"],
):

    @task_group
    def part(contacts_sql: str) -> None:
        """Check one slice, wait until every result is final, and pass the valid IDs on."""
        check = CheckOperator(
            task_id="check",
            contacts_conn_id="crm",
            contacts_sql=contacts_sql,
            require_opt_in=True,
            on_budget="defer",
            pool="whatsapp_business",
        )
        wait = WhatsAppContactsSensor(
            task_id="wait",
            check_id=check.output["check_id"],
            deferrable=True,
            timeout=timedelta(days=1).total_seconds(),
            pool="whatsapp_business",
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

    part.expand(contacts_sql=slices())
