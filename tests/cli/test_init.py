"""``wacontacts init`` writes DAGs that load, prints their setup commands, and overwrites nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_wacontacts.cli import main

FEEDS = ("turn", "green_api", "whatsapp_business")
DAGS = Path(__file__).parents[2] / "dags"
POOLS = {
    "green_api_snapshot": ["green_api"],
    "turn_contacts_daily": ["turn"],
    "turn_contacts_first_load": ["turn"],
    "whatsapp_check_many": ["whatsapp_business"],
}
EXAMPLES = sorted(path.stem for path in DAGS.glob("*.py") if path.stem != "__init__")


def test_the_first_dag_of_each_feed_loads(tmp_path, capsys):
    for feed in FEEDS:
        assert main(["init", str(tmp_path / "dags"), "--feed", feed]) == 0
        printed = capsys.readouterr().out
        assert f"airflow connections add {feed}_default --conn-type {feed} " in printed
        assert f"airflow pools set {feed} 1" in printed
        assert "airflow connections add wacontacts_store" in printed
        assert f"airflow dags unpause {feed}_contacts" in printed
    code = "import runpy, sys; print(*(runpy.run_path(path)['DAG'] is not None for path in sys.argv[1:]))"
    files = sorted(map(str, (tmp_path / "dags").iterdir()))
    command = [sys.executable, "-c", code, *files]
    own = os.environ | {"AIRFLOW_HOME": str(tmp_path)}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=own)
    assert run.stdout.split()[-3:] == ["True"] * 3


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_copied_and_its_setup_commands_are_printed(name, tmp_path, capsys):
    assert main(["init", str(tmp_path), "--example", name]) == 0
    source = (DAGS / f"{name}.py").read_text()
    assert (tmp_path / f"{name}.py").read_text() == source
    printed = capsys.readouterr().out
    assert re.findall(r"airflow pools set (\w+)", printed) == POOLS.get(name, [])
    named = {f"{feed}_default" for feed in FEEDS if f"{feed}_default" in source}
    assert set(re.findall(r"connections add (\w+_default)", printed)) == named


def test_nothing_is_overwritten_and_an_unknown_example_is_refused(tmp_path, fails_with):
    own = tmp_path / "turn_contacts.py"
    own.write_text("mine")
    assert "exists, and is never overwritten" in fails_with("init", str(tmp_path), "--feed", "turn")
    assert own.read_text() == "mine"
    assert "There is no example 'turn'. Choose one of green_api_check, " in fails_with(
        "init", str(tmp_path), "--example", "turn"
    )
    assert "cannot be written" in fails_with("init", str(own / "below"), "--feed", "turn")
    assert [path.name for path in tmp_path.iterdir()] == ["turn_contacts.py"]
    with pytest.raises(SystemExit):
        main(["init", str(tmp_path)])
