"""
Sync an account's contacts so far into the store once, window by window: the baseline (initial load).

Trigger it manually with ``since``, a time before the account's first contact, then enable ``turn_contacts_daily``.
Turn.io returns only a contact's latest version, so the baseline has no earlier versions. You can run it again.

It needs the connections ``turn_default`` and ``wacontacts_store`` and the pool ``turn``; see ``turn_contacts_daily``.
With one slot, the pool runs the windows one at a time, which uses all of Turn.io's 60 requests a minute. If Turn.io has
raised the limit of your number, give the pool up to three slots, and trigger the DAG with a smaller ``window_days``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.operators.turn import TurnContactsToSqlOperator

#: The daily DAG syncs the newest minutes, for updates that arrive late.
SETTLE = timedelta(minutes=5)


@task(retries=0)
def slices(params: dict[str, Any], dag_run: Any) -> list[dict[str, str]]:
    """Split the time from ``since`` to the run into windows, oldest first."""
    from airflow_provider_wacontacts.records.windows import Window, format_time, parse_time

    now: datetime = getattr(dag_run, "run_after", None) or dag_run.logical_date
    everything, length = Window(parse_time(params["since"]), now - SETTLE), timedelta(days=params["window_days"])
    return [{"start": format_time(part.start), "end": format_time(part.end)} for part in everything.split(length)]


with DAG(
    "turn_contacts_first_load",
    description="Sync all contacts so far into the store",
    schedule=None,
    start_date=datetime(2022, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "since": Param(
            "2020-01-01T00:00:00+00:00",
            type="string",
            format="date-time",
            description="Time before the first contact, with an offset",
        ),
        "window_days": Param(30, type="integer", minimum=1, description="Length of the windows, in days"),
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
