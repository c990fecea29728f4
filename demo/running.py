"""An Airflow that is up: what can be asked of it and done with it, however it was started."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from demo.api import Api, ApiRefusedError

__all__ = ["DeploymentError", "RunningAirflow"]

FINISHED = frozenset({"success", "failed"})


class DeploymentError(RuntimeError):
    """Airflow did not do in time, or would not do, what was asked of it."""


class RunningAirflow:
    """
    What does not depend on how its components were started. They run for as long as a ``with`` block lasts.

    :ivar api: its REST API.
    :ivar logs: the folder of its tasks' logs.
    """

    api: Api
    logs: Path

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every component, and wait until what can be asked is up."""
        raise NotImplementedError

    def stop(self) -> None:
        """End every component; nothing happens the second time."""
        raise NotImplementedError

    def check(self) -> None:
        """
        Make sure that every component is still running.

        :raises ProcessEndedError: one is not.
        """
        raise NotImplementedError

    def cli(self, *args: str, timeout: float = 300) -> str:
        """
        Run an ``airflow`` command in this deployment.

        :returns: what it wrote.
        :raises ProcessEndedError: it failed.
        """
        raise NotImplementedError

    def wait(self, ready: Callable[[], Any], what: str, timeout: float, every: float = 0.5) -> Any:
        """
        Ask again and again until the answer is true, as long as every component stays up.

        :param timeout: seconds.
        :param every: seconds between asking.
        :returns: the true answer.
        :raises DeploymentError: it was not true in time.
        """
        deadline = time.monotonic() + timeout
        while not (answer := ready()):
            self.check()
            if time.monotonic() > deadline:
                raise DeploymentError(f"waited {timeout:.0f} s in vain for {what}")
            time.sleep(every)
        return answer

    def unpause(self, dag_id: str, timeout: float = 180) -> None:
        """
        Wait until a DAG has been read, and let it run.

        :raises DeploymentError: a DAG file cannot be imported, or the DAG is in none.
        """
        self.wait(lambda: self._has_read(dag_id), f"the DAG {dag_id} to be read", timeout)
        self.api.call("PATCH", "dags", dag_id, json={"is_paused": False})

    def backfill(
        self, dag_id: str, first: str, last: str, *, reprocess: str = "none", max_active_runs: int = 1
    ) -> list[str]:
        """
        Create a backfill by ``airflow backfill create``, once an earlier one of the same DAG is closed.

        :param first: date of the first run, ISO.
        :param last: date of the last run, ISO.
        :param reprocess: ``none``, ``failed`` or ``completed``: which existing runs to run again.
        :returns: ids of the runs between the dates, oldest first; see :meth:`wait_for_runs`.
        """
        self.wait(lambda: not self._open_backfills(dag_id), "the last backfill to be closed", 300)
        self.cli(
            *("backfill", "create", "--dag-id", dag_id, "--from-date", first, "--to-date", last),
            *("--reprocess-behavior", reprocess, "--max-active-runs", str(max_active_runs)),
        )
        created = max(self._backfills(dag_id), key=lambda backfill: int(backfill["id"]))
        return [
            run["dag_run_id"]
            for run in self.runs(dag_id)
            if run["run_type"] == "backfill" and created["from_date"] <= run["logical_date"] <= created["to_date"]
        ]

    def trigger(self, dag_id: str, *, conf: Mapping[str, Any] | None = None, logical_date: str | None = None) -> str:
        """Start one run by hand and return its id; without ``logical_date`` it has no data interval."""
        body = {"conf": dict(conf or {}), "logical_date": logical_date}
        return str(self.api.call("POST", "dags", dag_id, "dagRuns", json=body)["dag_run_id"])

    def wait_for_runs(
        self,
        dag_id: str,
        run_ids: Sequence[str],
        *,
        timeout: float = 600,
        seen: Callable[[dict[str, str]], None] | None = None,
    ) -> dict[str, str]:
        """
        Wait until runs have finished.

        :param timeout: seconds.
        :param seen: called about once a second with the state of each run by its id.
        :returns: ``success`` or ``failed`` by run id.
        """

        def finished() -> dict[str, str] | None:
            states = {run["dag_run_id"]: str(run["state"]) for run in self.runs(dag_id) if run["dag_run_id"] in run_ids}
            if seen:
                seen(states)
            return states if FINISHED.issuperset(states.values()) else None

        states: dict[str, str] = self.wait(finished, f"runs of {dag_id}", timeout, every=1)
        return states

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """List a DAG's runs, oldest logical date first."""
        return self.api.listing("dag_runs", "dags", dag_id, "dagRuns", order_by="logical_date")

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """List a run's task instances, each mapped one by itself."""
        return self.api.listing("task_instances", "dags", dag_id, "dagRuns", run_id, "taskInstances")

    def xcom(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, key: str = "return_value") -> Any:
        """Return what a task instance pushed."""
        path = ("dags", dag_id, "dagRuns", run_id, "taskInstances", task_id, "xcomEntries", key)
        return self.api.call("GET", *path, map_index=map_index, deserialize=True)["value"]

    def asset_events(self, dag_id: str) -> list[dict[str, Any]]:
        """List the asset events that a DAG's tasks caused, oldest first."""
        return self.api.listing("asset_events", "assets", "events", source_dag_id=dag_id, order_by="timestamp")

    def task_logs(self) -> list[Path]:
        """List the log files of all tasks, the triggerer's part among them, oldest first."""
        found = self.logs.glob("dag_id=*/**/*.log*")
        return sorted((path for path in found if path.is_file()), key=lambda path: path.stat().st_mtime)

    def _has_read(self, dag_id: str) -> bool:
        if errors := self.api.listing("import_errors", "importErrors"):
            raise DeploymentError(f"{errors[0]['filename']} cannot be imported:\n{errors[0]['stack_trace']}")
        try:
            self.api.call("GET", "dags", dag_id)
        except ApiRefusedError:
            return False
        return True

    def _backfills(self, dag_id: str) -> list[dict[str, Any]]:
        return self.api.listing("backfills", "backfills", dag_id=dag_id)

    def _open_backfills(self, dag_id: str) -> list[dict[str, Any]]:
        return [backfill for backfill in self._backfills(dag_id) if not backfill["completed_at"]]
