"""
Files, store and Iceberg table have the same current contacts and history, by the SQL of the documentation.

Extractions are appended in any order and any number of times, and people are erased in between.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.ipc
import pytest
import sqlalchemy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.files import ExtractionWriter, complete_prefixes
from airflow_provider_wacontacts.files.iceberg.table import ContactTable
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.pipelines.append_to_iceberg import AppendSpec, append_files
from airflow_provider_wacontacts.pipelines.erasure import People, erase_people
from airflow_provider_wacontacts.pipelines.import_files import ImportSpec, import_files
from airflow_provider_wacontacts.records.green_api import parse_snapshot
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.turn import parse_page
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import ShrinkGuard, Store
from tests.docs.pages import query_under

duckdb = pytest.importorskip("duckdb")
sql = pytest.importorskip("pyiceberg.catalog", reason="needs the extra iceberg")
if sqlalchemy.__version__.startswith("1."):
    pytest.skip("pyiceberg's SQL catalog needs SQLAlchemy 2", allow_module_level=True)

MONDAY, HOUR = datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=1)
TASK = TaskInstanceKey("dag", "run", "task")
NUMBERS = count(1)
QUERIES = {
    "current": query_under("lake.md", "The latest version of each contact"),
    "history": query_under("lake.md", "The change history"),
}
#: Of what a contact is. When an unchanged contact of a snapshot was last seen, the table does not say.
COLUMNS = (
    *("source", "account", "contact_id", "updated_at", "row_hash", "state", "first_seen_at", "wa_id", "user_id", "lid"),
    *("repaired", "payload"),
)
PEOPLE = {name: f"1201555012{number}" for number, name in enumerate("abcde")}
EXAMPLES = settings(max_examples=8)


class Extraction(NamedTuple):
    """
    What one extraction returns.

    :param hour: when it ran. Files are written in the order of the list, so that it is late after a higher one.
    :param rows: a contact's name, the hour of its last update, and a value.
    """

    hour: int
    rows: list[tuple[str, int, int]]
    file_format: str


class Erase(NamedTuple):
    name: str


class Append(NamedTuple):
    """Bring what is there into the store and the table."""


def extractions(**fields: Any) -> st.SearchStrategy[Extraction]:
    # Few of each, so that the same version is seen again, and times tie.
    rows = st.lists(st.tuples(st.sampled_from(list(PEOPLE)), st.integers(0, 2), st.integers(0, 2)), max_size=7)
    given = {"hour": st.integers(3, 8), "rows": rows, "file_format": st.just("parquet"), **fields}
    return st.builds(Extraction, **given)


ERASURES = st.builds(Erase, st.sampled_from(list(PEOPLE)))
STEPS = st.one_of(extractions(), extractions(), extractions(), st.just(Append()), ERASURES)


class Lake:
    """An account in files, in a store and in an Iceberg table."""

    def __init__(self, root: Path, catalog: Any, source: str) -> None:
        self.root, self.source = root / source / str(next(NUMBERS)), source
        self.table = ContactTable.open(catalog, f"contacts.n{next(NUMBERS)}")
        self.root.mkdir(parents=True)
        self.engine = create_engine(f"sqlite:///{self.root}/store.db")
        self.store = Store(self.engine)
        self.store.prepare()
        self._guard = ShrinkGuard(share=0.5, confirmations=2)

    def take(self, step: Extraction | Erase | Append) -> None:
        if isinstance(step, Extraction):
            self.write(step)
        elif isinstance(step, Append):
            self.append()
        else:
            person = People(frozenset({Identifier(Kind.WA_ID, PEOPLE[step.name])}))
            erase_people(person, store=self.store, roots=[self.root / "files"], tables=[self.table], max_linked=9)

    def write(self, extraction: Extraction) -> None:
        at = MONDAY + extraction.hour * HOUR
        window = Window(MONDAY, MONDAY + 3 * HOUR) if self.source == "turn" else None
        own = {"source": self.source, "account": "main", "window": window, "day": at.date(), "task": TASK}
        options = {"package_version": "0", "file_format": extraction.file_format}
        options["get_suppression_list"] = self.store.suppression_list  # as with `erased_conn_id`
        with ExtractionWriter(self.root / "files", **own, **options) as writer:
            for page in self._pages(extraction, at):
                writer.write(page, at)
            writer.finish(extracted_at=at, finished_at=at, lossy=False)

    def append(self) -> None:
        root = self.root / "files"
        spec = AppendSpec(guard=self._guard, get_suppression_list=self.store.suppression_list)
        import_files(ImportSpec(TASK, "0", guard=self._guard), root=root, store=self.store)
        append_files(spec, root=root, table=self.table)

    def _pages(self, extraction: Extraction, at: datetime) -> Iterator[Any]:
        if self.source == "turn":
            rows = [_turn_contact(*row) for row in extraction.rows]
            yield parse_page(json.dumps({"data": rows}).encode())
        else:
            rows = [{"id": f"{PEOPLE[name]}@c.us", "name": str(value)} for name, _, value in extraction.rows]
            yield from parse_snapshot(json.dumps(rows).encode(), None).pages(at)

    def in_store(self, name: str) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return _sorted(connection.execute(text(f"SELECT * FROM wacontacts_{name}")).mappings())

    def in_table(self, name: str) -> list[dict[str, Any]]:
        self.table.refresh()
        return _in_duckdb(name, self.table.table.scan().to_arrow())

    def in_files(self, name: str) -> list[dict[str, Any]]:
        found = complete_prefixes(self.root / "files")
        parts = [f"{prefix.path}/{part.name}" for prefix in found for part in prefix.manifest.parts]
        return _in_duckdb(name, duckdb.read_parquet(parts)) if parts else []


def _turn_contact(name: str, hour: int, value: int) -> dict[str, Any]:
    # Nulls and repaired text: the same content in another spelling.
    details = {"whatsapp_id": PEOPLE[name], "value": value, "text": "\0" if value == 2 else "a"}
    nothing = {"nothing": None} if hour else {}
    return {"uuid": name, "updated_at": (MONDAY + hour * HOUR).isoformat(), "details": details | nothing}


def _in_duckdb(name: str, contacts: Any) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        connection.register("contacts", contacts.to_arrow_table() if hasattr(contacts, "to_arrow_table") else contacts)
        return _sorted(connection.sql(QUERIES[name]).to_arrow_table().to_pylist())


def _sorted(rows: Any) -> list[dict[str, Any]]:
    return sorted(
        ({key: _plain(row[key]) for key in (*COLUMNS, *({"valid_from", "valid_to"} & row.keys()))} for row in rows),
        key=lambda row: (row["contact_id"], row["updated_at"], row["row_hash"], row["state"]),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str) and value.startswith("{"):
        return _without_nulls(json.loads(value))
    if isinstance(value, str) and value.endswith("Z") and value[4] == "-":
        return datetime.fromisoformat(value)
    return bool(value) if isinstance(value, int) else value


def _without_nulls(value: Any) -> Any:
    return (
        {key: _without_nulls(item) for key, item in value.items() if item is not None}
        if isinstance(value, dict)
        else value
    )


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Callable[[str], Lake]]:
    catalog = sql.load_catalog(
        "lake", type="sql", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}"
    )
    catalog.create_namespace("contacts")
    yield lambda source: Lake(tmp_path, catalog, source)
    catalog.engine.dispose()


@example([Erase("d"), Extraction(7, [("d", 2, 1)], "parquet"), Extraction(6, [("e", 1, 2)], "parquet")])
@EXAMPLES
@given(steps=st.lists(STEPS, max_size=8))
def test_windows_are_equal_in_files_store_and_table(lake: Callable[[str], Lake], steps: list[Any]) -> None:
    one = lake("turn")
    for step in (*steps, Append(), Append()):
        one.take(step)

    for name in QUERIES:
        expected = one.in_store(name)
        assert one.in_table(name) == expected
        assert one.in_files(name) == expected


# A second apart, because of two snapshots of one second a store believes the first row of each contact.
@EXAMPLES
@given(steps=st.lists(st.one_of(extractions(), extractions(), st.just(Append()), ERASURES), max_size=9))
def test_snapshots_are_equal_in_store_and_table(lake: Callable[[str], Lake], steps: list[Any]) -> None:
    one, hours = lake("green_api"), set()
    for step in (*steps, Append(), Append()):
        if isinstance(step, Extraction):
            if step.hour in hours:
                continue
            hours.add(step.hour)
        one.take(step)

    for name in QUERIES:
        assert one.in_table(name) == one.in_store(name)


#: Seen again, late, the same time with another value, gone and back, and erased.
STORY = [
    Extraction(4, [("a", 0, 1), ("b", 1, 0), ("c", 1, 2)], "parquet"),
    Append(),
    Extraction(5, [("a", 0, 1), ("b", 1, 1), ("d", 0, 0)], "parquet"),
    Append(),
    Extraction(6, [("a", 0, 0), ("b", 1, 1), ("c", 2, 0), ("d", 0, 0)], "jsonl.gz"),
    Erase("d"),
    Extraction(3, [("b", 0, 0)], "parquet"),
    Append(),
]


@pytest.mark.parametrize("source", ["turn", "green_api"])
def test_clickhouse_reads_the_same_rows_from_the_table(
    lake: Callable[[str], Lake], source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # it reads files below the working directory only
    chdb = pytest.importorskip("chdb")
    one = lake(source)
    for step in STORY:
        one.take(step)

    for name, query in QUERIES.items():
        table = f"icebergLocal('{one.table.table.location().removeprefix('file://')}')"
        code = query.replace("FROM contacts", f"FROM {table}").replace(
            "lead(updated_at)", "lead(toNullable(updated_at))"
        )
        arrow = chdb.query(f"{code} SETTINGS output_format_arrow_string_as_string = 0", "Arrow").bytes()
        found = pyarrow.ipc.open_file(arrow).read_all().to_pylist()
        for row in found:
            row |= {key: row[key].decode() for key in row if isinstance(row[key], bytes) and key != "row_hash"}
        assert _sorted(found) == one.in_store(name)
    assert len(one.in_store("history")) > len(one.in_store("current")) > 1
