"""
Send the messages of a table to people who are on WhatsApp: check their numbers, wait, send, and store the outcome.

Checking just before sending keeps a sender from being banned for checks without messages. If the client has forgotten a
contact (error 1006, unknown contact), the DAG checks that number again with ``wait``, and sends once more. A reply to a
message that you received needs no check: send it to the ID that wrote.

Set up before the first run:

* connections ``whatsapp_business_default`` and ``wacontacts_store``; see ``whatsapp_check_contacts``;
* connection ``whatsapp_messages`` of type ``http``, which sends: its host is the client's, and its extra has the header
  ``Authorization``. Replace task ``send`` if you send in another way;
* connection ``crm``, any database with a table ``outbox``, or the table of parameter ``table``. Its columns are
  ``contact_key``, the key of the row, ``number`` in any spelling, ``opted_in``, which must be true, ``body``, and
  ``state``, which is ``queued``;
* a triggerer, which waits without a worker.

The DAG creates table ``outbox_ids`` in the database of ``crm``, and sets ``state`` to ``sent`` or ``failed``. A row
whose number is not on WhatsApp stays ``queued``. Task ``send`` has no retries, and sets ``sending`` before it sends: a
row that stays so was interrupted, and may have been sent. No number passes through Airflow.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppCheckContactsOperator,
    WhatsAppCheckResultsToSqlOperator,
)
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

#: Rows of a state, as the check operators read them.
NUMBERS = "SELECT contact_key, number, opted_in FROM {{ params.table }} WHERE state = 'STATE'"
UNKNOWN_CONTACT = 1006


@task(retries=0)
def send(state: str, if_unknown: str, params: dict[str, Any]) -> dict[str, int]:
    """
    Send the messages of all rows in a state whose number is on WhatsApp, and count the outcomes.

    :param if_unknown: the new state of rows whose contact the client has forgotten.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.providers.http.hooks.http import HttpHook

    crm: Any = DbApiHook.get_hook("crm")
    http = HttpHook(method="POST", http_conn_id="whatsapp_messages")
    table, value = params["table"], crm.placeholder

    def set_state(key: str, new: str) -> None:
        crm.run(f"UPDATE {table} SET state = {value} WHERE contact_key = {value}", parameters=(new, key))  # noqa: S608

    rows = crm.get_records(
        f"SELECT o.contact_key, i.wa_id, o.body FROM {table} o"  # noqa: S608
        f" JOIN outbox_ids i ON i.contact_key = o.contact_key WHERE o.state = {value}",
        parameters=(state,),
    )
    outcomes = {"sent": 0, "failed": 0, if_unknown: 0}
    for key, wa_id, body in rows:
        set_state(key, "sending")
        message = {"to": wa_id, "type": "text", "text": {"body": body}}
        response = http.run("v1/messages", json=message, extra_options={"check_response": False})
        outcome = "sent" if response.ok else "failed"
        if response.status_code == 404 and _error_code(response) == UNKNOWN_CONTACT:
            outcome = if_unknown
        outcomes[outcome] += 1
        set_state(key, outcome)
    return outcomes


def _error_code(response: Any) -> int | None:
    try:
        return int(response.json()["errors"][0]["code"])
    except (ValueError, LookupError, TypeError):
        return None


with DAG(
    "whatsapp_check_and_send",
    description="Check the recipients of messages, wait, and send",
    schedule=None,
    start_date=datetime(2022, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "table": Param(
            "outbox",
            type="string",
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
            description="Table of the messages, in the database of connection crm",
        ),
    },
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(hours=2)},
    doc_md=__doc__,
    tags=["whatsapp"],
):
    check = WhatsAppCheckContactsOperator(
        task_id="check",
        contacts_conn_id="crm",
        contacts_sql=NUMBERS.replace("STATE", "queued"),
        require_opt_in=True,
    )
    wait = WhatsAppContactsSensor(
        task_id="wait",
        check_id=check.output["check_id"],
        deferrable=True,
        timeout=timedelta(hours=2).total_seconds(),
    )
    hand_on = WhatsAppCheckResultsToSqlOperator(
        task_id="hand_on",
        check_id=check.output["check_id"],
        target_conn_id="crm",
        target_table="outbox_ids",
        create_table=True,
    )
    # The store has a fresh result of these numbers, but the client does not: fresh_for=0 asks it again.
    check_again = WhatsAppCheckContactsOperator(
        task_id="check_again",
        contacts_conn_id="crm",
        contacts_sql=NUMBERS.replace("STATE", "unknown contact"),
        require_opt_in=True,
        fresh_for=timedelta(0),
        blocking="wait",
    )
    hand_on_again = WhatsAppCheckResultsToSqlOperator(
        task_id="hand_on_again",
        check_id=check_again.output["check_id"],
        target_conn_id="crm",
        target_table="outbox_ids",
    )
    first = send("queued", if_unknown="unknown contact")
    last = send.override(task_id="send_again")("unknown contact", if_unknown="failed")
    check >> wait >> hand_on >> first >> check_again >> hand_on_again >> last
