"""An environment that contains only installed packages."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

__all__ = ["UV", "Installation", "uv_environment"]

UV = Path(sys.executable).with_name("uv")
#: What a package index may need. All else that is in the environment stays behind.
FOR_THE_INDEX = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


EXAMPLES = """
import pathlib, airflow_provider_wacontacts.example_dags as examples
print(pathlib.Path(examples.__file__).parent)
"""


def uv_environment() -> dict[str, str]:
    """Return an environment in which uv also finds the Pythons of pyenv that are not on PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [os.environ.get("PATH", os.defpath), *map(str, sorted(pyenv.glob("versions/*/bin")))]
    return {**os.environ, "PATH": os.pathsep.join(folders)}


class Installation:
    """
    A virtual environment, and a home of its own where its programs are run.

    :param folder: empty.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self._venv = folder / "venv"

    def install(self, wanted: str, constraints: Path | None = None, python: str | None = None) -> None:
        """
        Install a requirement, and what it needs, by uv where there is one.

        :param python: version of Python, which uv finds; this one by default.
        """
        self._create(python)
        interpreter = str(self._venv / "bin" / "python")
        pip = [UV, "pip", "install", "--python", interpreter] if UV.exists() else [interpreter, "-m", "pip", "install"]
        indexed = {name: value for name, value in os.environ.items() if name.startswith(FOR_THE_INDEX)}
        environment = indexed | {"PATH": os.defpath, "HOME": os.environ.get("HOME", str(self.home))}
        command = [*pip, "-q", *(["-c", constraints] if constraints else []), wanted]
        subprocess.run(command, cwd=self.home, env=environment, check=True)

    def _create(self, python: str | None) -> None:
        if python:
            subprocess.run([UV, "venv", "-q", "--python", python, self._venv], env=uv_environment(), check=True)
        else:
            venv.create(self._venv, with_pip=not UV.exists())

    def run(self, program: str, *arguments: str, **environment: str) -> str:
        """Run a program of the environment; return what it writes to standard output."""
        done = subprocess.run(
            [self._venv / "bin" / program, *arguments],
            cwd=self.home,
            env=self._environment(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    @contextmanager
    def running(self, program: str, *arguments: str) -> Iterator[str]:
        """Run a program meanwhile; give the first line that it writes."""
        command = [self._venv / "bin" / program, *arguments]
        with subprocess.Popen(
            command, cwd=self.home, env=self._environment({}), stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            try:
                yield process.stdout.readline().strip()
            finally:
                process.terminate()

    def sync_example(self) -> tuple[str, int, int]:
        """
        Run the installed example DAG of Turn.io against the installed sandbox, into SQLite and files.

        :returns: the extraction's state, the number of contacts in the store, and that of extractions in files.
        """
        store = self.home / "contacts.db"
        at_that_time = ("--now", "2022-09-13T00:10:00Z", "--rate", "0")
        folder = self.run("python", "-c", EXAMPLES).splitlines()[-1]
        with self.running("wacontacts", "sandbox", "--world", "bob", *at_that_time) as announced:
            turn = {"conn_type": "turn", "host": announced.split()[-1], "password": "example-token"}
            environment = {
                "AIRFLOW_CONN_TURN_DEFAULT": json.dumps(turn),
                "AIRFLOW_CONN_WACONTACTS_STORE": json.dumps({"conn_type": "sqlite", "host": str(store)}),
                "AIRFLOW_VAR_WACONTACTS_PATH": f"file://{self.home}/files",
                "AIRFLOW__CORE__DAGS_FOLDER": folder,
            }
            self.run("airflow", "db", "migrate")
            self.run("airflow", "dags", "test", "turn_contacts_daily", "2022-09-13", **environment)
        with closing(sqlite3.connect(store)) as connection:
            ((state,),) = connection.execute("SELECT state FROM wacontacts_extraction").fetchall()
            (contacts,) = connection.execute("SELECT count(*) FROM wacontacts_current").fetchone()
        return state, contacts, len([*(self.home / "files").rglob("_manifest.json")])

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        own = {
            "PATH": f"{self._venv / 'bin'}:{os.defpath}",
            "HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        return own | more
