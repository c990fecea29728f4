"""Results of checks are written to a table: exact, idempotent, and without numbers that became invalid."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckResultsToSqlOperator
from airflow_provider_wacontacts.sandbox import Sandbox
from tests.operators.whatsapp_business.cases import numbers, on_both
from tests.operators.whatsapp_business.conftest import Database, Tasks

A, B, C, D = numbers(4)
IDS = "SELECT contact_key, number, wa_id FROM whatsapp_ids ORDER BY 1, 2"
FILL = """
INSERT INTO wacontacts_check_result (check_id, ordinal, contact_key, input, number, wa_id, status)
SELECT c.check_id, n, 'contact ' || n, '', '+1' || (2120000000 + n), '1' || (2120000000 + n),
    CASE WHEN n % 10 = 0 THEN 'invalid' ELSE 'valid' END
FROM wacontacts_check c, ({numbers}) AS s
"""
SERIES = {
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT n FROM s",
    "postgres": "SELECT n FROM generate_series(1, 20000) AS g(n)",
}
#: A worker that gets SIGKILL in its twentieth transaction, when its rows are written and not committed.
KILLED_IN_A_TRANSACTION = """
import os, signal, sys
from airflow_provider_wacontacts.hooks.target_table import SqlTable
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckResultsToSqlOperator

replace, chunks = SqlTable.replace, []

class Session:
    def __init__(self, session):
        self.cursor = session.cursor

    def commit(self):
        os.kill(os.getpid(), signal.SIGKILL)

def die(table, column, values, rows):
    chunks.append(column)
    if len(chunks) == 20:
        table._session = Session(table._session)
    replace(table, column, values, rows)

SqlTable.replace = die
WhatsAppCheckResultsToSqlOperator(
    task_id="hand_on", check_id=sys.argv[1], target_conn_id="team", target_table="whatsapp_ids", create_table=True
).execute({"outlet_events": {}})
"""


def contacts(**by_key: str) -> list[dict[str, Any]]:
    return [{"contact_key": key, "number": number} for key, number in by_key.items()]


@pytest.fixture
def target(store: Database, tmp_path: Any, connect: Callable[..., None]) -> Database:
    """The team's own database, which is another than the store if that is SQLite."""
    database = store
    if store.fields["conn_type"] == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/team.db")
    connect("team", **database.fields)
    return database


def hand_on(tasks: Tasks, check_id: str, **arguments: Any) -> dict[str, Any]:
    given = {"target_conn_id": "team", "target_table": "whatsapp_ids", "create_table": True, **arguments}
    operator = WhatsAppCheckResultsToSqlOperator(task_id="hand_on", check_id=check_id, **given)
    return operator.execute(tasks.context(task_id="hand_on"))


