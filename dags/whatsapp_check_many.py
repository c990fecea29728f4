"""
Which contacts of a large table are on WhatsApp: in slices, by many workers, at one sender's pace.

The table is cut by a hash of the contacts' keys, so a contact is always in the same slice, whatever else the table has.
Each slice is checked and waited for by itself, and one that fails is retried by itself. When all are through, the valid
ids are handed on at once. About 5,000 contacts a slice is a good size; there may be 1,024 slices.

Set up before the first run:

* the connections and the table of ``whatsapp_check_contacts``. The database of ``crm`` needs a function ``md5``, which
  PostgreSQL, MySQL and most warehouses have; where yours has none, or the keys are numbers, cut by what it has;
* the extra ``daily_checks`` of ``whatsapp_business_default``: past it, slices wait for the next day;
* the pool ``whatsapp_business``: each of its slots sends up to 20 requests a second, which is what one sender may.
  Waiting in the triggerer takes no slot. Without the pool, tasks stay in state
  ``scheduled``, and no log says why::

    airflow pools set whatsapp_business 1 "tasks that ask for one sender at a time"

Slices are two hexadecimal numbers. No key and no number passes through Airflow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task, task_group

from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

#: How many values the first five digits of a hash have.
BUCKETS = 16**5
SLICE = """
SELECT contact_key, number, opted_in FROM {table}
WHERE substr(md5(coalesce(contact_key, '')), 1, 5) BETWEEN '{first:05x}' AND '{last:05x}'
"""

#: A number that has failed this time keeps the id that is known of it. What other tables gave stays.
HAND_ON = (
    "CREATE TABLE IF NOT EXISTS {schema}whatsapp_ids (contact_key text NOT NULL, wa_id text NOT NULL)",
    """
    DELETE FROM {schema}whatsapp_ids WHERE contact_key IN (
        SELECT contact_key FROM {schema}wacontacts_check_result WHERE check_id IN :check_ids
    ) AND NOT EXISTS (
        SELECT 1 FROM {schema}wacontacts_check_result r WHERE r.check_id IN :check_ids AND r.status = 'failed'
            AND r.contact_key = whatsapp_ids.contact_key AND r.wa_id = whatsapp_ids.wa_id
    )
    """,
    """
    INSERT INTO {schema}whatsapp_ids (contact_key, wa_id)
    SELECT DISTINCT contact_key, wa_id FROM {schema}wacontacts_check_result r
    WHERE check_id IN :check_ids AND status = 'valid' AND contact_key IS NOT NULL AND wa_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM {schema}whatsapp_ids i WHERE i.contact_key = r.contact_key AND i.wa_id = r.wa_id
    )
    """,
)


@task
def slices(params: dict[str, Any]) -> list[str]:
    """Write the query of each slice; together they have every row of the table, and each row once."""
    borders = [number * BUCKETS // params["slices"] for number in range(params["slices"] + 1)]
    table = params["table"]
    return [SLICE.format(table=table, first=first, last=after - 1) for first, after in pairwise(borders)]


@task
def hand_on(summaries: list[dict[str, Any]]) -> int:
    """Bring ``whatsapp_ids`` up to what all slices say, in the store's database; return how many are valid."""
    from sqlalchemy import bindparam, text

    from airflow_provider_wacontacts.hooks.store import store_engine

    store = store_engine("wacontacts_store")
    schema = f"{store.table_schema}." if store.table_schema else ""
    create, *change = (text(sql.format(schema=schema)) for sql in HAND_ON)
    given = bindparam("check_ids", value=[summary["check_id"] for summary in summaries], expanding=True)
    with store.engine.begin() as connection:
        connection.execute(create)
        done = [connection.execute(sql.bindparams(given)) for sql in change]
    return done[-1].rowcount


with DAG(
    "whatsapp_check_many",
    description="Which contacts of a large table are on WhatsApp, in slices",
    schedule=None,
    start_date=datetime(2022, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "table": Param(
            "contacts",
            type="string",
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
            description="Where the contacts are, in the connection crm",
        ),
        "slices": Param(16, type="integer", minimum=1, maximum=1024, description="How many to cut it into"),
    },
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=2),
    },
    doc_md=__doc__,
    tags=["whatsapp"],
):

    @task_group
    def part(contacts_sql: str) -> Any:
        """Check one slice, and wait until every answer is in; give the summary of the wait."""
        check = WhatsAppCheckContactsOperator(
            task_id="check",
            contacts_conn_id="crm",
            contacts_sql=contacts_sql,
            on_budget="defer",
            pool="whatsapp_business",
        )
        wait = WhatsAppContactsSensor(
            task_id="wait",
            check_id=check.output["check_id"],
            deferrable=True,
            timeout=timedelta(days=1).total_seconds(),
            pool="whatsapp_business",
        )
        check >> wait
        return wait.output

    hand_on(part.expand(contacts_sql=slices()))
