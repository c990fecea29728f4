"""Extractions are appended to an Iceberg table exactly once, through Airflow's hook and a catalog in SQLite."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.files import ExtractionWriter, Manifest, complete_prefixes
from airflow_provider_wacontacts.files.iceberg.table import ContactTable
from airflow_provider_wacontacts.operators.store import ContactFilesToIcebergOperator, EraseContactsOperator
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.turn import parse_page
from airflow_provider_wacontacts.records.windows import Window

catalogs = pytest.importorskip("pyiceberg.catalog", reason="needs the extra iceberg")
if sqlalchemy.__version__.startswith("1."):
    pytest.skip("pyiceberg's SQL catalog needs SQLAlchemy 2", allow_module_level=True)

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TABLE = "contacts.whatsapp"
BOB, EVE = "12015550123", "12015550124"
NOTHING = {"prefixes": 0, "appended": 0, "known": 0, "refused": 0, "rows": 0, "gone": 0, "back": 0}

Write = Callable[..., Manifest]


@pytest.fixture
def fields(tmp_path: Path) -> dict[str, Any]:
    extra = {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"file://{tmp_path}/warehouse"}
    return {"conn_type": "iceberg", "extra": extra}


@pytest.fixture(autouse=True)
def catalog(connect: Callable[..., None], fields: dict[str, Any], tmp_path: Path) -> Iterator[Any]:
    """The catalog of ``iceberg_default``, as others see it."""
    connect("iceberg_default", **fields)
    connect("wacontacts_store", conn_type="sqlite", host=f"{tmp_path}/store.db")
    loaded = catalogs.load_catalog("iceberg_default", **fields["extra"])
    yield loaded
    loaded.engine.dispose()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an extraction of a day, with contacts by ID."""

    def make(day: int = 0, contacts: Any = None, file_format: str = "jsonl.gz") -> Manifest:
        start = MONDAY + day * DAY
        given = {"bob": BOB, "eve": EVE} if contacts is None else contacts
        rows = [
            {"uuid": name, "updated_at": start.isoformat(), "details": {"whatsapp_id": wa_id, "day": day}}
            for name, wa_id in given.items()
        ]
        options = {"file_format": file_format, "task": TaskInstanceKey("d", "r", "t"), "package_version": "0"}
        path, window = tmp_path / "files", Window(start, start + DAY)
        with ExtractionWriter(path, source="turn", account="main", window=window, **options) as writer:
            writer.write(parse_page(json.dumps({"data": rows}).encode()))
            return writer.finish(extracted_at=start + DAY, finished_at=start + DAY, lossy=False)

    return make


@pytest.fixture
def append(tmp_path: Path, context: Callable[..., Any]) -> Callable[..., Any]:
    def run(path: str = "files", **arguments: Any) -> Any:
        given = {"path": f"file://{tmp_path}/{path}", "table": TABLE, **arguments}
        return ContactFilesToIcebergOperator(task_id="append", **given).execute(context(None, MONDAY))

    return run


@pytest.fixture
def appended(write: Write, append: Callable[..., Any]) -> Any:
    """Two days in the table."""
    write(0), write(1)
    return append()


@pytest.fixture
def erase(tmp_path: Path, context: Callable[..., Any]) -> Callable[..., Any]:
    def run(wa_id: str, **arguments: Any) -> Any:
        given = {"contacts_sql": f"SELECT '{wa_id}' AS wa_id", "iceberg_tables": [TABLE], **arguments}
        return EraseContactsOperator(task_id="erase", **given).execute(context(None, MONDAY))

    return run


def rows_of(catalog: Any, table: str = TABLE) -> list[dict[str, Any]]:
    rows = catalog.load_table(table).scan().to_arrow().to_pylist()
    return sorted(rows, key=lambda row: (row["extracted_at"], row["contact_id"]))


def test_extractions_of_both_formats_are_appended_with_their_metadata(write: Write, append: Any, catalog: Any) -> None:
    manifests = [write(0), write(1, file_format="parquet")]

    assert append() == NOTHING | {"prefixes": 2, "appended": 2, "rows": 4}
    table = catalog.load_table(TABLE)
    assert [each.summary["extraction_id"] for each in table.snapshots()] == [one.extraction_id for one in manifests]
    bob = rows_of(catalog)[0]
    assert json.loads(bob.pop("payload"))["details"] == {"whatsapp_id": BOB, "day": 0}
    assert len(bob.pop("row_hash")) == 16
    assert bob == {
        "source": "turn",
        "account": "main",
        "contact_id": "bob",
        "updated_at": MONDAY,
        "state": "present",
        "extracted_at": MONDAY + DAY,
        "extraction_id": manifests[0].extraction_id,
        "wa_id": BOB,
        "user_id": None,
        "lid": None,
        "repaired": False,
    }
    assert [str(field.transform) for field in table.spec().fields] == ["day", "bucket[4]"]


