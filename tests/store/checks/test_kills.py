"""A worker is killed between any two statements: no step is half done, and a retry continues."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import event

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.store.checks import inputs as inputs_module
from airflow_provider_wacontacts.store.checks.model import CheckTotals
from tests.store.checks.conftest import ALICE, BOB, CAROL, NOON

WRITES = ("INSERT", "UPDATE", "DELETE")


class Killed(BaseException):
    """Ends a worker without being caught as an error."""


@contextmanager
def killed_after(engine, writes):
    """Kill the worker right after a number of writes."""
    done = []

    def count(*given):
        done.extend([1] if given[2].lstrip().startswith(WRITES) else [])
        if len(done) >= writes:
            raise Killed

    event.listen(engine, "after_cursor_execute", count)
    try:
        yield done
    finally:
        event.remove(engine, "after_cursor_execute", count)


def writes_of(engine, action):
    """Count the writes of an action, to kill the worker after each."""
    with killed_after(engine, 1_000) as done:
        action()
    return len(done)


def act(desk, what):
    """Prepare an action; return it with its check."""
    failing = desk.asked(ALICE, task="waits too", says="failed")
    failing.finish()
    failing.start_waiting(NOON, recheck_failed=3)
    desk.clock.move(minutes=1)
    check = desk.filled(ALICE, BOB, CAROL, max_checks=2)
    if what == "lease":
        desk.deliver({BOB: "valid"})
        return check, lambda: desk.lease(check)
    desk.lease(check)
    if what == "record":
        return check, lambda: desk.say(check, {ALICE: "valid", BOB: "processing"})
    desk.say(check, {ALICE: "failed", BOB: "processing"})
    if what == "finish":
        return check, check.finish
    check.finish()
    if what == "start_waiting":
        return check, lambda: check.start_waiting(NOON, recheck_failed=1)
    check.start_waiting(NOON, recheck_failed=1)
    desk.clock.move(minutes=1)
    actions = {
        "lease_waiting": lambda: desk.lease_waiting(check),
        "record_delivered": lambda: desk.deliver({ALICE: "valid", BOB: "invalid", "+16315559999": "valid"}),
        "expire": check.expire,
        "stop_rechecking": check.stop_rechecking,
    }
    return check, actions[what]


@pytest.mark.parametrize(
    "what",
    ["lease", "record", "finish", "start_waiting", "lease_waiting", "record_delivered", "expire", "stop_rechecking"],
)
def test_each_action_is_atomic(desk, desk_of, what):
    model = desk_of()
    writes = writes_of(model.engine, act(model, what)[1])
    check, action = act(desk, what)
    before = desk.everything()
    for n in range(1, writes + 1):
        with killed_after(desk.engine, n), pytest.raises(Killed):
            action()
        assert desk.everything() == before, n
    action()

    assert writes > 0
    assert desk.everything() != before
    assert check.totals() == model.checks.find(newest(model)).totals()
    assert desk.numbers("status, checked_at, answered_at") == model.numbers("status, checked_at, answered_at")
    assert desk.spent() == model.spent()


def newest(desk):
    return desk.rows(
        "SELECT check_id FROM wacontacts_check WHERE sender = :it ORDER BY check_number DESC LIMIT 1", it=desk.sender
    )[0][0]


def test_a_worker_killed_while_adding_inputs_starts_a_new_check(desk, monkeypatch):
    monkeypatch.setattr(inputs_module, "BATCH_SIZE", 2)
    inputs = [desk.input(number) for number in (ALICE, BOB, ALICE, CAROL, CAROL)]
    another = desk.open("another")
    writes = writes_of(desk.engine, lambda: another.fill(inputs))
    for n in range(1, writes + 1):
        check = desk.open(f"task {n}")
        with killed_after(desk.engine, n), pytest.raises(Killed):
            check.fill(inputs)
        retry = desk.open(f"task {n}")
        retry.fill(inputs)

        assert (check.totals().state, check.check_id == retry.check_id) == ("expired", False)
        assert desk.results(retry, "number, duplicate") == [
            (ALICE, False),
            (BOB, False),
            (ALICE, True),
            (CAROL, False),
            (CAROL, True),
        ]


def test_a_killed_workers_numbers_are_requested_and_charged_again(desk):
    check = desk.filled(ALICE, BOB, CAROL)
    batches = list(check.queued(1))
    check.lease(batches[0])
    desk.say(check, {ALICE: "valid"})
    check.lease(batches[1])
    retry = desk.open()

    assert desk.lease(retry).numbers == [BOB, CAROL]
    assert desk.spent() == {"2024-01-01": 4}
    desk.say(retry, {BOB: "valid", CAROL: "valid"})
    assert retry.finish() == CheckTotals("resolved", given=3, asked=3, valid=3)


def test_a_database_error_rolls_back_and_quotes_no_values(desk):
    check = desk.filled(ALICE)
    before = desk.everything()

    def fail(*given):
        if "wacontacts_budget" in given[2]:
            raise given[0].dialect.dbapi.OperationalError(f"about {ALICE}")

    event.listen(desk.engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(LandingError) as raised:
            desk.lease(check)
    finally:
        event.remove(desk.engine, "before_cursor_execute", fail)

    assert desk.everything() == before
    assert (ALICE in str(raised.value), raised.value.__cause__, raised.value.__context__) == (False, None, None)
