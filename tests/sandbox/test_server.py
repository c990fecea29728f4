"""Start and stop of the sandbox, and its independence of other modules."""

import ast
from pathlib import Path

import pytest
import requests

import airflow_provider_wacontacts.sandbox as package
from airflow_provider_wacontacts.sandbox import Sandbox, TurnBehaviour, World, bob


def test_several_sandboxes_can_run():
    with Sandbox(bob()) as one, Sandbox(World(), behaviour=TurnBehaviour(token="other-token")) as other:
        counts = [requests.get(f"{each.url}/sandbox", timeout=60).json()["contacts"] for each in (one, other)]

        assert (counts, one.url != other.url, other.token) == ([1, 0], True, "other-token")


def test_a_stopped_sandbox_refuses_connections():
    with Sandbox(bob()) as sandbox:
        url = sandbox.url

    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"{url}/sandbox", timeout=60)


def test_the_sandbox_imports_no_other_module_of_the_package():
    imported = {
        name
        for path in Path(package.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported(node)
        if name.startswith("airflow")
    }

    assert {name for name in imported if not name.startswith("airflow_provider_wacontacts.sandbox.")} == set()


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) else []
