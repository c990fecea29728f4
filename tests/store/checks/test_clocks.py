"""No lease, budget or heartbeat depends on a worker's clock, and different server clocks keep no check open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine

from airflow_provider_wacontacts.store import Store, TaskInstanceKey, context, ledger
from airflow_provider_wacontacts.store.checks import leases, sender
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckSpec
from tests.store.checks.conftest import ALICE, BOB

DAY = timedelta(days=1)


class Shifted(datetime):
    """A worker's clock with an offset."""

    by = timedelta()

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + cls.by


@pytest.fixture
def worker_of(postgres_url, monkeypatch):
    """Return the sender's checks on a worker with a clock offset."""
    engine = create_engine(postgres_url)
    Store(engine).prepare()

    def make(by):
        for module in (context, ledger, leases, sender):
            monkeypatch.setattr(module, "datetime", type("Wrong", (Shifted,), {"by": by}), raising=False)
        return sender.SenderChecks(Store(engine).context, "sender", daily_checks=1)

    yield make
    engine.dispose()


def opened(checks, run, number):
    check = checks.open(CheckSpec(TaskInstanceKey("dag", run, "task"), "", "1", datetime.now(UTC) - 7 * DAY))
    check.fill([CheckInput(number, number)])
    return check


def leased(check):
    return check.lease([number_id for batch in check.queued(10) for number_id in batch])


def test_the_day_of_a_budget_is_the_databases(worker_of):
    days = (-DAY, timedelta(), DAY)
    granted = [leased(opened(worker_of(by), f"run {by}", f"+1631555100{n}")).numbers for n, by in enumerate(days)]
    assert list(map(len, granted)) == [1, 0, 0]


@pytest.mark.parametrize("by", [DAY, timedelta(minutes=13), timedelta(minutes=-13)], ids=str)
def test_a_lease_has_the_same_duration_on_any_worker(worker_of, by):
    assert leased(opened(worker_of(by), "first", ALICE)).numbers == [ALICE]
    second = leased(opened(worker_of(timedelta()), "second", ALICE))
    assert (second.numbers, second.leased_elsewhere) == ([], 1)


@pytest.mark.parametrize("final", ["valid", "invalid", "failed"])
@pytest.mark.parametrize("other", ["processing", "missing"])
def test_a_final_result_of_a_later_request_wins_with_any_server_clocks(desk, final, other):
    check = desk.filled(ALICE)
    desk.lease(check)
    desk.say(check, {ALICE: other}, after=timedelta(minutes=40))
    desk.clock.move(minutes=1)
    desk.say(check, {ALICE: final})
    assert desk.numbers() == {ALICE: final}
    check.finish()
    assert check.totals().state == "resolved"


def test_a_check_without_a_worker_or_a_waiter_does_not_stay_open(desk):
    failed, lost, unawaited, deferred = (desk.open(name) for name in ("failed", "lost", "unawaited", "deferred"))
    failed.fail("ConfigError")
    unawaited.fill([desk.input(BOB)])
    desk.say(unawaited, dict.fromkeys(desk.lease(unawaited).numbers, "processing"))
    unawaited.finish()
    deferred.defer(30 * DAY)
    desk.clock.move(days=8)
    desk.open("another")

    rows = desk.rows("SELECT check_id, state, error FROM wacontacts_check WHERE sender = :it", it=desk.sender)
    ended = {check_id: (state, error) for check_id, state, error in rows}
    assert [ended[check.check_id] for check in (failed, lost, unawaited, deferred)] == [
        ("failed", "ConfigError"),
        ("failed", "Lost"),
        ("expired", None),
        ("open", None),
    ]


def test_a_failed_check_is_resumed_by_the_next_attempt(desk):
    check = desk.filled(ALICE)
    check.fail("ServerError")
    again = desk.open()
    assert again.check_id == check.check_id
    assert desk.lease(again).numbers == [ALICE]
