"""The status of senders: budget, checks, numbers, and pending identity changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.records.identities import IdentityChange
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.identities import SenderIdentities
from airflow_provider_wacontacts.store.status import Rejected, Selection, SenderStatus, read_senders
from tests.identity_changes import record_changes

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALICE, BOB, CAROL = (f"+1631555100{n}" for n in range(1, 4))


class Office:
    """A store with senders, at noon."""

    def __init__(self, engine):
        self.store = Store(engine, now=lambda: NOON)
        self.store.prepare()

    def check(self, sender, says, *, wrong=()):
        """Open a check of numbers, and record statuses by number; ``None`` for numbers that are not requested."""
        checks = SenderChecks(self.store.context, sender, daily_checks=10)
        check = checks.open(CheckSpec(TaskInstanceKey("dag", "run", "task"), "", "1", NOON - 7 * 24 * HOUR))
        given = [CheckInput(number, number) for number in says] + [
            CheckInput(text, None, reason="too short") for text in wrong
        ]
        check.fill(given)
        asked = [number_id for batch in check.queued(10) for number_id in batch][
            : len(list(filter(None, says.values())))
        ]
        leased = check.lease(asked)
        results = {number: (says[number], number[1:] if says[number] == "valid" else None) for number in leased.numbers}
        check.record(CheckResults(results, NOON, NOON))
        return check

    def read(self, *, now=NOON, limits=None, sources=(), accounts=()):
        selection = Selection(frozenset(sources), frozenset(accounts))
        with self.store.context.transactions.read() as connection:
            return read_senders(Database(connection, self.store.context.tables), selection, now=now, limits=limits)


@pytest.fixture
def office(store_engine):
    return Office(store_engine)


def test_a_store_without_checks_has_no_senders(office):
    assert office.read() == []


def test_a_senders_checks_numbers_and_budget_are_counted(office):
    check = office.check("+41", {ALICE: "valid", BOB: "processing", CAROL: None}, wrong=["1", "2"])
    check.start_waiting(NOON + HOUR)

    assert office.read() == [
        SenderStatus(
            "+41",
            spent=2,
            open_checks=1,
            oldest_open_at=NOON,
            numbers={"processing": 1, "unasked": 1, "valid": 1},
            rejects=[Rejected("too short", 2, NOON)],
        )
    ]


def test_a_check_is_overdue_when_its_deadline_has_passed(office):
    office.check("+41", {BOB: "processing"}).start_waiting(NOON + HOUR)

    (before,), (after,) = office.read(now=NOON + HOUR), office.read(now=NOON + HOUR + timedelta(microseconds=1))
    assert (before.overdue_checks, after.overdue_checks) == (0, 1)


def test_a_check_that_is_resolved_is_not_open(office):
    office.check("+41", {ALICE: "valid"}).finish()
    (sender,) = office.read()

    assert (sender.open_checks, sender.overdue_checks, sender.oldest_open_at) == (0, 0, None)


def test_the_budget_is_todays(office):
    office.check("+41", {ALICE: "valid"})

    assert [sender.spent for sender in (*office.read(), *office.read(now=NOON + 12 * HOUR))] == [1, 0]


def test_senders_with_a_known_limit_are_listed_with_it(office):
    office.check("+41", {ALICE: "valid"})

    found = office.read(limits={"+42": 250})
    assert [(sender.sender, sender.spent, sender.limit) for sender in found] == [("+41", 1, None), ("+42", 0, 250)]


def test_a_user_is_pending_once_until_the_latest_change_is_acknowledged(office):
    kept = SenderIdentities(office.store.context, "+41")
    record_changes(
        kept, [IdentityChange("1", "a", NOON), IdentityChange("1", "b", NOON + HOUR), IdentityChange("2", "c", NOON)]
    )
    record_changes(SenderIdentities(office.store.context, "+42"), [IdentityChange("1", "a", NOON)])
    kept.record_acknowledged(next(one.identity_id for one in kept.pending(9) if one.wa_id == "2"))

    assert [(sender.sender, sender.pending_identities) for sender in office.read()] == [("+41", 1), ("+42", 1)]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"sources": ["whatsapp_business"]}, ["+41", "+42"]),
        ({"accounts": ["+42"]}, ["+42"]),
        ({"sources": ["turn"]}, []),
    ],
)
def test_only_the_selected_senders_are_returned(office, asked, told):
    office.check("+41", {ALICE: "valid"})
    office.check("+42", {ALICE: "valid"})

    assert [sender.sender for sender in office.read(**asked)] == told
