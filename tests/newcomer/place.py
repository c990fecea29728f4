"""The environment of a new user: a fresh clone, an empty home, and a separate Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

__all__ = ["ROOT", "Place", "install_airflow", "lend_airflow"]

ROOT = Path(__file__).parent.parent.parent
#: What a package index may need. All else that is in the environment stays behind.
FOR_THE_INDEX = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
NAME = "airflow_provider_wacontacts"


class Place:
    """
    A directory with nothing in it but a clone of the last commit and an empty home.

    :param directory: empty.
    """

    def __init__(self, directory: Path) -> None:
        self.clone = directory / "clone"
        self.home = directory / "home"
        self.airflow = directory / "airflow"
        self.wheels = directory / "wheels"
        for path in (self.home, self.wheels):
            path.mkdir()
        subprocess.run(["git", "-c", "safe.directory=*", "clone", "-q", ROOT, self.clone], check=True)

    def build_wheel(self) -> None:
        """Build the package of the clone, for as long as no index has it."""
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", self.wheels]
        subprocess.run(build, cwd=self.clone, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def environment(self) -> dict[str, str]:
        """Return what a shell of the newcomer knows, with Airflow's environment active."""
        kept = {name: value for name, value in os.environ.items() if name.upper().startswith(FOR_THE_INDEX)}
        links = " ".join(filter(None, [kept.get("PIP_FIND_LINKS"), str(self.wheels)]))
        path = f"{self.airflow / 'bin'}{os.pathsep}{os.environ['PATH']}"
        pip = {"PIP_FIND_LINKS": links, "PIP_CONSTRAINT": str(self.clone / "constraints.txt")}
        return kept | pip | {"HOME": str(self.home), "PATH": path}


def install_airflow(place: Place) -> None:
    """Make a virtual environment with Airflow, as it comes from the index."""
    venv.create(place.airflow, with_pip=True)
    command = [place.airflow / "bin" / "pip", "install", "-q", f"apache-airflow=={version('apache-airflow')}"]
    subprocess.run(command, env=place.environment(), check=True)


def lend_airflow(place: Place) -> None:
    """Make a virtual environment that is lent all packages of this one but ours: an Airflow in no time."""
    venv.create(place.airflow, with_pip=True)
    lent = place.airflow.parent / "lent"
    lent.mkdir()
    for installed in map(Path, filter(None, sys.path)):
        if installed.name in ("site-packages", "dist-packages"):
            for path in installed.iterdir():
                if NAME not in path.name and path.suffix != ".pth":
                    (lent / path.name).symlink_to(path)
    (site_packages,) = place.airflow.glob("lib/python*/site-packages")
    (site_packages / "lent.pth").write_text(f"{lent}\n")
    script = place.airflow / "bin" / "airflow"
    script.write_text(f"#!{place.airflow}/bin/python\nfrom airflow.__main__ import main\nmain()\n")
    script.chmod(0o755)
