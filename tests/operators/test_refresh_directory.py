"""Refreshing the directory's copy by a task and by the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.operators.store import RefreshDirectoryOperator
from tests.operators.green_api_cases import Connect, Context, to_store


@pytest.mark.usefixtures("green")
def test_the_task_and_the_command_copy_the_directory(
    connect: Connect,
    run: Context,
    store_path: Path,
    query: Callable[[str], list[tuple[Any, ...]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    connect("wacontacts_store", conn_type="sqlite", host=str(store_path))
    assert RefreshDirectoryOperator(task_id="refresh").execute(run()) == {"people": 0, "written": 0, "deleted": 0}

    to_store().execute(run())
    (people,) = query("SELECT count(*) FROM wacontacts_directory")[0]
    assert people > 0
    capsys.readouterr()
    assert cli.main(["store", "refresh-directory", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"people": people, "written": people, "deleted": 0}
    assert cli.main(["store", "refresh-directory"]) == 0
    assert capsys.readouterr().out == f"{people} people: 0 rows written, 0 deleted.\n"
