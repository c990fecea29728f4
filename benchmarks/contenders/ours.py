"""The object-storage operator, to ``jsonl.gz`` on local files, with nothing but its defaults."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator
from benchmarks.contender import compete, lines_in
from benchmarks.contenders.airflow_run import connect, context


def pull(url: str, out: Path) -> None:
    connect("turn_default", "turn", url)
    TurnContactsToObjectStorageOperator(task_id="pull", path=out.as_uri()).execute(context())


if __name__ == "__main__":
    compete(pull, lambda out: lines_in(out.rglob("*.gz")))
