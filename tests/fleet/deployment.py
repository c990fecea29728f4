"""The services of docker-compose.yaml as processes of this machine: commands, environment and health checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import create_engine
from sqlalchemy.engine import Engine

from demo.api import Api
from demo.postgres import PostgresServer, free_port
from demo.processes import Processes, tail
from demo.running import DeploymentError, RunningAirflow
from tests.fleet.composition import Service, dockerfile_copies, read_services

__all__ = ["Fleet", "Instance", "new_variables"]

ROOT = Path(__file__).resolve().parents[2]
MACHINE = Path(__file__).parent / "machine"
LOOPBACK = "127.0.0.1"
HOME = "/opt/airflow"
#: The server is the one that all tests use: the image's own would be another machine's.
POSTGRES = "postgres"
#: What the entrypoint of Airflow's image runs as it is; it puts `airflow` before everything else.
PROGRAMS = ("bash", "python")
#: Only runs that the tests ask for.
OVERRIDES = {
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "airflow_local_settings.hostname",
    "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    "PYTHONPATH": str(MACHINE),
    "PYTHONUNBUFFERED": "1",
}


def new_variables() -> dict[str, str]:
    """Return what is in the .env that the project's own script makes."""
    made = subprocess.run([ROOT / "docker" / "new_env"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in made.splitlines() if line and not line.startswith("#"))


@dataclass(frozen=True)
class Instance:
    """One container of a service: its name, and the folder that stands for its ``/opt/airflow``."""

    service: Service
    name: str
    home: Path


class Fleet(RunningAirflow):
    """
    All services, in the order that they ask for, until it is left.

    :param home: folder for their files; made where it is missing.
    :param variables: what ``.env`` holds.
    :param folders: what is mounted in place of a folder of the project, by its name in the file: ``./dags``.
    :param environment: of every service of Airflow, beside or in place of what the file says.
    """

    def __init__(
        self,
        home: Path,
        variables: dict[str, str],
        *,
        folders: Mapping[str, Path] = MappingProxyType({}),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.home = home
        self._folders = folders
        self._overrides = OVERRIDES | environment
        self.services = read_services(ROOT / "docker-compose.yaml", variables)
        self.processes = Processes(home / "process-logs")
        self.postgres = PostgresServer()
        self.instances = [
            Instance(service, name if service.replicas == 1 else f"{name}-{number}", home / f"{name}-{number}")
            for name, service in self.services.items()
            for number in range(1, service.replicas + 1)
        ]
        self.variables = variables
        self.logs = home / "volumes" / "logs"
        self._copies = {target: str(ROOT / source) for target, source in dockerfile_copies(ROOT / "Dockerfile").items()}
        self._ports: dict[tuple[str, int], int] = {}

    def start(self) -> None:
        """Start every service after those that it waits for."""
        waiting = list(self.instances)
        done: set[str] = set()
        while waiting:
            ready = [each for each in waiting if each.service.after.keys() <= done]
            if not ready:
                raise DeploymentError(f"wait for each other: {[each.name for each in waiting]}")
            for instance in ready:
                self._start_one(instance)
                waiting.remove(instance)
            done |= {each.service.name for each in ready}
        self.api = Api(self.url("airflow-apiserver"), "admin", self.variables["ADMIN_PASSWORD"])

    def stop(self) -> None:
        """End all of it."""
        self.processes.stop()
        self.postgres.stop()

    def check(self) -> None:
        """See :meth:`RunningAirflow.check`."""
        self.processes.check()

    def cli(self, *args: str, timeout: float = 120) -> str:
        """See :meth:`RunningAirflow.cli`; it runs in the scheduler's container."""
        (scheduler,) = self.of("airflow-scheduler")
        env = self.environment(scheduler)
        return self.processes.run("airflow-cli", ["airflow", *args], env=env, cwd=scheduler.home, timeout=timeout)

    def of(self, service: str) -> list[Instance]:
        """List the instances of a service."""
        return [instance for instance in self.instances if instance.service.name == service]

    def url(self, service: str) -> str:
        """Tell where the only port of a service is here."""
        (instance, (port,)) = self.of(service)[0], self.services[service].ports
        return f"http://{LOOPBACK}:{self._port(instance.name, port)}"

    def engine(self, database: str) -> Engine:
        """Make an engine on a database of its server."""
        return create_engine(self.postgres.url(database=database))

    def environment(self, instance: Instance) -> dict[str, str]:
        """Give the environment of a service, moved here, and nothing else of this machine's but where programs are."""
        own = {name: self._moved(value, instance) for name, value in instance.service.environment.items()}
        places = [str(Path(sys.executable).parent), str(self.postgres.binaries), os.environ["PATH"]]
        machine = {
            "PATH": os.pathsep.join(places),
            "HOME": str(instance.home),
            "HOSTNAME": instance.name,
            "AIRFLOW_HOME": str(instance.home),
            "no_proxy": f"{LOOPBACK},localhost",
        }
        return {**machine, **own, **self._overrides}

    def health(self, instance: Instance) -> subprocess.CompletedProcess[str]:
        """Run the health check of a service once."""
        words = [self._moved(word, instance) for word in instance.service.check]
        env = self.environment(instance)
        return subprocess.run(
            words, env=env, cwd=instance.home, capture_output=True, text=True, check=False, timeout=60
        )

    def healthy(self) -> dict[str, bool]:
        """Run every health check, two at a time; tell how each ended, by the instance's name."""
        checked = [instance for instance in self.instances if instance.service.check]
        with ThreadPoolExecutor(2) as threads:
            codes = threads.map(lambda instance: self.health(instance).returncode, checked)
        return {instance.name: code == 0 for instance, code in zip(checked, codes, strict=True)}

    def kill(self, name: str) -> list[list[str]]:
        """End a container by SIGKILL, with all that runs in it; return the commands of what ran."""
        commands = [process.cmdline() for process in self.processes.members(name)]
        self.processes.kill(name)
        return commands

    def start_again(self, name: str) -> None:
        """Start a container again that :meth:`kill` ended, with the files that it had."""
        (instance,) = [each for each in self.instances if each.name == name]
        self._start_process(instance)

    def _start_one(self, instance: Instance) -> None:
        for name, condition in instance.service.after.items():
            if condition == "service_healthy":
                self._wait_until_healthy(name)
        self._make_home(instance)
        if instance.service.name == POSTGRES:
            self._start_postgres(instance)
            return
        if self._ends(instance):
            argv, env = self._argv(instance), self.environment(instance)
            self.processes.run(instance.name, argv, env=env, cwd=instance.home, timeout=180)
            return
        self._start_process(instance)

    def _start_process(self, instance: Instance) -> None:
        env = self.environment(instance)
        self.processes.start(instance.name, self._argv(instance), env=env, cwd=instance.home)

    def _ends(self, instance: Instance) -> bool:
        ending = "service_completed_successfully"
        return any(each.after.get(instance.service.name) == ending for each in self.services.values())

    def _wait_until_healthy(self, name: str) -> None:
        (instance,) = self.of(name)
        deadline = time.monotonic() + 300
        while (told := self.health(instance)).returncode:
            self.check()
            if time.monotonic() > deadline:
                log = tail(self.processes.logs / f"{instance.name}.log")
                raise DeploymentError(f"{name} is not healthy: {told.stdout}{told.stderr}\n{log}")
            time.sleep(1)

    def _start_postgres(self, instance: Instance) -> None:
        """Start the server, and make what the image makes of its environment."""
        self.postgres.start()
        self._ports[instance.name, 5432] = self.postgres.port
        given = instance.service.environment
        maintenance = create_engine(self.postgres.url(), isolation_level="AUTOCOMMIT")
        with maintenance.connect() as connection:
            user, password, database = (given[f"POSTGRES_{what}"] for what in ("USER", "PASSWORD", "DB"))
            connection.exec_driver_sql(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{password}'")
            connection.exec_driver_sql(f"CREATE DATABASE {database} OWNER {user}")
        maintenance.dispose()

    def _make_home(self, instance: Instance) -> None:
        """Make the container's folder, with what is mounted into it: a folder of the project, or one that all share."""
        instance.home.mkdir(parents=True)
        for target, source in instance.service.volumes.items():
            if not target.startswith(f"{HOME}/"):
                continue
            shared = ROOT / source if source.startswith(".") else self.home / "volumes" / source
            shared = self._folders.get(source, shared)
            shared.mkdir(parents=True, exist_ok=True)
            (instance.home / Path(target).relative_to(HOME)).symlink_to(shared)

    def _argv(self, instance: Instance) -> list[str]:
        words = [self._moved(word, instance) for word in instance.service.command]
        if instance.service.name == "redis":
            return words
        return words if words[0] in PROGRAMS else ["airflow", *words]

    def _moved(self, text: str, instance: Instance) -> str:
        """Put this machine's addresses and folders into a text of a container's."""
        for target, source in self._copies.items():
            text = text.replace(target, source)
        text = text.replace(HOME, str(instance.home)).replace("0.0.0.0", LOOPBACK)
        names = "|".join(map(re.escape, [*self.services, "localhost"]))
        text = re.sub(rf"\b({names}):(\d+)\b", lambda found: self._address(found[1], int(found[2]), instance), text)
        for port in instance.service.ports:
            text = re.sub(rf"(?<![\w.:-]){port}(?![\w.])", str(self._port(instance.name, port)), text)
        return text

    def _address(self, name: str, port: int, here: Instance) -> str:
        if name == "localhost":
            name = here.service.name if port in here.service.ports else self._published_by(port)
        if port not in self.services[name].ports:
            raise DeploymentError(f"{here.name} looks for {name} at port {port}, which it does not have")
        of = here if name == here.service.name else self.of(name)[0]
        return f"{LOOPBACK}:{self._port(of.name, port)}"

    def _published_by(self, port: int) -> str:
        (name,) = (name for name, service in self.services.items() if port in service.published.values())
        return name

    def _port(self, name: str, port: int) -> int:
        if (name, port) not in self._ports:
            self._ports[name, port] = free_port()
        return self._ports[name, port]