@pytest.fixture
def checked(tasks: Tasks, api: Sandbox, target: Database) -> Callable[..., dict[str, Any]]:
    """Check contacts while some numbers have another status than ``valid``, and pass the results on."""
    runs = iter(range(100))

    def check(given: list[dict[str, Any]], truth: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
        for number in (A, B, C, D):
            api.whatsapp.put(number, (truth or {}).get(number, "valid"))
        run_id = f"run {next(runs)}"
        return hand_on(tasks, tasks.check(given, run_id=run_id, force_check=True)["check_id"], **arguments)

    return check


@on_both
def test_valid_numbers_are_written_with_their_contacts(
    checked: Callable[..., dict[str, Any]], target: Database
) -> None:
    given = [*contacts(a=A, b=A, c=B), {"contact_key": "b", "number": C}, {"contact_key": "b", "number": C}]

    summary = checked(given, {B: "invalid"})

    assert target.rows(IDS) == [("a", A, A[1:]), ("b", A, A[1:]), ("b", C, C[1:])]
    assert summary.items() >= {"rows": 5, "written": 3, "removed": 0, "kept": 0}.items()


@on_both
def test_a_later_check_removes_invalid_numbers_and_keeps_failed_ones(
    checked: Callable[..., dict[str, Any]], target: Database
) -> None:
    checked(contacts(invalid=A, failed=B, moved=C, other=D))

    summary = checked(contacts(invalid=A, failed=B, moved=A), {A: "invalid", B: "failed"})

    assert target.rows(IDS) == [("failed", B, B[1:]), ("other", D, D[1:])]
    assert summary.items() >= {"written": 0, "removed": 2, "kept": 1}.items()


def test_an_opted_out_contact_is_removed_and_one_past_the_budget_stays(
    checked: Callable[..., dict[str, Any]], tasks: Tasks, target: Database
) -> None:
    checked(contacts(out=A, late=B))
    out = {"contact_key": "out", "number": A, "opted_in": False}

    check = tasks.check([out, *contacts(new=C, late=B)], force_check=True, max_checks=1, on_budget="partial")
    hand_on(tasks, check["check_id"])

    assert target.rows(IDS) == [("late", B, B[1:]), ("new", C, C[1:])]


@on_both
def test_a_revalidation_changes_the_rows_of_its_numbers(
    checked: Callable[..., dict[str, Any]], tasks: Tasks, api: Sandbox, target: Database
) -> None:
    checked(contacts(a=A, b=A, c=B, d=C))
    target.do(f"DELETE FROM whatsapp_ids WHERE number = '{C}'")
    api.whatsapp.put(A, "invalid")
    api.whatsapp.put(B, "failed")
    api.clock.advance(8 * 86_400)

    revalidated = tasks.revalidate(force_check=True, run_after=api.clock.now())
    summary = hand_on(tasks, revalidated["check_id"])

    assert target.rows(IDS) == [("c", B, B[1:])]
    assert summary.items() >= {"rows": 3, "removed": 2, "kept": 1}.items()


def test_a_table_without_contact_keys_has_one_row_per_number(
    checked: Callable[..., dict[str, Any]], target: Database
) -> None:
    target.do("CREATE TABLE ids (number text, wa_id text, status text)")
    for _ in range(2):
        checked(contacts(a=A, b=A, c=B), {B: "invalid"}, target_table="ids", statuses=["valid", "invalid"])

    rows = target.rows("SELECT number, wa_id, status FROM ids ORDER BY 1")
    assert rows == [(A, A[1:], "valid"), (B, None, "invalid")]


@on_both
def test_a_killed_write_is_exact_after_a_retry(tasks: Tasks, store: Database, target: Database) -> None:
    check_id = tasks.check([])["check_id"]
    store.do(FILL.replace("{numbers}", SERIES[store.fields["conn_type"]]))

    killed = subprocess.run([sys.executable, "-c", KILLED_IN_A_TRANSACTION, check_id], check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert 0 < target.rows("SELECT count(*) FROM whatsapp_ids")[0][0] < 18_000

    assert hand_on(tasks, check_id)["written"] == 18_000
    counted = target.rows("SELECT count(*), count(DISTINCT number), count(DISTINCT contact_key) FROM whatsapp_ids")
    assert counted == [(18_000, 18_000, 18_000)]


def test_a_table_without_the_needed_columns_is_refused(
    checked: Callable[..., dict[str, Any]], target: Database
) -> None:
    target.do("CREATE TABLE whatsapp_ids (contact_key text)")

    with pytest.raises(AirflowFailException, match="has no column number and no column wa_id"):
        checked(contacts(a=A))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"target_table": "ids; DROP TABLE ids"}, "name of a table"),
        ({"target_table": "missing", "create_table": False}, "missing"),
        ({"check_id": "0" * 32}, "no check of this store"),
        ({"check_id": {"check_id": "0" * 32}}, r"check.output\['check_id'\]"),
    ],
)
def test_an_invalid_target_or_check_fails_without_retries(
    tasks: Tasks, target: Database, arguments: dict[str, Any], told: str
) -> None:
    check_id = tasks.check(contacts(a=A))["check_id"]

    with pytest.raises(AirflowFailException, match=told):
        hand_on(tasks, **{"check_id": check_id, **arguments})


def test_a_wrong_status_fails_when_the_dag_is_parsed() -> None:
    with pytest.raises(ConfigError, match="statuses"):
        WhatsAppCheckResultsToSqlOperator(
            task_id="t", check_id="a", target_conn_id="b", target_table="c", statuses=["vaild"]
        )


def test_the_summary_is_json(checked: Callable[..., dict[str, Any]]) -> None:
    assert json.loads(json.dumps(checked(contacts(a=A)))).keys() == {"check_id", "rows", "written", "removed", "kept"}
