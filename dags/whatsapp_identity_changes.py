"""
Users whose WhatsApp identity has potentially changed: look who they are now, decide, acknowledge.

A number that WhatsApp calls changed may have a new phone, or a new owner. Where the client's setting
``show_security_notifications`` is on, it holds all messages to such a user back until the change is acknowledged. Put
your own rule into ``decide``, for example users who have logged in since, or users who get no confidential messages.
An identity that changes again before its acknowledgement is not acknowledged. The next run fetches it.

Set up before the first run:

* connections ``whatsapp_business_default`` and ``wacontacts_store`` (PostgreSQL or SQLite);
* a webhook that hands what the client delivers to ``record_callback``, which is how changes get into the store.

Tasks hand each other keys of rows in ``wacontacts_identity``. No number and no hash passes through Airflow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppAcknowledgeIdentityOperator,
    WhatsAppGetIdentityOperator,
)


@task
def decide(identity_ids: list[int]) -> list[int]:
    """Return the identities whose users may be written to again: here, all of them."""
    return identity_ids


with DAG(
    "whatsapp_identity_changes",
    description="Identity changes that are pending: look, decide, acknowledge",
    schedule=CronDataIntervalTimetable("*/15 * * * *", timezone="UTC"),
    start_date=datetime(2022, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(minutes=30),
    },
    doc_md=__doc__,
    tags=["whatsapp"],
):
    look = WhatsAppGetIdentityOperator(task_id="look", limit=500)
    WhatsAppAcknowledgeIdentityOperator(task_id="acknowledge", identity_ids=decide(look.output["identity_ids"]))
