"""
Which contacts of a table are on WhatsApp: ask, wait until every answer is in, hand the valid ids on.

Trigger it when the table has changed, by hand or from the DAG that loads it, or give it a schedule. However often it
runs, a number is asked about once in seven days; ``whatsapp_revalidate_stale`` keeps the answers young. Never check
more numbers than you write to: WhatsApp bans senders for it.

Set up before the first run:

* connections ``whatsapp_business_default``, whose extra ``daily_checks`` is what a day may cost, ``wacontacts_store``
  (PostgreSQL or SQLite), and ``crm``, any database, with a table ``contacts``, or another that a run's parameter names:
  its columns are ``contact_key``, your own key, ``number`` in any spelling, and ``opted_in``;
* a triggerer: the wait is there, and holds no worker.

What it leaves is the table ``whatsapp_ids`` beside the store's own, with ``contact_key`` and ``wa_id``: a row for
each id of each contact. A contact that is deleted from your table keeps its rows there: delete them with it. No number
passes through Airflow, only the id of the check.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

#: A number that has failed this time keeps the id that is known of it. What other tables gave stays.
HAND_ON = (
    "CREATE TABLE IF NOT EXISTS {schema}whatsapp_ids (contact_key text NOT NULL, wa_id text NOT NULL)",
    """
    DELETE FROM {schema}whatsapp_ids WHERE contact_key IN (
        SELECT contact_key FROM {schema}wacontacts_check_result WHERE check_id = :check_id
    ) AND NOT EXISTS (
        SELECT 1 FROM {schema}wacontacts_check_result r WHERE r.check_id = :check_id AND r.status = 'failed'
            AND r.contact_key = whatsapp_ids.contact_key AND r.wa_id = whatsapp_ids.wa_id
    )
    """,
    """
    INSERT INTO {schema}whatsapp_ids (contact_key, wa_id)
    SELECT DISTINCT contact_key, wa_id FROM {schema}wacontacts_check_result r
    WHERE check_id = :check_id AND status = 'valid' AND contact_key IS NOT NULL AND wa_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM {schema}whatsapp_ids i WHERE i.contact_key = r.contact_key AND i.wa_id = r.wa_id
    )
    """,
)


@task
def hand_on(check_id: str) -> int:
    """Bring ``whatsapp_ids`` up to what a check says, in the store's own database; return how many of it are valid."""
    from sqlalchemy import text

    from airflow_provider_wacontacts.hooks.store import store_engine

    store = store_engine("wacontacts_store")
    schema = f"{store.table_schema}." if store.table_schema else ""
    with store.engine.begin() as connection:
        done = [connection.execute(text(sql.format(schema=schema)), {"check_id": check_id}) for sql in HAND_ON]
    return done[-1].rowcount


with DAG(
    "whatsapp_check_contacts",
    description="Which contacts of a table are on WhatsApp, and under which ids",
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
    },
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=2),
    },
    doc_md=__doc__,
    tags=["whatsapp"],
):
    check = WhatsAppCheckContactsOperator(
        task_id="check",
        contacts_conn_id="crm",
        contacts_sql="SELECT contact_key, number, opted_in FROM {{ params.table }}",
    )
    wait = WhatsAppContactsSensor(
        task_id="wait",
        check_id=check.output["check_id"],
        deferrable=True,
        timeout=timedelta(hours=2).total_seconds(),
    )
    check >> wait >> hand_on(check.output["check_id"])
