"""
Many extractions into one Iceberg table: what an append costs as the table grows, and what compaction does to queries.

The catalog is SQLite and the warehouse a local directory, so that a commit costs no network. pyiceberg compacts, a day
at a time: the engines that do it elsewhere need a JVM.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThan

from airflow_provider_wacontacts.files import ExtractionWriter
from airflow_provider_wacontacts.files.iceberg.erasure import erase_rows
from airflow_provider_wacontacts.files.iceberg.table import ContactTable
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS
from airflow_provider_wacontacts.pipelines.append_to_iceberg import AppendSpec, AppendSummary, append_files
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.turn import parse_page
from airflow_provider_wacontacts.records.windows import Window
from benchmarks.tables import show
from tests.docs.pages import query_under

__all__ = ["run"]

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROWS = 200
CONTACTS = 50_000


def run(extractions: int) -> dict[str, Any]:
    """Append hourly extractions of 200 contacts each, and compact the table."""
    with tempfile.TemporaryDirectory(prefix="wacontacts-iceberg-") as folder:
        root = Path(folder)
        for hour in range(extractions):
            _write(root / "files", hour)
        catalog = load_catalog("lake", type="sql", uri=f"sqlite:///{root}/catalog.db", warehouse=f"file://{root}/lake")
        table = ContactTable.open(catalog, "contacts.whatsapp")
        seconds: list[float] = []
        with _timed_appends(seconds):
            append_files(AppendSpec(), root=root / "files", table=table)
        figures: dict[str, Any] = {"extractions": extractions, "rows": extractions * ROWS}
        tenth = max(extractions // 10, 1)
        figures["append_s"] = {
            "first tenth": statistics.median(seconds[:tenth]),
            "last tenth": statistics.median(seconds[-tenth:]),
        }
        _write(root / "files", extractions)
        figures["task_s"], summary = _timed(lambda: append_files(AppendSpec(), root=root / "files", table=table))
        figures["replay_s"], replay = _timed(lambda: append_files(AppendSpec(), root=root / "files", table=table))
        _expect(summary.appended == 1 and replay.appended == 0, "an extraction was appended twice")
        figures["as appended"] = before = _state(table)
        figures["compaction_s"], _ = _timed(lambda: _compact(table, extractions))
        figures["compacted"] = after = _state(table)
        _expect(before.pop("answer") == after.pop("answer"), "compaction changed what a query returns")
        table.table.maintenance.expire_snapshots().older_than(datetime.now(UTC).replace(tzinfo=None)).commit()
        figures["replay_expired_s"], replay = _timed(
            lambda: append_files(AppendSpec(), root=root / "files", table=table)
        )
        _expect(replay == AppendSummary(prefixes=extractions + 1, known=extractions + 1), "a replay was appended")
        person = NO_SUPPRESSIONS.plus([Identifier(Kind.WA_ID, "99900000007")], (), None)
        figures["erasure_s"], erased = _timed(lambda: erase_rows(table, person))
        _expect(erased.rows > 0, "nobody was erased")
        figures["erased_rows"] = erased.rows
    _show(figures)
    return figures


def _write(root: Path, hour: int) -> None:
    start = START + hour * HOUR
    contacts = [
        {
            "uuid": f"contact-{number}",
            "updated_at": (start + timedelta(seconds=place)).isoformat(),
            "details": {"whatsapp_id": f"999{number:08}", "notes": "Prefers voice notes. " * 20, "hour": hour},
        }
        for place, number in enumerate((hour * 131 + place * 7) % CONTACTS for place in range(ROWS))
    ]
    own = {"source": "turn", "account": "main", "task": TaskInstanceKey("dag", "run", "task"), "package_version": "0"}
    with ExtractionWriter(root, window=Window(start, start + HOUR), **own) as writer:
        writer.write(parse_page(json.dumps({"data": contacts}).encode()))
        writer.finish(extracted_at=start + HOUR, finished_at=start + HOUR, lossy=False)


@contextmanager
def _timed_appends(seconds: list[float]) -> Iterator[None]:
    append = ContactTable.append

    def timed(self: ContactTable, *arguments: Any) -> int:
        spent, rows = _timed(lambda: append(self, *arguments))
        seconds.append(spent)
        return rows

    with mock.patch.object(ContactTable, "append", timed):
        yield


def _timed(work: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


def _state(table: ContactTable) -> dict[str, Any]:
    table.refresh()
    inspect = table.table.inspect
    paths = inspect.files()["file_path"].to_pylist()
    current = query_under("lake.md", "The latest version of each contact")
    query = f"SELECT count(*), md5(string_agg(payload, '' ORDER BY contact_id)) FROM ({current})"
    scan_s, contacts = _timed(lambda: table.table.scan().to_arrow())
    connection = duckdb.connect()
    connection.register("contacts", contacts)
    query_s, answer = _timed(lambda: connection.sql(query).fetchall())
    metadata = table.table.metadata_location.removeprefix("file://")
    return {
        "data_files": len(paths),
        "data_mb": sum(Path(path.removeprefix("file://")).stat().st_size for path in paths) / 1e6,
        "manifests": inspect.manifests().num_rows,
        "metadata_mb": Path(metadata).stat().st_size / 1e6,
        "scan_s": scan_s,
        "current_s": query_s,
        "answer": answer,
    }


def _compact(table: ContactTable, extractions: int) -> None:
    for day in range(extractions // 24 + 2):
        begins = START + timedelta(days=day)
        of_day = And(
            GreaterThanOrEqual("extracted_at", begins.isoformat()),
            LessThan("extracted_at", (begins + timedelta(days=1)).isoformat()),
        )
        rows = table.table.scan(of_day).to_arrow()
        if rows.num_rows:
            table.table.overwrite(rows, overwrite_filter=of_day)


def _expect(condition: object, message: str) -> None:
    if not condition:
        raise SystemExit(message)


def _show(figures: dict[str, Any]) -> None:
    columns = ("as appended", "compacted")
    show(
        f"{figures['extractions']:,} extractions of {ROWS} contacts in one Iceberg table",
        ("", *columns),
        [[name, *(f"{figures[column][name]:,.2f}" for column in columns)] for name in figures["compacted"]],
    )
    appends = {f"an append, {name}": seconds for name, seconds in figures["append_s"].items()}
    others = {name: figures[name] for name in ("task_s", "replay_s", "compaction_s", "replay_expired_s", "erasure_s")}
    show("Seconds", ("", "s"), [[name, f"{seconds:.2f}"] for name, seconds in (appends | others).items()])
