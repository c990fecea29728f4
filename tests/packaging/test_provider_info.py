"""What Airflow is told of the package, beside what the package is."""

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


def test_airflows_own_schema_accepts_it():
    schema = json.loads(resources.files("airflow").joinpath("provider_info.schema.json").read_text())

    jsonschema.validate(INFO, schema)


def test_the_package_is_named_as_its_distribution_is(project):
    assert INFO["package-name"] == canonicalize_name(project["name"])


def test_errors_and_airflow_lead_to_the_same_documentation(project):
    (store,) = (each for each in INFO["integrations"] if each["integration-name"] == "WhatsApp contacts store")

    assert project["urls"]["Documentation"] == DOCUMENTATION
    assert store["external-doc-url"] == f"{DOCUMENTATION}/reference/store.md"


def test_it_is_plain_data_and_imports_nothing():
    tree = ast.parse(Path(module.__file__).read_text())

    assert [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)] == []
    assert json.loads(json.dumps(INFO)) == INFO


@pytest.mark.parametrize("path", PATHS)
def test_every_path_in_it_leads_somewhere(path):
    assert resolve(path)


@pytest.mark.parametrize("room", ["hooks", "operators", "sensors", "triggers"])
def test_listed_modules_offer_all_that_there_is_for_dag_authors(room):
    listed = {path for entry in INFO.get(room, []) for path in entry["python-modules"]}

    offered = {path: offered_by(room, path) for path in listed}
    modules = [info.name for info in pkgutil.iter_modules([str(Path(module.__file__).parent / room)])]
    all_there_are = set().union(*(offered_by(room, f"{PACKAGE}.{room}.{name}") for name in modules))

    assert all(offered.values())
    # What only others inherit from is not for DAG authors.
    known = set().union(*offered.values())
    assert {one for one in all_there_are if not any(issubclass(each, one) for each in known)} == set()


@pytest.mark.parametrize("told", TYPES, ids=lambda told: told["connection-type"])
def test_a_connection_type_is_what_its_hook_says(told):
    hook = resolve(told["hook-class-name"])

    assert (hook.conn_type, hook.hook_name) == (told["connection-type"], told["hook-name"])
    is_store = hook.conn_type == "wacontacts_store"
    assert hook.default_conn_name == ("wacontacts_store" if is_store else f"{hook.conn_type}_default")
    assert hook.conn_name_attr == ("store_conn_id" if is_store else f"{hook.conn_type}_conn_id")


@pytest.mark.parametrize("told", TYPES, ids=lambda told: told["connection-type"])
def test_every_field_of_a_connection_has_a_label_and_a_type(told):
    assert {name for name, field in told["conn-fields"].items() if not {"label", "schema"} <= field.keys()} == set()


@pytest.mark.parametrize("told", TYPES, ids=lambda told: told["connection-type"])
def test_a_default_and_nothing_at_all_satisfy_a_fields_own_schema(told):
    for field in told["conn-fields"].values():
        jsonschema.validate(field["schema"].get("default"), field["schema"])


def test_airflow_lists_it():
    run = subprocess.run(
        [sys.executable, "-m", "airflow", "providers", "get", INFO["package-name"], "--full", "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    (told,) = json.loads(run.stdout[run.stdout.index("[{") :])

    assert told["package-name"] == INFO["package-name"]
    assert [path for path in PATHS if path not in run.stdout] == []
