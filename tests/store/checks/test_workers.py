"""Workers in separate processes request each number once, within the budget."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random

from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from tests.store.checks.conftest import ALICE, Desk
from tests.store.conftest import PROCESSES

WORKERS = 10
BUDGET = 1_000
SENDER = "+4400"
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def begin(url, worker, numbers, daily_checks):
    """Open a worker's own check of numbers. The clock is stopped, so that the day does not end."""
    engine = create_engine(url)
    checks = SenderChecks(Store(engine, now=lambda: NOON).context, SENDER, daily_checks=daily_checks)
    task = TaskInstanceKey("dag", "run", "task", worker)
    check = checks.open(CheckSpec(task, "", "1.2.3", NOON - timedelta(days=7)))
    check.fill([CheckInput(number, number) for number in numbers])
    return engine, check


def ask(check, batch):
    """Lease a batch, and record all numbers as valid; return the numbers."""
    leased = check.lease(batch)
    results = {number: ("valid", number[1:]) for number in leased.numbers}
    check.record(CheckResults(results, NOON, NOON))
    return list(leased.numbers)


def work(url, worker, numbers, daily_checks):
    """Run a worker in its own process; return its requested numbers, and the totals of its check."""
    engine, check = begin(url, worker, numbers, daily_checks)
    asked = [number for batch in check.queued(20) for number in ask(check, batch)]
    totals = check.finish()
    engine.dispose()
    return asked, totals


def all_at_once(url, lists, daily_checks):
    with ProcessPoolExecutor(WORKERS, PROCESSES) as workers:
        return list(workers.map(work, [url] * WORKERS, range(WORKERS), lists, [daily_checks] * WORKERS))


def spent(engine):
    with engine.connect() as connection:
        return [
            tuple(row)
            for row in connection.execute(text("SELECT sender, CAST(day AS text), spent FROM wacontacts_budget"))
        ]


def test_ten_workers_spend_a_budget_of_a_thousand_exactly(store_url, store_engine):
    Store(store_engine).prepare()
    lists = [[f"+1631{worker}{n:06}" for n in range(150)] for worker in range(WORKERS)]
    done = all_at_once(store_url, lists, BUDGET)
    asked = Counter(number for own, _ in done for number in own)

    assert (asked.total(), set(asked.values())) == (BUDGET, {1})
    assert spent(store_engine) == [(SENDER, "2024-01-01", BUDGET)]
    assert [(len(own), 150 - len(own)) for own, _ in done] == [(t.asked, t.not_asked) for _, t in done]
    assert {totals.state for _, totals in done} == {"resolved"}


def test_ten_workers_request_each_number_once(store_url, store_engine):
    Store(store_engine).prepare()
    lists = [[f"+1631555{n:04}" for n in Random(worker).sample(range(200), 200)] for worker in range(WORKERS)]
    done = all_at_once(store_url, lists, BUDGET)
    asked = Counter(number for own, _ in done for number in own)

    assert (len(asked), set(asked.values())) == (200, {1})
    assert spent(store_engine) == [(SENDER, "2024-01-01", 200)]
    assert all(totals.given == totals.asked + totals.from_store + totals.not_asked == 200 for _, totals in done)
    assert all(totals.asked == len(own) for own, totals in done)


def test_two_concurrent_attempts_of_one_task_share_one_check(store_engine):
    desk = Desk(store_engine)
    first = desk.filled(ALICE)
    with ThreadPoolExecutor(6) as threads:
        opened = list(threads.map(lambda _: desk.open().check_id, range(6)))

    assert opened == [first.check_id] * 6


def test_concurrent_attempts_leave_one_resumable_check(store_engine):
    desk = Desk(store_engine)
    with ThreadPoolExecutor(6) as threads:
        opened = list(threads.map(lambda _: desk.open().check_id, range(6)))
    states = desk.rows("SELECT state, count(*) FROM wacontacts_check GROUP BY state ORDER BY state")

    assert (len(set(opened)), states) == (6, [("expired", 5), ("open", 1)])


def test_the_last_two_results_recorded_concurrently_resolve_a_check(store_engine):
    desk = Desk(store_engine)
    numbers = [f"+1631555{n:04}" for n in range(12)]
    for round_ in range(10):
        check = desk.asked(*numbers, task=f"round {round_}", says="processing", force_check=True)
        check.finish()
        desk.clock.move(days=8)
        with ThreadPoolExecutor(len(numbers)) as threads:
            list(threads.map(lambda number: desk.deliver({number: "valid"}), numbers))
        states = desk.rows("SELECT state FROM wacontacts_check WHERE check_id = :it", it=check.check_id)

        assert states == [("resolved",)]
