"""
No outcome of a task leaves secrets or personal data in anything that Airflow stores, with logging at DEBUG.

Mock servers and databases repeat tokens, URLs with cursors, numbers and names in every response. Then everything is
searched: log records, standard streams, errors with their causes, triggers and events, summaries, template fields,
extras of assets, the ledger, manifests and names of files.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_wacontacts.exceptions import LandingError
from tests.leaks import (
    green_api,
    green_api_checks,
    store_operators,
    turn,
    whatsapp_checks,
    whatsapp_identities,
    whatsapp_waits,
)
from tests.leaks.capture import Capture, Case, leaks_in
from tests.leaks.setup import OUTLET, Setup, stored

SUBJECTS: dict[str, tuple[type, Iterable[Case]]] = {
    "turn to SQL": (turn.TurnToSql, turn.SQL_CASES),
    "turn to files": (turn.TurnToFiles, turn.FILES_CASES),
    "green_api to SQL": (green_api.GreenApiToSql, green_api.SQL_CASES),
    "green_api to files": (green_api.GreenApiToFiles, green_api.FILES_CASES),
    "green_api check": (green_api_checks.GreenApiChecks, green_api_checks.CASES),
    "check": (whatsapp_checks.CheckNumbers, (*whatsapp_checks.CASES, *whatsapp_checks.SQL_CASES)),
    "get identity": (whatsapp_identities.GetIdentities, whatsapp_identities.CASES),
    "acknowledge identity": (whatsapp_identities.AcknowledgeIdentities, whatsapp_identities.CASES),
    "wait in worker": (whatsapp_waits.WaitInWorker, whatsapp_waits.CASES),
    "wait in triggerer": (whatsapp_waits.WaitInTriggerer, whatsapp_waits.CASES),
    "files to SQL": (store_operators.FilesToSql, store_operators.CASES),
    "files to Iceberg": (store_operators.FilesToIceberg, store_operators.ICEBERG_CASES),
    "erase": (store_operators.EraseContacts, store_operators.ERASE_CASES),
}
ON_POSTGRES: dict[str, tuple[type, Iterable[Case]]] = {
    "turn to SQL": (turn.TurnToSql, turn.POSTGRES_CASES),
    "green_api to SQL": (green_api.GreenApiToSql, green_api.POSTGRES_CASES),
    "check": (whatsapp_checks.CheckNumbers, whatsapp_checks.SQL_CASES),
}


def each(subjects: dict[str, tuple[type, Iterable[Case]]]) -> Any:
    """Parametrize a test by the subjects and their cases."""
    return pytest.mark.parametrize(
        ("subject", "case"),
        [
            pytest.param(kind, case, id=f"{name}-{case.name}")
            for name, (kind, cases) in subjects.items()
            for case in cases
        ],
    )


def search(setup: Setup, capture: Capture, subject: type, case: Case) -> tuple[tuple[str, ...], dict[str, set[str]]]:
    """Run a case; returns how it ended and what was found."""
    running = subject(setup)
    running.prepare(case)
    capture.clear()
    outcome = capture.run(lambda: running.execute(case, capture))
    places = capture.places() | running.stored()
    return outcome, leaks_in(places, re.compile("|".join(sorted(running.secrets(), key=len, reverse=True))))


@pytest.fixture
def _pauses(request: pytest.FixtureRequest, case: Case) -> None:
    """Send each request once, unless the case succeeds after a retry."""
    if case.outcome != "success":
        request.getfixturevalue("impatient")
    request.getfixturevalue("hasty")


@pytest.mark.usefixtures("_pauses")
@each(SUBJECTS)
def test_no_outcome_reveals_secrets_or_personal_data(
    sqlite: Setup, capture: Capture, subject: type, case: Case
) -> None:
    outcome, leaks = search(sqlite, capture, subject, case)

    assert leaks == {}
    assert case.outcome in {"", *outcome}


@pytest.mark.usefixtures("_pauses")
@each(ON_POSTGRES)
def test_no_outcome_on_postgresql_reveals_secrets_or_personal_data(
    postgres_setup: Setup, capture: Capture, subject: type, case: Case
) -> None:
    outcome, leaks = search(postgres_setup, capture, subject, case)

    assert leaks == {}
    assert case.outcome in {"", *outcome}


def test_the_search_covers_every_place(sqlite: Setup, capture: Capture) -> None:
    """Shows that the tests above search what they claim to."""

    class Trigger:
        def serialize(self) -> tuple[str, dict[str, Any]]:
            return "trigger", {"kept in the trigger": 1}

        async def run(self) -> Any:
            yield SimpleNamespace(payload={"kept in the event": 1})

    def task() -> None:
        print("kept on stdout")  # noqa: T201
        print("kept on stderr", file=sys.stderr)  # noqa: T201
        logging.getLogger("sqlalchemy.engine.Engine").debug("%s", "kept in a record")
        capture.operator(SimpleNamespace(template_fields=("path",), path="kept in a template"))
        capture.trigger(Trigger())
        capture.event(Trigger())
        sqlite.files.mkdir()
        (sqlite.files / "kept in a name").touch()
        (sqlite.files / "_manifest.json").write_text("kept in a manifest")
        try:
            int("kept in a cause")
        except ValueError as error:
            raise LandingError("kept in an error") from error

    sqlite.connect_store({})
    sqlite.sql("INSERT INTO wacontacts_account (source, account) VALUES ('turn', 'kept in the ledger')")
    capture.clear()
    sqlite.context(capture, lambda context: setattr(context["outlet_events"][OUTLET], "extra", {"kept in an extra": 1}))
    outcome = capture.run(task)

    found = leaks_in(capture.places() | stored(sqlite), re.compile(r"kept (?:in|on) (?:the |an? )?[a-z]+"))
    assert "LandingError" in outcome
    # Airflow 2 writes to standard output what is logged.
    assert found.pop("stdout") - {"kept in a record"} == {"kept on stdout"}
    assert found == {
        "asset extra": {"kept in an extra"},
        "templates": {"kept in a template"},
        "trigger": {"kept in the trigger"},
        "event": {"kept in the event"},
        "traceback": {"kept in an error", "kept in a cause"},
        "errors": {"kept in an error", "kept in a cause"},
        "stderr": {"kept on stderr"},
        "records": {"kept in a record"},
        "files": {"kept in a name"},
        "manifests": {"kept in a manifest"},
        "account": {"kept in the ledger"},
    }
