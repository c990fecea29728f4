"""The tested versions match those that are promised to users."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from matrix.__main__ import HERE, QUICK, TESTS, points

POINTS = points()


def pins_of(point):
    lines = map(Requirement, point.pins.read_text().splitlines())
    return {canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("==")) for pin in lines}


def told(root):
    """What README says: the minor versions of Airflow, and what is tested of each."""
    rows = re.findall(r"^\| ([\d.]+) \| [\d., to]+ \| (.+) \|$", (root / "README.md").read_text(), re.MULTILINE)
    return dict(rows)


def test_every_test_folder_of_a_point_exists(root):
    assert [name for name in {*TESTS, *QUICK} if not (root / "tests" / name).is_dir()] == []
    assert set(QUICK) < set(TESTS)


def test_every_file_of_pins_belongs_to_a_point():
    assert {path.stem for path in HERE.glob("*.txt")} == set(POINTS)


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_a_point_is_pinned_to_its_airflow_version(point):
    assert pins_of(point)["apache-airflow"] == Version(point.airflow)


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_a_point_has_all_requirements_of_package_and_tests(point, project):
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(need for name in ("fast", "parquet", "postgres", "sandbox", "sqlite", "test") for need in extras[name]),
    ]
    pins = pins_of(point)

    missing = {
        str(need)
        for need in map(Requirement, wanted)
        if need.name != project["name"] and not need.specifier.contains(pins.get(canonicalize_name(need.name), "0"))
    }
    assert missing == set()


def test_the_lowest_point_has_the_lowest_allowed_versions(project):
    pins = pins_of(POINTS["lowest"])
    lowest = {
        canonicalize_name(need.name): Version(next(iter(need.specifier)).version)
        for need in map(Requirement, project["dependencies"])
    }

    assert {name: pins[name].release[:2] for name in lowest} == {name: lowest[name].release[:2] for name in lowest}


def test_readme_lists_exactly_the_tested_versions(root):
    tested = {}
    for point in POINTS.values():
        if point.resolution == "highest":
            tested.setdefault(point.airflow, []).append(point.python)

    assert told(root) == {
        airflow.rpartition(".")[0]: f"{airflow} on {', '.join(pythons)}" for airflow, pythons in tested.items()
    }
    lowest = POINTS["lowest"]
    assert f"Airflow {lowest.airflow} on {lowest.python}, with the lowest" in (root / "README.md").read_text()


def test_every_point_has_a_supported_python(root, project):
    allowed = SpecifierSet(project["requires-python"])

    assert [point.name for point in POINTS.values() if not allowed.contains(f"{point.python}.0")] == []
    assert tomllib.loads((HERE / "points.toml").read_text())["newer"]["packages"]