def test_a_repeated_append_adds_no_rows_and_no_snapshot(write: Write, append: Any, catalog: Any) -> None:
    write(0), write(1)
    append()
    before = catalog.load_table(TABLE).metadata

    assert append() == NOTHING | {"prefixes": 2, "known": 2}
    assert catalog.load_table(TABLE).metadata == before


def test_extractions_of_expired_snapshots_are_known_by_their_rows(write: Write, append: Any, catalog: Any) -> None:
    write(0), write(1)
    append()
    table = catalog.load_table(TABLE)
    table.maintenance.expire_snapshots().by_id(table.snapshots()[0].snapshot_id).commit()

    assert append()["known"] == 2
    assert len(rows_of(catalog)) == 4


def test_a_late_extraction_is_appended(write: Write, append: Any, catalog: Any) -> None:
    write(3)
    append()
    write(1)

    assert append() == NOTHING | {"prefixes": 2, "known": 1, "appended": 1, "rows": 2}


def test_concurrent_tasks_append_each_extraction_once(write: Write, append: Any, catalog: Any) -> None:
    write(9)
    append()
    for day in range(4):
        write(day)
    with ThreadPoolExecutor(3) as tasks:
        summaries = list(tasks.map(lambda _: append(), range(3)))

    assert sum(each["appended"] for each in summaries) == 4
    assert len(rows_of(catalog)) == 10


def test_a_task_skips_extractions_that_a_concurrent_task_appended(
    write: Write, append: Any, catalog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(3):
        write(day)
    append_one = ContactTable.append

    def meet(*given: Any) -> int:
        monkeypatch.setattr(ContactTable, "append", append_one)
        append()
        return append_one(*given)

    monkeypatch.setattr(ContactTable, "append", meet)
    assert append() == NOTHING | {"prefixes": 3, "known": 3}
    assert len(rows_of(catalog)) == 6


def test_an_extraction_with_a_corrupt_part_is_not_appended(
    write: Write, append: Any, catalog: Any, tmp_path: Path
) -> None:
    write(0)
    append()
    write(1)
    *_, last = complete_prefixes(tmp_path / "files")
    (Path(str(last.path)) / last.manifest.parts[0].name).write_bytes(b"corrupt")

    with pytest.raises(LandingError, match="checksum differs"):
        append()
    assert (len(rows_of(catalog)), len(catalog.load_table(TABLE).snapshots())) == (2, 1)


def test_a_path_without_complete_extractions_is_reported_in_summary_and_log(
    append: Any, catalog: Any, logged: Callable[[], str]
) -> None:
    assert append(path="nowhere") == NOTHING
    assert "no complete extraction" in logged()


def test_missing_columns_are_added_and_unknown_columns_stay_null(write: Write, append: Any, catalog: Any) -> None:
    from pyiceberg.types import StringType

    write(0)
    append()
    with catalog.load_table(TABLE).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("lid")
        update.add_column("team", StringType())
    write(1)

    assert append()["appended"] == 1
    assert [(row["lid"], row["team"]) for row in rows_of(catalog)] == [(None, None)] * 4


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ([("id", "long", True)], "source is missing"),
        ([("row_hash", "string", False)], "row_hash is string, not binary"),
        ([("payload", "string", False), ("team", "string", True)], "team is unknown and required"),
    ],
)
def test_a_table_with_another_layout_fails_the_task_and_is_unchanged(
    write: Write, append: Any, catalog: Any, columns: Any, problem: str
) -> None:
    from pyiceberg.schema import Schema
    from pyiceberg.types import LongType, NestedField, StringType

    types = {"long": LongType(), "string": StringType()}
    schema = Schema(
        *(NestedField(n, name, types[kind], required=must) for n, (name, kind, must) in enumerate(columns, 1))
    )
    catalog.create_namespace("other")
    before = catalog.create_table("other.orders", schema).metadata
    write(0)

    with pytest.raises(AirflowFailException, match=problem):
        append(table="other.orders")
    assert catalog.load_table("other.orders").metadata == before


