"""
Every day: ask anew about the numbers that were last looked at seven days ago, and wait until every answer is in.

A WhatsApp Business client remembers an answer for seven days, so asking sooner would learn nothing. The oldest are
asked first, at most ``limit`` of them and within the sender's ``daily_checks``; the others wait for the next day. The
limit is half of what a sender may ask about in a day by default: the rest is left to numbers that are new.
Numbers that have left the table, and those of people who have opted out, are not asked about.

Answers are in the store's tables ``wacontacts_number`` and ``wacontacts_check_result``. A run of
``whatsapp_check_contacts`` after this one takes them from there, asks for little else, and hands them on.

It needs the connections and the table of ``whatsapp_check_contacts``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppRevalidateContactsOperator
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

with DAG(
    "whatsapp_revalidate_stale",
    description="Numbers whose answer has grown old are asked about anew",
    schedule=CronDataIntervalTimetable("0 3 * * *", timezone="UTC"),
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
    revalidate = WhatsAppRevalidateContactsOperator(
        task_id="revalidate",
        limit=500,
        contacts_conn_id="crm",
        contacts_sql="SELECT number, opted_in FROM {{ params.table }}",
    )
    wait = WhatsAppContactsSensor(
        task_id="wait",
        check_id=revalidate.output["check_id"],
        deferrable=True,
        timeout=timedelta(hours=2).total_seconds(),
    )
    revalidate >> wait
