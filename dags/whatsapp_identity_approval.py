"""
A WhatsApp identity that has changed starts a run, a person approves it in Airflow, and it is acknowledged.

Where the client's setting ``show_security_notifications`` is on, it holds all messages to such a user back until the
change is acknowledged. The identities of a run wait under *Required Actions* in Airflow's UI. The request holds their
IDs, which are keys of rows in ``wacontacts_identity``, and no number. After *Reject* nothing is acknowledged, and the
identities stay pending. A user who changes again meanwhile is not acknowledged: the newer change starts another run.

Set ``NEEDS_APPROVAL`` to ``False`` if no person is needed.

Set up before the first run:

* Airflow 3.3 or newer;
* connections ``whatsapp_business_default`` and ``wacontacts_store`` (PostgreSQL or SQLite);
* ``wacontacts receiver``, or a webhook that calls ``record_callback``: it gets the changes into the store.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, Asset, task

from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppAcknowledgeIdentityOperator
from airflow_provider_wacontacts.triggers.whatsapp_business import IdentityChangedTrigger

NEEDS_APPROVAL = True
#: How long a person has to decide. Then the run fails, and the identities stay pending.
DECIDE_WITHIN = timedelta(days=7)
IS_SUPPORTED = tuple(map(int, airflow_version.split(".")[:2])) >= (3, 3)
SETTINGS = {
    "description": "Identity changes start a run; a person approves; they are acknowledged",
    "start_date": datetime(2022, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    "doc_md": __doc__,
    "tags": ["whatsapp"],
}

if IS_SUPPORTED:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
    from airflow.sdk import AssetWatcher

    watcher = AssetWatcher(name="whatsapp_identity_changes", trigger=IdentityChangedTrigger())
    changes = Asset("whatsapp_identity_changes", watchers=[watcher])

    @task(inlets=[changes], retries=3, retry_delay=timedelta(minutes=1))
    def changed(triggering_asset_events: Any) -> list[int]:
        """Return the identities of all events that started this run, each once, without acknowledged ones."""
        from airflow_provider_wacontacts.hooks.store import StoreHook

        # A run or an event that a user has created has no identities.
        payloads = [event.extra.get("payload", {}) for event in triggering_asset_events[changes]]
        identity_ids = {identity_id for payload in payloads for identity_id in payload.get("identity_ids", [])}
        rows = StoreHook().get_records("SELECT identity_id FROM wacontacts_identity WHERE NOT acknowledged")
        unacknowledged = sorted(identity_id for (identity_id,) in rows if identity_id in identity_ids)
        if not unacknowledged:
            raise AirflowSkipException("There is no identity to acknowledge.")
        return unacknowledged

    with DAG("whatsapp_identity_approval", schedule=[changes], **SETTINGS):
        identity_ids = changed()
        acknowledge = WhatsAppAcknowledgeIdentityOperator(
            task_id="acknowledge",
            identity_ids=identity_ids,
            retries=3,
            retry_delay=timedelta(minutes=1),
            execution_timeout=timedelta(minutes=30),
        )
        if NEEDS_APPROVAL:
            approve = ApprovalOperator(
                task_id="approve",
                subject="Acknowledge {{ ti.xcom_pull(task_ids='changed') | length }} changed WhatsApp identities?",
                body=(
                    "Look them up by `identity_id` in `wacontacts_identity`:"
                    " {{ ti.xcom_pull(task_ids='changed') | join(', ') }}."
                ),
                response_timeout=DECIDE_WITHIN,
                # Its output has the name of the person.
                do_xcom_push=False,
            )
            identity_ids >> approve >> acknowledge
else:

    @task
    def missing() -> None:
        """Fail with a list of missing requirements."""
        raise AirflowFailException(
            f"This DAG needs Airflow 3.3 or newer, and this is {airflow_version}. Older ones have no state of"
            " assets, or no approvals. Use the example DAG whatsapp_identity_changes, which runs on a schedule."
        )

    with DAG("whatsapp_identity_approval", schedule=None, **SETTINGS):
        missing()
