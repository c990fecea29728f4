import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.packaging.installation import Installation


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="session")
def wheel_file(root, tmp_path_factory):
    """The wheel, as it is uploaded."""
    return build(root, "wheel", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def wheel(wheel_file, tmp_path_factory):
    """The wheel, unpacked: what an installation lays down."""
    unpacked = tmp_path_factory.mktemp("wheel")
    zipfile.ZipFile(wheel_file).extractall(unpacked)
    return unpacked


@pytest.fixture(scope="session")
def rebuilt_wheel_file(root, tmp_path_factory):
    """The wheel that is made of the source distribution, by whoever takes that instead."""
    unpacked = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(root, "sdist", tmp_path_factory.mktemp("dist"))) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build(source, "wheel", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def installed(root, wheel_file, tmp_path_factory):
    """The wheel in an environment of its own, with what it needs as it is pinned, and nothing of the repository."""
    place = Installation(tmp_path_factory.mktemp("installed"))
    place.install(f"{wheel_file}[sandbox,sqlite]", root / "constraints.txt")
    return place


def build(source, target, folder):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder], cwd=source, check=True)
    (path,) = folder.iterdir()
    return path
