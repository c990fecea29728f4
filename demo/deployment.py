"""A whole Airflow of its own on loopback: scheduler, DAG processor, triggerer and API server, until it is closed."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from demo.api import Api, ApiRefusedError
from demo.processes import Processes

__all__ = ["AirflowDeployment", "DeploymentError", "free_port"]

AIRFLOW = (sys.executable, "-m", "airflow")
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
COMMAND_LINE = str(Path(__file__).resolve().parent / "command_line")
LOOPBACK = "127.0.0.1"
FINISHED = frozenset({"success", "failed"})


class DeploymentError(RuntimeError):
    """Airflow did not do in time, or would not do, what was asked of it."""


def free_port() -> int:
    """Find a port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class AirflowDeployment:
    """
    Airflow with the LocalExecutor and a database of its own, for as long as a ``with`` block lasts.

    :param home: its ``AIRFLOW_HOME``; made where it is missing, left behind for looking into.
    :param dags_folder: the DAGs, read once, at the start.
    :param connections: by connection id, members as Airflow's JSON form of a connection has them.
    :param variables: Airflow Variables by name.
    :param pools: slots by pool name.
    :param env: further environment; ``AIRFLOW__SECTION__OPTION`` wins over what is set here.
    :param plugins_folder: Airflow plugins to load; ``None`` for none.
    :param database_url: SQLAlchemy URL of an empty metadata database; ``None`` for SQLite in ``home``.
    """

    username = "admin"

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        variables: Mapping[str, str] | None = None,
        pools: Mapping[str, int] | None = None,
        env: Mapping[str, str] | None = None,
        plugins_folder: Path | None = None,
        database_url: str | None = None,
    ) -> None:
        self.home = home.resolve()
        self.logs = self.home / "logs"
        self.process_logs = self.home / "process-logs"
        self.database_url = database_url or f"sqlite:///{self.home / 'airflow.db'}?timeout=60"
        self.password = secrets.token_urlsafe(9)
        self.url = f"http://{LOOPBACK}:{free_port()}"
        self.api = Api(self.url, self.username, self.password)
        self._pools = dict(pools or {})
        self._processes = Processes(self.process_logs)
        self._env = {
            **_inherited(),
            **self._settings(dags_folder.resolve(), plugins_folder or self.home / "plugins"),
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(conn) for name, conn in (connections or {}).items()},
            **{f"AIRFLOW_VAR_{name.upper()}": value for name, value in (variables or {}).items()},
            **(env or {}),
        }

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

    def start(self, timeout: float = 120) -> None:
        """
        Make the database, start every component and wait until all are healthy.

        :param timeout: seconds from the components' start to their health.
        :raises ProcessEndedError: one of them did not stay.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self._passwords_file.touch(0o600)
        self._passwords_file.write_text(json.dumps({self.username: self.password}))
        self.cli("db", "migrate")
        self._let_readers_and_a_writer_work_side_by_side()
        for component in COMPONENTS:
            self._start(component)
        self.wait(self._is_healthy, "Airflow to be healthy", timeout)
        for name, slots in self._pools.items():
            self.api.call("POST", "pools", json={"name": name, "slots": slots})

    def lose(self, component: str) -> None:
        """Kill a component as if its machine failed, and start another in its place."""
        self._processes.kill(component)
        self._start(component)

    def stop(self) -> None:
        """End every process that was started and all that those started; nothing happens the second time."""
        self._processes.stop()

    def check(self) -> None:
        """
        Make sure that every component is still running.

        :raises ProcessEndedError: one is not.
        """
        self._processes.check()

    def cli(self, *args: str, timeout: float = 120) -> str:
        """
        Run an ``airflow`` command in this deployment.

        :returns: what it wrote.
        :raises ProcessEndedError: it failed.
        """
        path = os.pathsep.join(filter(None, [COMMAND_LINE, self._env.get("PYTHONPATH")]))
        env = {**self._env, "PYTHONPATH": path}
        return self._processes.run("airflow-cli", [*AIRFLOW, *args], env=env, cwd=self.home, timeout=timeout)

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

    def unpause(self, dag_id: str, timeout: float = 60) -> None:
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
        self.wait(lambda: not self._open_backfills(dag_id), "the last backfill to be closed", 90)
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
        timeout: float = 240,
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

    def _start(self, component: str) -> None:
        serving = ["--skip-serve-logs"] if component in ("scheduler", "triggerer") else []
        self._processes.start(component, [*AIRFLOW, component, *serving], env=self._env, cwd=self.home)

    def _let_readers_and_a_writer_work_side_by_side(self) -> None:
        if self.database_url.startswith("sqlite"):
            with closing(sqlite3.connect(self.home / "airflow.db")) as database:
                database.execute("PRAGMA journal_mode = WAL")

    @property
    def _passwords_file(self) -> Path:
        return self.home / "passwords.json"

    def _is_healthy(self) -> bool:
        states = self.api.health()
        return bool(states) and set(states.values()) == {"healthy"}

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

    def _settings(self, dags_folder: Path, plugins_folder: Path) -> dict[str, str]:
        settings = {
            "core.dags_folder": dags_folder,
            "core.plugins_folder": plugins_folder,
            "core.executor": "LocalExecutor",
            "core.parallelism": 2,
            "core.load_examples": False,
            "core.fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "core.execution_api_server_url": f"{self.url}/execution/",
            "core.simple_auth_manager_users": f"{self.username}:admin",
            "core.simple_auth_manager_passwords_file": self._passwords_file,
            "database.sql_alchemy_conn": self.database_url,
            "logging.base_log_folder": self.logs,
            "api.base_url": self.url,
            "api.host": LOOPBACK,
            "api.port": self.url.rpartition(":")[2],
            "api.workers": 1,
            "api.secret_key": secrets.token_hex(16),
            "api_auth.jwt_secret": secrets.token_hex(32),
            "scheduler.scheduler_idle_sleep_time": 0.25,
            "scheduler.enable_health_check": False,
            "dag_processor.parsing_processes": 1,
            "dag_processor.min_file_process_interval": 3600,
            "dag_processor.refresh_interval": 3600,
            "usage_data_collection.enabled": False,
        }
        named = {f"AIRFLOW__{name.replace('.', '__', 1).upper()}": str(value) for name, value in settings.items()}
        return {"AIRFLOW_HOME": str(self.home), **named}


def _inherited() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    nearby = ",".join(filter(None, [kept.get("no_proxy") or kept.get("NO_PROXY"), LOOPBACK, "localhost"]))
    return {**kept, "no_proxy": nearby, "NO_PROXY": nearby, "PYTHONUNBUFFERED": "1"}
