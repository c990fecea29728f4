"""What the demo finds in the store afterwards: plain SQL, as anybody would write it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_wacontacts.files import versions
from demo.week import State, to_millis

__all__ = ["Pulled", "contacts", "history_of", "pulls", "query", "states", "states_in_files"]


class Pulled(NamedTuple):
    """A line of the ledger: times as the store writes them."""

    window_start: str
    window_end: str
    extracted_at: str
    state: str
    row_count: int
    new_versions: int
    lateness_s: float
    lossy: bool


def query(store: Path, sql: str, *values: str) -> tuple[list[str], list[Sequence[Any]]]:
    """Ask a store without being able to change it; return names of the columns, and rows."""
    with closing(sqlite3.connect(f"{store.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        cursor = connection.execute(sql, values)
        return [column[0] for column in cursor.description], cursor.fetchall()


def pulls(store: Path) -> list[Pulled]:
    """List every extraction in the order they were made."""
    columns = ", ".join(Pulled._fields)
    sql = f"SELECT {columns} FROM wacontacts_extraction WHERE source = 'turn' ORDER BY finished_at"
    return [Pulled(*row) for row in query(store, sql)[1]]


def contacts(store: Path) -> int:
    """Count the contacts."""
    return int(query(store, "SELECT count(*) FROM wacontacts_current WHERE source = 'turn'")[1][0][0])


def states(store: Path) -> frozenset[State]:
    """Return every state of every contact."""
    rows = query(store, "SELECT contact_id, updated_at FROM wacontacts_version WHERE source = 'turn'")[1]
    return frozenset((contact, to_millis(datetime.fromisoformat(at))) for contact, at in rows)


def states_in_files(path: Path) -> frozenset[State]:
    """Return every state of every contact in the files."""
    return frozenset((version.contact_id, to_millis(version.updated_at)) for version in versions(path))


def history_of(store: Path, contact_id: str) -> list[Sequence[Any]]:
    """List one contact's states: from when, until when, and the savings it had."""
    sql = """
        SELECT valid_from, coalesce(valid_to, ''), json_extract(payload, '$.details.current_savings')
        FROM wacontacts_history WHERE contact_id = ? ORDER BY valid_from
    """
    return query(store, sql, contact_id)[1]
