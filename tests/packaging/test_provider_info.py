"""The provider info for Airflow matches the package."""

import ast
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from importlib import import_module, resources
from pathlib import Path

import jsonschema
import pytest
from packaging.utils import canonicalize_name

from airflow_provider_wacontacts import get_provider_info as module
from airflow_provider_wacontacts.exceptions import DOCUMENTATION
from airflow_provider_wacontacts.get_provider_info import get_provider_info

PACKAGE = "airflow_provider_wacontacts"
INFO = get_provider_info()
TYPES = INFO["connection-types"]
PATHS = sorted(set(re.findall(rf'"({PACKAGE}\.[\w.]+)"', json.dumps(INFO))))


def resolve(path):
    try:
        return import_module(path)
    except ModuleNotFoundError:
        parent, _, name = path.rpartition(".")
        return getattr(import_module(parent), name)


KINDS = {"operators": "BaseOperator", "sensors": "BaseSensorOperator", "triggers": "BaseTrigger"}


def is_for_dag_authors(room, one):
    """A hook that has a name in the connection form; an operator, a sensor, a trigger."""
    if room == "hooks":
        return "hook_name" in vars(one)
    return KINDS[room] in {parent.__name__ for parent in one.__mro__}


def offered_by(room, path):
    """The classes for DAG authors that a module offers, those of other modules of the room among them."""
    loaded = import_module(path)
    public = [getattr(loaded, name) for name in getattr(loaded, "__all__", [])]
    return {one for one in public if inspect.isclass(one) and is_for_dag_authors(room, one)}


def test_the_provider_info_matches_airflows_schema():
    schema = json.loads(resources.files("airflow").joinpath("provider_info.schema.json").read_text())

    jsonschema.validate(INFO, schema)


def test_the_package_name_is_the_distributions(project):
    assert INFO["package-name"] == canonicalize_name(project["name"])


def test_errors_and_provider_info_link_to_the_same_documentation(project):
    (store,) = (each for each in INFO["integrations"] if each["integration-name"] == "WhatsApp contacts store")

    assert project["urls"]["Documentation"] == DOCUMENTATION
    assert store["external-doc-url"] == f"{DOCUMENTATION}/reference/store.md"


def test_the_provider_info_is_json_and_imports_nothing():
    tree = ast.parse(Path(module.__file__).read_text())

    assert [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)] == []
    assert json.loads(json.dumps(INFO)) == INFO


@pytest.mark.parametrize("path", PATHS)
def test_every_path_can_be_imported(path):
    assert resolve(path)


@pytest.mark.parametrize("room", ["hooks", "operators", "sensors", "triggers"])
def test_all_classes_for_dag_authors_are_in_listed_modules(room):
    listed = {path for entry in INFO.get(room, []) for path in entry["python-modules"]}

    offered = {path: offered_by(room, path) for path in listed}
    modules = [info.name for info in pkgutil.iter_modules([str(Path(module.__file__).parent / room)])]
    all_there_are = set().union(*(offered_by(room, f"{PACKAGE}.{room}.{name}") for name in modules))

    assert all(offered.values())
    # What only others inherit from is not for DAG authors.
    known = set().union(*offered.values())
    assert {one for one in all_there_are if not any(issubclass(each, one) for each in known)} == set()


@pytest.mark.parametrize("told", TYPES, ids=lambda told: told["connection-type"])
def test_a_connection_type_matches_its_hook(told):
    hook = resolve(told["hook-class-name"])

    assert (hook.conn_type, hook.hook_name) == (told["connection-type"], told["hook-name"])
    is_store = hook.conn_type == "wacontacts_store"
    assert hook.default_conn_name == ("wacontacts_store" if is_store else f"{hook.conn_type}_default")
    assert hook.conn_name_attr == ("store_conn_id" if is_store else f"{hook.conn_type}_conn_id")


@pytest.mark.parametrize("told", TYPES, ids=lambda told: told["connection-type"])
def test_every_field_of_a_connection_has_a_label_and_a_type(told):
    assert {name for name, field in told["conn-fields"].items() if not {"label", "schema"} <= field.keys()} == set()


@pytest.mark.parametrize("told", TYPES, ids=lambda told: told["connection-type"])
def test_the_default_of_a_field_matches_its_schema(told):
    for field in told["conn-fields"].values():
        jsonschema.validate(field["schema"].get("default"), field["schema"])


def test_airflow_lists_the_provider():
    run = subprocess.run(
        [sys.executable, "-m", "airflow", "providers", "get", INFO["package-name"], "--full", "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    (told,) = json.loads(run.stdout[run.stdout.index("[{") :])

    assert told["package-name"] == INFO["package-name"]
    assert [path for path in PATHS if path not in run.stdout] == []
