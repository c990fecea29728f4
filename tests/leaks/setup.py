"""The environment of a task: a mock server, connections, a store and a folder for files."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Asset
from requests.adapters import HTTPAdapter
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.sandbox import Sandbox
from airflow_provider_wacontacts.store import upgrade
from tests.faults.conftest import Pause
from tests.leaks.capture import Capture, Case
from tests.operators.outlets import outlet_events

__all__ = ["OUTLET", "PASSWORD", "QUOTING", "Setup", "break_store_or_files", "corrupt_database", "quote_rows", "stored"]

PASSWORD = "example-password-7d21"
OUTLET = Asset("wacontacts-leaks")
#: Tables that hold no contacts, and what is read of the one that does.
TABLES = {
    "extraction": "*",
    "account": "*",
    "meta": "*",
    "check": "*",
    "budget": "*",
    "reject": "extraction_id, reason",
}
#: What a trigger of PostgreSQL does with the row that it quotes in a warning, and what becomes of the task.
QUOTING = {
    "fails": ("RAISE EXCEPTION 'row %', NEW;", "LandingError"),
    "is cancelled": ("RAISE EXCEPTION 'row %', NEW USING ERRCODE = '57014';", "LandingError"),
    "refuses a value": ("RAISE EXCEPTION 'row %', NEW USING ERRCODE = '22P02';", "LandingError"),
    "warns": ("", "success"),
}
QUOTE = """
CREATE FUNCTION quote_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE WARNING 'row %', NEW; {raising} RETURN NEW; END $$;
CREATE TRIGGER quote_row BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION quote_row();
"""


@dataclass
class Setup:
    """
    What the subjects share.

    :param store: URL of the store's database.
    :param empty_store: a SQLite file with the store's tables, to be copied.
    """

    server: Sandbox
    connect: Callable[..., None]
    folder: Path
    store: str
    empty_store: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def store_path(self) -> Path:
        return Path(make_url(self.store).database or "")

    @property
    def is_postgres(self) -> bool:
        return self.store.startswith("postgresql")

    def store_fields(self) -> dict[str, Any]:
        """Return the fields of the store's connection."""
        url = make_url(self.store)
        if not self.is_postgres:
            return {"conn_type": "sqlite", "host": url.database}
        place = {"host": url.host, "port": url.port, "login": url.username, "schema": url.database}
        return {"conn_type": "postgres", "password": PASSWORD, **place}

    def connect_store(self, fields: Mapping[str, Any]) -> None:
        """Make the store's tables, and declare its connection, or another one."""
        if self.is_postgres:
            engine = create_engine(self.store)
            upgrade(engine)
            engine.dispose()
        else:
            shutil.copy(self.empty_store, self.store_path)
        self.connect("wacontacts_store", **(dict(fields) or self.store_fields()))

    def sql(self, statement: str) -> None:
        """Change the store behind the task's back."""
        engine = create_engine(self.store, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    @contextmanager
    def interrupted(self, case: Case, subject: object) -> Iterator[None]:
        """Call a case's ``before`` ahead of each request, with the request's number."""
        send, number = HTTPAdapter.send, 0

        def counted(adapter: HTTPAdapter, *given: Any, **more: Any) -> Any:
            nonlocal number
            number += 1
            case.before(subject, number)
            return send(adapter, *given, **more)

        with self.monkeypatch.context() as patch:
            patch.setattr(HTTPAdapter, "send", counted)
            yield

    @staticmethod
    def patient() -> Any:
        """Make a clock on which time passes only while a hook sleeps."""
        return Pause().clock()

    @staticmethod
    def context(capture: Capture, execute: Callable[[dict[str, Any]], Any], **more: Any) -> Any:
        """Execute with what Airflow hands to a task, and keep what is published with its asset."""
        ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1)
        events = outlet_events()
        try:
            return execute({"ti": ti, "dag_run": SimpleNamespace(), "outlet_events": events} | more)
        finally:
            capture.add("asset extra", events[OUTLET].extra)


def stored(setup: Setup) -> dict[str, str]:
    """Read the ledger, the manifests and the names of files."""
    places = {"files": "\n".join(map(str, setup.files.rglob("*")))}
    places["manifests"] = "\n".join(path.read_text() for path in setup.files.rglob("_manifest.json"))
    engine = create_engine(setup.store)
    for table, columns in TABLES.items():
        try:
            with engine.connect() as connection:
                places[table] = repr(list(connection.execute(text(f"SELECT {columns} FROM wacontacts_{table}"))))
        except Exception as broken:  # noqa: BLE001 - some cases break the database
            places[table] = type(broken).__name__
    engine.dispose()
    return places


def break_store_or_files(setup: Setup) -> None:
    """Drop a table, and put a file where the folder of files is."""
    with sqlite3.connect(setup.store_path) as connection:
        connection.execute("DROP TABLE wacontacts_contact_payload")
    shutil.rmtree(setup.files, ignore_errors=True)
    setup.files.touch()


def corrupt_database(setup: Setup, content: str) -> None:
    """Overwrite the SQLite files of the store."""
    for path in setup.store_path.parent.glob("store.db*"):
        path.write_bytes(content.encode() * 1000)


def quote_rows(setup: Setup, table: str, raising: str) -> None:
    """Let PostgreSQL quote each row of a table, in a warning and in an error."""
    setup.sql(QUOTE.format(table=table, raising=raising).replace("%", "%%"))
