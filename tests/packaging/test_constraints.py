"""Pinned versions of an installation, and that no file names a package index."""

import ast
import re
import sys
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

INDEX = re.compile(r"(pypi|pythonhosted|npmjs)\.(org|com)|--(extra-)?index-url|--find-links")
TEXT = {".cfg", ".in", ".ini", ".md", ".py", ".rst", ".toml", ".txt", ".yaml", ".yml", ""}
#: What only Airflow's own pages import, in the version that has them.
OF_AIRFLOW = {"anyio", "fastapi", "flask_appbuilder", "flask_babel", "jinja2", "wtforms"}
ROOMS = ["airflow_provider_wacontacts", "benchmarks", "dags", "demo", "docs", "examples", "matrix", "tests", ".ci"]


@pytest.fixture(scope="module")
def pins(root):
    return (root / "constraints.txt").read_text().splitlines()


def test_every_line_pins_one_version(pins):
    assert [line for line in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.+!]*( ; .+)?", line)] == []


def test_every_requirement_is_pinned_to_an_allowed_version(project, pins):
    pinned = {}
    for pin in map(Requirement, pins):
        pinned.setdefault(pin.name, []).append(str(pin.specifier).removeprefix("=="))
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]

    wrong = {
        need
        for need in map(Requirement, needs)
        if need.name != project["name"]
        and not any(need.specifier.contains(version) for version in pinned.get(canonicalize_name(need.name), []))
    }
    assert wrong == set()


def test_every_import_is_a_declared_requirement(root, project):
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    declared = {canonicalize_name(Requirement(need).name) for need in needs}
    imported = set()
    for path in (root / "airflow_provider_wacontacts").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition(".")[0] for name in names}
    distributions = packages_distributions()
    others = imported - sys.stdlib_module_names - OF_AIRFLOW - {"airflow_provider_wacontacts", "_typeshed"}

    assert {name for name in others if not declared & set(map(canonicalize_name, distributions.get(name, [])))} == set()


def test_no_file_names_an_index(root):
    files = [path for path in root.iterdir() if path.is_file()]
    files += [path for room in ROOMS for path in (root / room).rglob("*") if path.is_file()]
    texts = {path: path.read_text() for path in files if path.suffix in TEXT and path.name != "test_constraints.py"}

    assert [str(path.relative_to(root)) for path, text in texts.items() if INDEX.search(text)] == []
