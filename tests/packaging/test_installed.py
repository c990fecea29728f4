"""The wheel in an environment with no repository, no tests, and no extras of other packages."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.installation import Installation

PACKAGE = "airflow_provider_wacontacts"
EXAMPLES = Path(__file__).parent.parent.parent / "dags"
BAG = """
import json, pathlib, airflow_provider_wacontacts.example_dags as examples
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
folder = pathlib.Path(examples.__file__).parent
bag = DagBag(dag_folder=str(folder))
print(json.dumps({"folder": str(folder), "errors": bag.import_errors, "dags": sorted(bag.dags)}))
"""


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="session")
def bag(installed: Installation) -> Any:
    """The installed examples, as Airflow finds them."""
    return json.loads(installed.run("python", "-c", BAG).splitlines()[-1])


def test_the_source_distribution_makes_the_same_wheel(wheel_file: Path, rebuilt_wheel_file: Path) -> None:
    assert rebuilt_wheel_file.name == wheel_file.name
    assert contents(rebuilt_wheel_file) == contents(wheel_file)


def test_airflow_imports_every_installed_example(installed: Installation, bag: Any) -> None:
    assert bag["errors"] == {}
    assert set(bag["dags"]) == {path.stem for path in EXAMPLES.glob("[a-z]*.py")}


def test_an_installed_example_syncs_a_window_from_the_sandbox(installed: Installation) -> None:
    assert installed.sync_example() == ("complete", 1, 1)
