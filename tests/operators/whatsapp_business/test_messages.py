"""``messages_sql``: if a sender checks more numbers than it sends messages, its daily budget is lowered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.operators.green_api import (
    GreenApiCheckContactsOperator,
    GreenApiRevalidateContactsOperator,
)
from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppCheckContactsOperator,
    WhatsAppRevalidateContactsOperator,
)
from airflow_provider_wacontacts.pipelines.messages_sent import limit_to_messages
from airflow_provider_wacontacts.sandbox import Sandbox
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from tests.operators.whatsapp_business.cases import numbers, on_both
from tests.operators.whatsapp_business.conftest import SENDER, Tasks

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MESSAGES = "SELECT day, messages FROM sent"
OPERATORS = [
    WhatsAppCheckContactsOperator,
    WhatsAppRevalidateContactsOperator,
    GreenApiCheckContactsOperator,
    GreenApiRevalidateContactsOperator,
]


@pytest.fixture
def sent(store: Any, connect: Callable[..., None], set_store_clock: Callable[[datetime], None]) -> Callable[..., None]:
    """Fill the table of messages with a count for each day before today, today's first."""
    connect("crm", **store.fields)
    set_store_clock(NOW)

    def fill(*counts: int) -> None:
        store.do("CREATE TABLE sent (day date, messages integer)")
        rows = [{"day": (NOW - days * DAY).date().isoformat(), "messages": n} for days, n in enumerate(counts)]
        store.do("INSERT INTO sent VALUES (:day, :messages)", rows)

    return fill


@pytest.fixture
def check(tasks: Tasks) -> Callable[..., dict[str, Any]]:
    def run(given: list[str], **arguments: Any) -> dict[str, Any]:
        return tasks.check(given, messages_sql=MESSAGES, messages_conn_id="crm", **arguments)

    return run


@pytest.fixture
def yesterday(tasks: Tasks, set_store_clock: Callable[[datetime], None]) -> None:
    """A hundred checks."""
    set_store_clock(NOW - DAY)
    tasks.check(numbers(100), run_id="yesterday")
    set_store_clock(NOW)


@on_both
@pytest.mark.usefixtures("yesterday")
def test_more_checks_than_messages_lower_the_budget_and_warn(
    check: Any, sent: Any, api: Sandbox, logged: Callable[[], str]
) -> None:
    # Messages of today, and of eight days ago, are not compared.
    sent(500, 40, 0, 0, 30, 0, 0, 29, 500)
    api.whatsapp.clear_counts()

    preview = check(numbers(30, first=200), dry_run=True)
    summary = check(numbers(30, first=200), on_budget="partial")

    assert (preview["to_ask"], preview["budget_left"], preview["budget_after"]) == (30, 15, -15)
    assert summary.items() >= {"asked": 15, "not_asked": 15, "budget_left": 0}.items()
    assert sum(api.asked_numbers.values()) == 15
    warning = f"Sender '{SENDER}' has sent 99 messages in the last 7 days, and checked 100 numbers"
    assert warning in (log := logged())
    assert "Today's budget is 15 checks instead of 1000" in log


@pytest.mark.usefixtures("yesterday")
def test_as_many_messages_as_checks_change_nothing(check: Any, sent: Any, logged: Callable[[], str]) -> None:
    sent(0, 50, 50)
    logged()

    assert check(numbers(30, first=200)).items() >= {"asked": 30, "budget_left": 970}.items()
    assert "WhatsApp bans" not in logged()


@pytest.mark.usefixtures("yesterday")
def test_without_sent_messages_checks_stop_until_some_are_sent(
    check: Any, sent: Any, api: Sandbox, store: Any, set_store_clock: Callable[[datetime], None]
) -> None:
    sent(0)
    api.whatsapp.clear_counts()
    new = numbers(3, first=200)

    with pytest.raises(AirflowFailException, match=r"daily_checks, lowered by messages_sql \(0\) are spent for today"):
        check(new, run_id="fails")
    with pytest.raises(TaskDeferred):
        check(new, on_budget="defer")
    assert api.asked_numbers == {}

    store.do("INSERT INTO sent VALUES ('2026-03-09', 101)")
    set_store_clock(NOW + DAY)
    assert check(new, on_budget="defer")["asked"] == 3


@pytest.mark.usefixtures("yesterday")
def test_the_budget_of_the_connection_is_never_raised(check: Any, sent: Any, connect_api: Any) -> None:
    connect_api(extra={"daily_checks": 5})
    sent(0, 99)

    assert check(numbers(30, first=200), on_budget="partial")["asked"] == 5


@pytest.mark.parametrize(
    "day",
    [
        date(2026, 3, 8),
        datetime(2026, 3, 8, 23, 59),  # noqa: DTZ001 - a column without time zones
        datetime(2026, 3, 9, 1, tzinfo=timezone(timedelta(hours=2))),
        "2026-03-08",
        "2026-03-08 00:00:00",
        "2026-03-09T01:00:00+02:00",
    ],
)
@pytest.mark.parametrize("count", [7, 7.0, Decimal(7)])
def test_days_and_counts_are_read_as_databases_return_them(store: Any, day: object, count: object) -> None:
    limited = unspent_but(store, 100)
    limit_to_messages(limited, [{"day": day, "messages": count}, {"day": day, "messages": None}])

    assert limited.daily_checks == 1


def unspent_but(store: Any, spent: int) -> SenderChecks:
    from sqlalchemy import create_engine

    from airflow_provider_wacontacts.store import Store

    made = Store(create_engine(store._url))
    made.context.clock = lambda: NOW
    made.prepare()
    store.do("INSERT INTO wacontacts_budget (sender, day, spent) VALUES ('s', '2026-03-08', :n)", [{"n": spent}])
    return SenderChecks(made.context, "s", daily_checks=1_000)


@pytest.mark.parametrize("count", [Decimal("NaN"), Decimal("-Infinity"), float("nan"), float("inf"), "7"])
def test_a_count_that_is_not_a_number_is_refused(store: Any, count: object) -> None:
    with pytest.raises(ConfigError, match="needs a column 'messages'"):
        limit_to_messages(unspent_but(store, 100), [{"day": "2026-03-08", "messages": count}])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT 7 AS messages", "needs a column 'day'"),
        ("SELECT 'yesterday' AS day, 7 AS messages", "needs a column 'day'"),
        ("SELECT '2026-03-08' AS day", "no column 'messages'; it has day"),
        ("SELECT '2026-03-08' AS day, 'many' AS messages", "needs a column 'messages'"),
        ("SELECT '2026-03-08' AS day, -1 AS messages", "needs a column 'messages'"),
        ("SELECT 1 AS count", "no column 'messages'; it has count"),
    ],
)
def test_a_query_without_days_and_counts_fails_before_any_request(
    tasks: Tasks, api: Sandbox, sent: Any, query: str, message: str
) -> None:
    sent(1)
    with pytest.raises(AirflowFailException, match=message):
        tasks.check(numbers(3), messages_sql=query, messages_conn_id="crm")
    assert api.asked_numbers == {}


@pytest.mark.parametrize("kind", ["contacts", "messages"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_connection_of_a_query_is_required_when_the_dag_is_parsed(operator: Any, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"{kind}_sql needs {kind}_conn_id"):
        operator(task_id="task", **{f"{kind}_sql": MESSAGES})