UNREACHABLE = [
    {"host": "http://127.0.0.1:9/"},
    {"extra": {"type": "sql", "uri": "sqlite:////nowhere/catalog.db"}},
    {"extra": {"type": "unknown"}},
]


@pytest.mark.parametrize("broken", UNREACHABLE)
def test_an_unreachable_catalog_fails_the_task(append: Any, connect: Any, broken: dict[str, Any]) -> None:
    connect("broken", conn_type="iceberg", **broken)

    with pytest.raises(AirflowFailException, match="The catalog of connection 'broken' cannot be opened") as raised:
        append(iceberg_conn_id="broken")
    assert "127.0.0.1" not in str(raised.value)


def test_a_missing_connection_or_table_fails_the_task(append: Any, erase: Any) -> None:
    with pytest.raises(AirflowFailException, match="Connection 'missing' is not defined"):
        append(iceberg_conn_id="missing")
    with pytest.raises(AirflowFailException, match="with its namespace"):
        append(table="whatsapp")
    with pytest.raises(AirflowFailException, match="The table does not exist"):
        erase(BOB)


def files_with(root: Path, text: str) -> list[Path]:
    """Find a person in the warehouse: in data files, decompressed, and in the bytes of all others."""
    from pyarrow.parquet import read_table

    files = [path for path in root.rglob("*") if path.is_file()]
    texts = {path: str(read_table(path).to_pydict()) if path.suffix == ".parquet" else "" for path in files}
    return [path for path in files if text in texts[path] or text.encode() in path.read_bytes()]


def assert_no_file_is_left_over(table: Any, root: Path) -> None:
    """Manifests are compressed and hold bounds of columns, so that no file of them may be left either."""
    snapshots = {each.manifest_list for each in table.snapshots()}
    named = {
        *snapshots,
        *(table.inspect.files()["file_path"].to_pylist()),
        *table.inspect.manifests()["path"].to_pylist(),
    }
    found = {f"file://{path}" for path in root.rglob("*") if path.suffix in {".parquet", ".avro"}}
    assert found == named


def test_an_erasure_removes_people_from_rows_old_data_files_and_manifests(
    write: Write, append: Any, erase: Any, catalog: Any, tmp_path: Path
) -> None:
    write(0), write(1), write(2, {"eve": EVE}), write(3, {"bob": None})
    append()
    assert files_with(tmp_path / "warehouse", "bob")

    would = erase(BOB, dry_run=True)
    assert (would["table_rows"], would["table_files"]) == (3, 0)
    summary = erase(BOB)

    assert summary["table_rows"] == 3
    assert [row["contact_id"] for row in rows_of(catalog)] == ["eve"] * 3
    assert len(catalog.load_table(TABLE).snapshots()) == 1
    assert files_with(tmp_path / "warehouse", "bob") == []
    assert_no_file_is_left_over(catalog.load_table(TABLE), tmp_path / "warehouse")
    assert append(erased_conn_id="wacontacts_store")["rows"] == 0
    assert [row["contact_id"] for row in rows_of(catalog)] == ["eve"] * 3


def test_an_erasure_of_unknown_people_changes_nothing(write: Write, append: Any, erase: Any, catalog: Any) -> None:
    write(0), write(1)
    append()
    before = catalog.load_table(TABLE).metadata

    assert erase("12015550199")["table_files"] == 0
    assert catalog.load_table(TABLE).metadata == before


@pytest.mark.parametrize("deleted", [0, 1, 5])
def test_an_erasure_that_was_killed_is_completed_by_the_next(
    appended: Any, erase: Any, catalog: Any, tmp_path: Path, deleted: int
) -> None:
    from airflow_provider_wacontacts.files.iceberg import erasure

    left, delete = iter(range(deleted)), erasure._delete

    def die(table: Any, location: str) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        delete(table, location)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasure, "_delete", die)
        with pytest.raises(KeyboardInterrupt):
            erase(BOB)
    erase("12015550199")

    assert_no_file_is_left_over(catalog.load_table(TABLE), tmp_path / "warehouse")
    assert [row["contact_id"] for row in rows_of(catalog)] == ["eve"] * 2


def test_a_tag_that_keeps_old_rows_fails_the_erasure(write: Write, append: Any, erase: Any, catalog: Any) -> None:
    write(0)
    append()
    table = catalog.load_table(TABLE)
    table.manage_snapshots().create_tag(table.current_snapshot().snapshot_id, "audit").commit()

    with pytest.raises(AirflowFailException, match="tags or branches that keep old rows: audit"):
        erase(BOB)
    assert len(rows_of(catalog)) == 2
