"""
Everything Turn.io holds of an account so far, once, in slices of 30 days: into the store.

Trigger it by hand with ``since``, a time before the account's first contact, and let ``turn_contacts_daily`` carry on.
Turn.io gives only the newest state of a contact, so this is the base that history grows from, not history itself.
Running it again does no harm.

It needs the connections ``turn_default`` and ``wacontacts_store`` and the pool ``turn``, which lets the slices through
one after another; see ``turn_contacts_daily``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.operators.turn import TurnContactsToSqlOperator

SLICE = timedelta(days=30)
#: The newest minutes are left to the daily DAG: updates may still be on their way.
SETTLE = timedelta(minutes=5)


@task(retries=0)
def slices(params: dict[str, Any], dag_run: Any) -> list[dict[str, str]]:
    """Cut the time from ``since`` to the run's own time into windows, oldest first."""
    from airflow_provider_wacontacts.records.windows import Window, format_time, parse_time

    now: datetime = getattr(dag_run, "run_after", None) or dag_run.logical_date
    everything = Window(parse_time(params["since"]), now - SETTLE)
    return [{"start": format_time(part.start), "end": format_time(part.end)} for part in everything.split(SLICE)]


with DAG(
    "turn_contacts_first_load",
    description="Every contact so far, into the store",
    schedule=None,
    start_date=datetime(2022, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "since": Param(
            "2020-01-01T00:00:00+00:00",
            type="string",
            format="date-time",
            description="A time before the first contact, with its offset",
        ),
    },
    default_args={
        "pool": "turn",
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=6),
    },
    doc_md=__doc__,
    tags=["turn", "whatsapp"],
):
    TurnContactsToSqlOperator.partial(
        task_id="to_store",
        settle=SETTLE,
        map_index_template="{{ task.start[:10] }}",
        outlets=[store_asset(source="turn")],
    ).expand_kwargs(slices())
