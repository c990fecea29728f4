"""The object-storage operator, to local files in the format of its argument, otherwise with its defaults."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator
from benchmarks.contender import compete, lines_in
from benchmarks.contenders.airflow_run import connect, context


def pull(url: str, out: Path, **arguments: Any) -> None:
    connect("turn_default", "turn", url)
    TurnContactsToObjectStorageOperator(task_id="pull", path=out.as_uri(), **arguments).execute(context())


def count(out: Path) -> int:
    parquet = list(out.rglob("*.parquet"))
    if not parquet:
        # pyarrow would count as memory of the export.
        return lines_in(out.rglob("*.gz"))
    from pyarrow.parquet import ParquetFile

    return sum(ParquetFile(file).metadata.num_rows for file in parquet)


if __name__ == "__main__":
    compete(partial(pull, **({"file_format": sys.argv[1]} if sys.argv[1:] else {})), count)
