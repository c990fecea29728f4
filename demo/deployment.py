"""A whole Airflow of its own on loopback: scheduler, DAG processor, triggerer and API server, until it is closed."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from demo.api import Api
from demo.postgres import free_port
from demo.processes import Processes
from demo.running import RunningAirflow

__all__ = ["AirflowDeployment"]

AIRFLOW = (sys.executable, "-m", "airflow")
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
COMMAND_LINE = str(Path(__file__).resolve().parent / "command_line")
LOOPBACK = "127.0.0.1"


class AirflowDeployment(RunningAirflow):
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

    def start(self, timeout: float = 300) -> None:
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
