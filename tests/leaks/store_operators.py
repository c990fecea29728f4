"""Operators on stored data, and their possible outcomes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import sqlalchemy

from airflow_provider_wacontacts.operators.store import (
    ContactFilesToIcebergOperator,
    ContactFilesToSqlOperator,
    EraseContactsOperator,
)
from tests.leaks.capture import Capture, Case
from tests.leaks.setup import OUTLET, break_store_or_files, corrupt_database
from tests.leaks.turn import ECHO, STORES, TurnToFiles, TurnToSql

__all__ = ["CASES", "ERASE_CASES", "ICEBERG_CASES", "EraseContacts", "FilesToIceberg", "FilesToSql"]

#: pyiceberg's SQL catalog needs SQLAlchemy 2.
HAS_CATALOG = find_spec("pyiceberg") is not None and not sqlalchemy.__version__.startswith("1.")


class FilesToSql(TurnToFiles):
    """Loads files into the store."""

    def execute(self, case: Case, capture: Capture) -> Any:
        super().execute(Case("files"), capture)
        case.before(self, 1)
        return self._execute_on_files(case, capture)

    def _execute_on_files(self, case: Case, capture: Capture) -> Any:
        path = f"file://{self.setup.files}"
        operator = ContactFilesToSqlOperator(task_id="load", path=path, outlets=[OUTLET], **case.arguments)
        capture.operator(operator)
        return self.setup.context(capture, operator.execute)


class FilesToIceberg(FilesToSql):
    """Appends files to an Iceberg table, whose catalog and warehouse can break after the first append."""

    def _execute_on_files(self, case: Case, capture: Capture) -> Any:
        folder, path = self.setup.folder, f"file://{self.setup.files}"
        extra = {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}/warehouse"}
        self.setup.connect("iceberg_default", conn_type="iceberg", extra=extra)
        operator = ContactFilesToIcebergOperator(task_id="append", path=path, table="a.b", outlets=[OUTLET])
        capture.operator(operator)
        return self.setup.context(capture, operator.execute)


class EraseContacts(FilesToSql):
    """Erases a contact from the store and from files."""

    def _execute_on_files(self, case: Case, capture: Capture) -> Any:
        given = {
            "contacts_sql": "SELECT wa_id FROM wacontacts_current ORDER BY wa_id LIMIT 1",
            "paths": [f"file://{self.setup.files}"],
        }
        operator = EraseContactsOperator(task_id="erase", outlets=[OUTLET], **given | dict(case.arguments))
        capture.operator(operator)
        return self.setup.context(capture, operator.execute)

    def prepare(self, case: Case) -> None:
        super().prepare(case)
        self._loaded = False

    def execute(self, case: Case, capture: Capture) -> Any:
        if not case.store:
            TurnToSql(self.setup).execute(Case("store"), capture)
        return super().execute(case, capture)


def _corrupt_part(subject: FilesToSql, _request: int) -> None:
    part = next(path for path in Path(subject.setup.files).rglob("part-*") if path.is_file())
    part.write_text(ECHO)


def _corrupt_manifest(subject: FilesToSql, _request: int) -> None:
    next(Path(subject.setup.files).rglob("_manifest.json")).with_name("part-9.jsonl.gz").write_text(ECHO)


def _corrupt(subject: FilesToSql, _request: int) -> None:
    corrupt_database(subject.setup, ECHO)


def _break(subject: FilesToSql, _request: int) -> None:
    break_store_or_files(subject.setup)


CASES = [
    Case("success", outcome="success"),
    Case("corrupt part", before=_corrupt_part),
    Case("corrupt database", before=_corrupt, outcome="AirflowFailException"),
    *(Case("unreachable store", store=fields, outcome="LandingError") for fields in STORES),
]


def _break_catalog(subject: FilesToSql, _request: int) -> None:
    (subject.setup.folder / "catalog.db").write_text(ECHO * 1000)


def _break_warehouse(subject: FilesToSql, _request: int) -> None:
    (subject.setup.folder / "warehouse").write_text(ECHO)


ICEBERG_CASES = HAS_CATALOG * [
    Case("success", outcome="success"),
    Case("corrupt part", before=_corrupt_part, outcome="LandingError"),
    Case("corrupt catalog", before=_break_catalog, outcome="AirflowFailException"),
    Case("corrupt warehouse", before=_break_warehouse, outcome="AirflowFailException"),
]
ERASE_CASES = [
    *CASES,
    *(
        Case(f"query {n}", arguments={"contacts_sql": sql})
        for n, sql in enumerate(
            (
                "SELECT payload AS wa_id FROM wacontacts_current",
                "SELECT wa_id FROM nowhere",
                "SELECT json(payload || payload) AS number FROM wacontacts_current",
                "SELECT payload FROM wacontacts_current",
            )
        )
    ),
]
