import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="session")
def wheel(root, tmp_path_factory):
    """The wheel, unpacked: what an installation lays down."""
    built, unpacked = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built], cwd=root, check=True)
    (path,) = built.glob("*.whl")
    zipfile.ZipFile(path).extractall(unpacked)
    return unpacked
