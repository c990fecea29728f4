"""The dbt project follows the change log: its history equals the store's, with late and erased versions."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.pipelines.erasure import People, erase_people
from airflow_provider_wacontacts.records.record import Record
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.turn import parse_record
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store

ROOT = Path(__file__).parent.parent.parent
DBT = ROOT / ".dbt" / "bin" / "dbt"
MONDAY, HOUR = datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=1)
BOB, EVE = "12015550123", "12015550124"
HISTORY = "SELECT version_id, contact_id, state, wa_id, valid_from, valid_to FROM {} ORDER BY contact_id, valid_from"

if not DBT.exists():
    pytest.skip("dbt is not installed in .dbt: run `make dbt`", allow_module_level=True)


class Warehouse:
    """A store in PostgreSQL, and dbt in it or in DuckDB."""

    def __init__(self, url: str, root: Path, target: str) -> None:
        self.engine = create_engine(url)
        self.store = Store(self.engine)
        self.store.prepare()
        self._root, self._target, parts = root, target, make_url(url)
        self._variables = {
            "DBT_HOST": parts.host,
            "DBT_PORT": str(parts.port),
            "DBT_USER": parts.username,
            "DBT_DATABASE": parts.database,
            "DBT_TARGET": target,
            "DBT_DUCKDB_PATH": str(root / "copy.duckdb"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }

    def land(self, *contacts: tuple[str, str, int]) -> None:
        """Write versions: a name, a WhatsApp ID and the hour of the update."""
        named = {"source": "turn", "account": "main", "task": TaskInstanceKey("dag", "run", "task")}
        extraction = self.store.begin(
            window=Window(MONDAY, MONDAY + HOUR), options_digest="", package_version="0", uri="x:", **named
        )
        extraction.write([_record(*one) for one in contacts], position=None, pages=1, size=1, extracted_at=MONDAY)
        extraction.finish()

    def erase(self, wa_id: str) -> None:
        erase_people(People(frozenset({Identifier(Kind.WA_ID, wa_id)})), store=self.store)

    def dbt(self, *command: str) -> None:
        if self._target == "duckdb":
            self._copy()
        folders = ["--project-dir", ROOT / "examples/dbt", "--profiles-dir", ROOT / "examples/dbt"]
        paths = ["--target-path", self._root / "target", "--vars", json.dumps({"store_schema": self._schema})]
        run = subprocess.run(
            [DBT, "--log-path", self._root / "logs", *command, *folders, *paths],
            env={"PATH": os.environ["PATH"], "HOME": str(self._root), **self._variables},
            cwd=self._root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr

    def history(self) -> list[tuple[Any, ...]]:
        query = HISTORY.format("analytics.contact_history")
        if self._target == "postgres":
            return self._rows(query)
        with _duckdb(self._root) as connection:
            return connection.sql(query).fetchall()

    def in_store(self) -> list[tuple[Any, ...]]:
        return self._rows(HISTORY.format("wacontacts_history"))

    @property
    def _schema(self) -> str:
        return {"postgres": "public", "duckdb": "main"}[self._target]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def _copy(self) -> None:
        """Copy what dbt reads, as a tool that copies tables does."""
        import pandas as pd

        with _duckdb(self._root) as copy, self.engine.connect() as connection:
            for name in ("wacontacts_change", "wacontacts_extraction"):
                frame = pd.read_sql_query(text(f"SELECT * FROM {name}"), connection)
                frame = frame.map(lambda value: json.dumps(value) if isinstance(value, dict) else value)
                copy.register("frame", frame)
                copy.sql(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM frame")


def _duckdb(root: Path) -> Any:
    return pytest.importorskip("duckdb").connect(str(root / "copy.duckdb"))


def _record(name: str, wa_id: str, hour: int) -> Record:
    contact = {"uuid": name, "updated_at": (MONDAY + hour * HOUR).isoformat(), "details": {"whatsapp_id": wa_id}}
    return parse_record(json.dumps(contact).encode())


@pytest.fixture(params=["postgres", "duckdb"])
def warehouse(request: Any, postgres_url: str, tmp_path: Path) -> Iterator[Warehouse]:
    made = Warehouse(postgres_url, tmp_path, request.param)
    yield made
    made.engine.dispose()


def test_the_models_follow_late_and_erased_versions(warehouse: Warehouse) -> None:
    warehouse.land(("bob", BOB, 1), ("eve", EVE, 2))
    warehouse.dbt("build")
    assert warehouse.history() == warehouse.in_store()

    warehouse.land(("eve", EVE, 1), ("eve", EVE, 3))
    warehouse.erase(BOB)
    warehouse.dbt("build")

    assert warehouse.history() == warehouse.in_store()
    assert [row[1:4] for row in warehouse.history()] == [("eve", "present", EVE)] * 3


def test_source_freshness_reads_the_ledger(postgres_url: str, tmp_path: Path) -> None:
    warehouse = Warehouse(postgres_url, tmp_path, "postgres")
    warehouse.land(("bob", BOB, 1))
    warehouse.dbt("source", "freshness")
    warehouse.engine.dispose()
