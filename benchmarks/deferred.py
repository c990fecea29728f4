"""
Task instances that are deferred, in the metadata database, as a scheduler and its workers would leave them there.

``python -m benchmarks.deferred WAY COUNT`` makes them in an Airflow whose database is migrated: ``timers`` wait by
Airflow's ``DateTimeTrigger``, ``sensors`` by ``WhatsAppContactsTrigger`` for a check each, of one number that the
client is working on.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger
    from sqlalchemy.orm import Session

__all__ = ["HOUR", "SENDER", "defer"]

SENDER = "+12015550100"
HOUR = timedelta(hours=1)
DAG_FILE = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("waiting", schedule=None):
    EmptyOperator(task_id="wait")
"""


def defer(way: str, count: int) -> None:
    """Make a DAG, a run of it, and so many instances of its task, each with a trigger of its own."""
    from airflow.utils.session import create_session

    triggers = {"timers": _timers, "sensors": _sensors}[way](count)
    _register()
    with create_session() as session:
        _wait_for(triggers, session)


def _timers(count: int) -> list[BaseTrigger]:
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger

    return [DateTimeTrigger(moment=datetime.now(UTC) + HOUR) for _ in range(count)]


def _sensors(count: int) -> list[BaseTrigger]:
    from airflow_provider_wacontacts.triggers.whatsapp_business import WhatsAppContactsTrigger

    deadline = datetime.now(UTC) + HOUR
    return [WhatsAppContactsTrigger(check_id, deadline) for check_id in _checks(count)]


def _checks(count: int) -> list[str]:
    """Make checks whose only number is being processed."""
    from airflow_provider_wacontacts.hooks.store import open_store
    from airflow_provider_wacontacts.store import TaskInstanceKey
    from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec
    from airflow_provider_wacontacts.store.checks.sender import SenderChecks

    store = open_store("wacontacts_store")
    store.prepare()
    checks, now, made = SenderChecks(store.context, SENDER, daily_checks=count), datetime.now(UTC), []
    for index in range(count):
        check = checks.open(
            CheckSpec(TaskInstanceKey("dag", "run", "task", index), "options", "1", now - timedelta(days=7))
        )
        number = f"+1{201 + index // 10_000}555{index % 10_000:04}"
        check.fill([CheckInput(number, number)])
        for number_ids in check.queued(1):
            check.lease(number_ids)
            check.record(CheckResults({number: ("processing", None)}, now, now))
        check.finish()
        made.append(check.check_id)
    return made


def _register() -> None:
    """Have Airflow know the DAG, as after its file was read."""
    from airflow.configuration import conf
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    folder = Path(conf.get("core", "dags_folder"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "waiting.py").write_text(DAG_FILE)
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(DagBag(folder, bundle_path=folder), "dags-folder", None)


def _wait_for(triggers: list[BaseTrigger], session: Session) -> None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.state import TaskInstanceState

    run, task, version = _run_of_the_dag(session)
    rows = [Trigger.from_object(trigger) for trigger in triggers]
    session.add_all(rows)
    session.flush()
    for index, row in enumerate(rows):
        ti = TaskInstance(task, version, run.run_id, TaskInstanceState.DEFERRED, map_index=index)
        ti.trigger_id = row.id
        ti.trigger_timeout = datetime.now(UTC) + HOUR
        ti.next_method = "execute_complete"
        session.add(ti)


def _run_of_the_dag(session: Session) -> tuple[Any, Any, Any]:
    """Make a run; return it, its task, and the id of the DAG's version."""
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbag import DBDagBag
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    dag: Any = DBDagBag().get_latest_version_of_dag("waiting", session=session)
    version: Any = DagVersion.get_latest_version("waiting", session=session)
    run = dag.create_dagrun(
        run_id="run",
        run_after=datetime.now(UTC),
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState.RUNNING,
        session=session,
    )
    return run, dag.get_task("wait"), version.id


if __name__ == "__main__":
    defer(sys.argv[1], int(sys.argv[2]))
