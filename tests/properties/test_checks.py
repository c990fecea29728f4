"""
The store's numbers and checks of one sender equal a model in plain Python, for random operations in any order.

Results come late, twice and out of order, leases expire, webhooks deliver, and time passes between the operations.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, text

from airflow_provider_wacontacts.records.windows import parse_time
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from tests.properties.checks_model import Model

SENDERS = count(1)
DAILY = 6
START = datetime(2024, 1, 1, 23, 50, tzinfo=UTC)
NUMBERS = [f"+1631555100{n}" for n in range(4)]
STATUSES = ("valid", "valid", "invalid", "failed", "failed", "processing", "pending", "missing")
#: Steps of the clock: within a claim, just short of its end and to it, days, just short of a week and to it.
STEPS = [timedelta(seconds=s) for s in (0, 1, 60, 719, 720, 86_400, 604_799, 604_800)]

few = st.integers(0, 3)
some_answers = st.dictionaries(st.sampled_from(NUMBERS), st.sampled_from(STATUSES), min_size=4, max_size=4)
inputs = st.lists(
    st.tuples(st.sampled_from([*NUMBERS, None]), st.sampled_from([None, None, None, True, False])), max_size=6
)
options = st.tuples(few, st.booleans(), st.sampled_from([0, 0, 7, 30]), st.sampled_from([None, None, 1, 3]))
OPERATIONS = st.one_of(
    st.tuples(st.just("begin"), options, inputs),
    st.tuples(st.just("begin"), options, st.just([(number, None) for number in NUMBERS])),
    st.tuples(st.just("open"), options),
    st.tuples(st.just("ask"), few, st.integers(1, 4), some_answers, st.integers(0, 2)),
    st.tuples(st.just("ask"), few, st.integers(1, 4), some_answers, st.integers(0, 2)),
    st.tuples(st.just("lease"), few, st.integers(1, 4), some_answers, st.integers(-1, 2)),
    st.tuples(st.just("lease_waiting"), few, st.integers(1, 4), some_answers, st.integers(-1, 2)),
    st.tuples(st.just("answer"), few),
    st.tuples(st.just("release"), few),
    st.tuples(st.just("deliver"), some_answers, st.integers(1, 4), st.sampled_from([0, 0, 1, 700, 604_800])),
    st.tuples(st.just("finish"), few),
    st.tuples(st.just("start_waiting"), few, st.integers(0, 2)),
    st.tuples(st.just("stop_rechecking"), few),
    st.tuples(st.just("expire"), few),
    st.tuples(st.just("move"), st.sampled_from(STEPS)),
)


class Real:
    """A store that is asked to do what the model does; checks are known by their place among all."""

    def __init__(self, engine, clock):
        self.engine = engine
        self.sender = f"sender {next(SENDERS)}"
        self.checks = SenderChecks(Store(engine, now=clock).context, self.sender, daily_checks=DAILY)
        self.ids = []
        self.made = {}

    def open(self, options, *, fresh_after, force, max_checks):
        task = TaskInstanceKey("dag", self.sender, str(options[0]))
        rules = CheckSpec(task, repr(options), "1.2.3", fresh_after, force, max_checks)
        check = self.checks.open(rules)
        self.made[check.check_id] = check
        if check.check_id not in self.ids:
            self.ids.append(check.check_id)
        return self.ids.index(check.check_id)

    def fill(self, n, inputs):
        self._check(n).fill(
            CheckInput(f"input {place}", number, f"key {place}", None if number else "too short", opted_in)
            for place, (number, opted_in) in enumerate(inputs)
        )

    def queued(self, n):
        return self._numbers(self._check(n).queued(2))

    def waiting(self, n):
        return self._numbers(self._check(n).waiting(2))

    def lease(self, n, numbers):
        return self._leased(self._check(n).lease(self._ids(numbers)))

    def lease_waiting(self, n, numbers):
        return self._leased(self._check(n).lease_waiting(self._ids(numbers)))

    def start_waiting(self, n, deadline, recheck_failed):
        return self._counted(self._check(n).start_waiting(deadline, recheck_failed=recheck_failed))

    def finish(self, n):
        return self._counted(self._check(n).finish())

    def expire(self, n):
        return self._counted(self._check(n).expire())

    def totals(self, n):
        return self._counted(self._check(n).totals())

    def record(self, n, said):
        self._check(n).record(said)

    def release(self, n, numbers):
        self._check(n).release(numbers)

    def stop_rechecking(self, n):
        self._check(n).stop_rechecking()

    def record_delivered(self, said):
        self.checks.record_delivered(said, verified=True)

    def budget_left(self):
        return self.checks.budget_left()

    def dump(self):
        """Read what is known of numbers, of results and of checks."""
        numbers = self._rows(
            "SELECT number, status, wa_id, checked_at, answered_at, client_version, leased_by, leased_until "
            "FROM wacontacts_number WHERE sender = :sender ORDER BY number"
        )
        results = self._rows(
            "SELECT number, status, reason, duplicate, wa_id, checked_at, from_store, waiting, failures "
            "FROM wacontacts_check_result JOIN wacontacts_check USING (check_id) "
            "WHERE sender = :sender ORDER BY check_number, ordinal"
        )
        states = self._rows(
            "SELECT state, filled_at IS NOT NULL, resolved_at IS NOT NULL FROM wacontacts_check "
            "WHERE sender = :sender ORDER BY check_number"
        )
        return numbers, results, states

    def _check(self, n):
        return self.made[self.ids[n]]

    def _ids(self, numbers):
        rows = dict(self._raw("SELECT number, number_id FROM wacontacts_number WHERE sender = :sender"))
        return [rows[number] for number in numbers]

    def _numbers(self, batches):
        rows = dict(self._raw("SELECT number_id, number FROM wacontacts_number WHERE sender = :sender"))
        return [rows[number_id] for batch in batches for number_id in batch]

    @staticmethod
    def _leased(leased):
        return list(leased.numbers), leased.over_budget, leased.leased_elsewhere

    @staticmethod
    def _counted(totals):
        return {name: value for name, value in totals._asdict().items() if value}

    def _rows(self, query):
        return [tuple(self._value(value) for value in row) for row in self._raw(query)]

    def _value(self, value):
        if value in self.ids:
            return self.ids.index(value)
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        if isinstance(value, str) and value[:2] == "20" and value.endswith("Z"):
            return parse_time(value)
        return value

    def _raw(self, query):
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), {"sender": self.sender})]


class Both:
    """The model and a store, made to do the same; what differs is an error."""

    def __init__(self, engine):
        self.now = START
        self.model = Model(lambda: self.now, DAILY)
        self.real = Real(engine, lambda: self.now)
        self.questions = []

    def do(self, name, *given):
        getattr(self, name)(*given)
        self.compare()

    def begin(self, options, inputs):
        n = self.open(options)
        if not self.model.checks[n].filled:
            self._same("fill", n, inputs)

    def open(self, options):
        _, force, days, max_checks = options
        after = self.now - timedelta(days=days)
        return self._same("open", options, fresh_after=after, force=force, max_checks=max_checks)

    def lease(self, which, size, says, later_s):
        self._ask("lease", self._pick(which, lambda check: check.filled), size, says, later_s)

    def lease_waiting(self, which, size, says, later_s):
        self._ask("lease_waiting", self._pick(which, lambda check: check.finished), size, says, later_s)

    def ask(self, which, size, says, later_s):
        """Do what goes well: claim, and be answered."""
        before = len(self.questions)
        self.lease(which, size, says, later_s)
        if len(self.questions) > before:
            self.answer(0)

    def answer(self, which):
        """Answer the question that was asked that many questions ago, or answer it again."""
        if which < len(self.questions):
            self._same("record", *self.questions[-1 - which])

    def release(self, which):
        if which < len(self.questions):
            n, said = self.questions[-1 - which]
            self._same("release", n, list(said.results))

    def deliver(self, says, size, late_s):
        at = self.now - timedelta(seconds=late_s)
        self._same("record_delivered", answers(dict(list(says.items())[:size]), self.now, at, None))

    def finish(self, which):
        self._on(which, "finish", lambda check: check.filled)

    def start_waiting(self, which, recheck_failed):
        self._on(which, "start_waiting", lambda check: check.finished, self.now + timedelta(days=1), recheck_failed)

    def stop_rechecking(self, which):
        self._on(which, "stop_rechecking", lambda check: check.finished)

    def expire(self, which):
        self._on(which, "expire", lambda check: check.finished)

    def move(self, step):
        self.now += step

    def compare(self):
        numbers, results, states = self.real.dump()
        model = self.model
        assert numbers == [
            (
                *(number, one.status, one.wa_id, one.checked_at, one.answered_at, one.client_version, one.leased_by),
                one.leased_until if one.leased_by is not None else None,
            )
            for number, one in sorted(model.numbers.items())
        ]
        assert results == [
            (*(row.number, row.status, row.reason, row.duplicate, row.wa_id, row.checked_at), *row_flags(row))
            for check in model.checks
            for row in check.rows
        ]
        assert [row[:2] for row in states] == [(check.state, check.filled) for check in model.checks]
        assert all(is_resolved == (state == "resolved") for state, _, is_resolved in states)
        self._same("budget_left")

    def totals(self):
        for n in range(len(self.model.checks)):
            counted = self._same("totals", n)
            found = {name: counted.get(name, 0) for name in (*WHOLE, *ASKED, *SAID)}
            assert counted.get("given", 0) == sum(found[name] for name in WHOLE)
            assert found["asked"] + found["from_store"] == sum(found[name] for name in SAID)

    def _ask(self, how, n, size, says, later_s):
        if n is None:
            return
        wanted = self._same("queued" if how == "lease" else "waiting", n)[:size]
        taken, _, _ = self._same(how, n, wanted)
        if taken:
            forced = how == "lease" and self.model.checks[n].force
            said = {number: says[number] for number in taken}
            self.questions.append(
                (n, answers(said, self.now, self.now + timedelta(seconds=later_s), "v2.45.1", forced))
            )

    def _on(self, which, name, is_fit, *given):
        n = self._pick(which, is_fit)
        if n is not None:
            self._same(name, n, *given)

    def _pick(self, which, is_fit):
        """Choose the check that was opened that many before the last; ``None`` where nobody would do that to it."""
        n = len(self.model.checks) - 1 - which
        return n if n >= 0 and is_fit(self.model.checks[n]) else None

    def _same(self, name, *given, **named):
        expected, found = (getattr(one, name)(*given, **named) for one in (self.model, self.real))
        assert found == expected
        return found


WHOLE = ("rejected", "duplicates", "asked", "from_store", "not_asked", "queued")
ASKED = ("asked", "from_store")
SAID = ("valid", "invalid", "processing", "failed", "missing")


def row_flags(row):
    return row.from_store, row.waiting, row.failures


def answers(says, asked_at, answered_at, version, forced=False):
    results = {number: (status, number[1:] if status == "valid" else None) for number, status in says.items()}
    return CheckResults(results, asked_at, answered_at, version, forced)


@pytest.fixture
def sqlite(sqlite_url):
    engine = create_engine(sqlite_url)
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    Store(engine).prepare()
    yield engine
    engine.dispose()


@pytest.fixture
def postgresql(postgres_url):
    engine = create_engine(postgres_url)
    Store(engine).prepare()
    yield engine
    engine.dispose()


def run(engine, operations):
    both = Both(engine)
    for operation in operations:
        both.do(*operation)
    both.totals()
    both.compare()


@settings(max_examples=150)
@given(operations=st.lists(OPERATIONS, max_size=25))
def test_the_sqlite_store_equals_the_model(sqlite, operations):
    run(sqlite, operations)


@settings(max_examples=40)
@given(operations=st.lists(OPERATIONS, max_size=25))
def test_the_postgresql_store_equals_the_model(postgresql, operations):
    run(postgresql, operations)
