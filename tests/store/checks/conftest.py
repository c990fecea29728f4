"""A store with numbers, a clock to set, and common steps of checks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.records.windows import parse_time
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.checks.model import BEGINNING_OF_TIME, CheckInput, CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from tests.conftest import POSTGRES_DRIVER, plain_id

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
SENDERS = count(1)
ALICE, BOB, CAROL, DAVE = (f"+1631555100{n}" for n in range(1, 5))


class Clock:
    """A clock that advances only when it is set."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now

    def move(self, **step):
        self.now += timedelta(**step)


class Desk:
    """One sender's checks, with common test steps."""

    def __init__(self, engine, *, sender=None, daily_checks=1_000):
        self.engine = engine
        self.sender = sender or f"sender {next(SENDERS)}"
        self.clock = Clock()
        self.store = Store(engine, now=self.clock)
        self.store.prepare()
        self.checks = SenderChecks(self.store.context, self.sender, daily_checks=daily_checks)

    def open(self, task="task", *, fresh_for=WEEK, force_check=False, max_checks=None, checks=None):
        """Open a check. Another task gets another check."""
        options = f"{force_check} {max_checks} {fresh_for}"
        rules = CheckSpec(
            TaskInstanceKey("dag", "run", task), options, "1.2.3", self.clock() - fresh_for, force_check, max_checks
        )
        return (checks or self.checks).open(rules)

    def filled(self, *numbers, task="task", **rules):
        """Open a check of some numbers."""
        check = self.open(task, **rules)
        check.fill([self.input(number) for number in numbers])
        return check

    def asked(self, *numbers, task="task", says="valid", **rules):
        """Open a check, lease all its numbers, and record the same status for each."""
        check = self.filled(*numbers, task=task, **rules)
        leased = self.lease(check)
        check.record(self.answer(dict.fromkeys(leased.numbers, says), forced=rules.get("force_check", False)))
        return check

    @staticmethod
    def input(number, **changes):
        """Return the input of a number."""
        return CheckInput(number, number)._replace(**changes)

    @staticmethod
    def lease(check):
        """Lease all queued numbers at once."""
        leased = check.lease([number_id for batch in check.queued(1_000) for number_id in batch])
        return leased._replace(leased_at=BEGINNING_OF_TIME, charged=0)

    @staticmethod
    def lease_waiting(check):
        """Lease all waiting numbers at once."""
        leased = check.lease_waiting([number_id for batch in check.waiting(1_000) for number_id in batch])
        return leased._replace(leased_at=BEGINNING_OF_TIME, charged=0)

    def answer(self, says, *, after=timedelta(), asked_at=None, version="v2.45.1", forced=False):
        """Return the results of a response with these statuses, sent some time after now."""
        results = {number: (status, number[1:] if status == "valid" else None) for number, status in says.items()}
        return CheckResults(results, asked_at or self.clock(), self.clock() + after, version, forced)

    def say(self, check, says, **how):
        """Record results of numbers for a check."""
        check.record(self.answer(says, **how))

    def deliver(self, says, **how):
        """Record results of a callback."""
        self.checks.record_delivered(self.answer(says, **how), verified=True)

    def numbers(self, columns="status"):
        """Return columns of the sender's numbers, by number: a value, or a tuple of values."""
        rows = self.rows(f"SELECT number, {columns} FROM wacontacts_number WHERE sender = :it", it=self.sender)
        return {number: values[0] if len(values) == 1 else tuple(values) for number, *values in rows}

    def results(self, check, columns="status"):
        """Return columns of a check's results in order: values, or tuples of values."""
        query = f"SELECT {columns} FROM wacontacts_check_result WHERE check_id = :it ORDER BY ordinal"
        return [row[0] if len(row) == 1 else row for row in self.rows(query, it=check.check_id)]

    def spent(self):
        """Return the spent budget by day."""
        return dict(
            self.rows("SELECT CAST(day AS text), spent FROM wacontacts_budget WHERE sender = :it", it=self.sender)
        )

    def everything(self):
        """Return all rows of the sender's numbers, checks, results, rejects and budgets."""
        own = "check_id IN (SELECT check_id FROM wacontacts_check WHERE sender = :it)"
        whose = {"number": "sender = :it", "check": own, "check_result": own, "reject": own, "budget": "sender = :it"}
        return {
            name: sorted(map(repr, self.rows(f"SELECT * FROM wacontacts_{name} WHERE {which}", it=self.sender)))
            for name, which in whose.items()
        }

    def rows(self, query, **values):
        """Return rows; times are timezone-aware."""
        with self.engine.connect() as connection:
            return [tuple(map(_value, row)) for row in connection.execute(text(query), values)]


def _value(value):
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str) and len(value) == 27 and value.endswith("Z"):
        return parse_time(value)
    return bytes(value) if isinstance(value, memoryview) else plain_id(value)


@pytest.fixture(scope="module", params=["sqlite", POSTGRES_DRIVER])
def shared_engine(request, tmp_path_factory):
    """An engine of one store for many tests. Each test has its own sender."""
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('shared')}/store.db")
    else:
        name = f"shared_{next(SENDERS)}"
        with request.getfixturevalue("postgres_engine").begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
        url = request.getfixturevalue("postgres").url(driver=request.param)
        engine = create_engine(f"{url}?options=-csearch_path%3D{name}")
    yield engine
    engine.dispose()


@pytest.fixture
def desk(shared_engine):
    """A desk with a new sender."""
    return Desk(shared_engine)


@pytest.fixture
def desk_of(shared_engine):
    """Return a desk with another sender or budget in the same store."""
    return lambda **given: Desk(shared_engine, **given)
