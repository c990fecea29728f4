"""An environment that only has what was installed into it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Installation"]

UV = Path(sys.executable).with_name("uv")
#: What a package index may need. All else that is in the environment stays behind.
FOR_THE_INDEX = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


class Installation:
    """
    A virtual environment, and a home of its own where its programs are run.

    :param folder: empty.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self._venv = folder / "venv"

    def install(self, wanted: str, constraints: Path | None = None) -> None:
        """Install a requirement, and what it needs, by uv where there is one."""
        venv.create(self._venv, with_pip=not UV.exists())
        python = str(self._venv / "bin" / "python")
        install = [UV, "pip", "install", "--python", python] if UV.exists() else [python, "-m", "pip", "install"]
        indexed = {name: value for name, value in os.environ.items() if name.startswith(FOR_THE_INDEX)}
        environment = indexed | {"PATH": os.defpath, "HOME": os.environ.get("HOME", str(self.home))}
        command = [*install, "-q", *(["-c", constraints] if constraints else []), wanted]
        subprocess.run(command, cwd=self.home, env=environment, check=True)

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

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        own = {
            "PATH": f"{self._venv / 'bin'}:{os.defpath}",
            "HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }
        return own | more
