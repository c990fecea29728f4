"""The budget belongs to the sender and the UTC day. It is spent before requests, and never exceeded."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from airflow_provider_wacontacts.store.checks import budget
from airflow_provider_wacontacts.store.checks.model import LeasedNumbers
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from tests.store.checks.conftest import ALICE, BOB, CAROL, DAVE, NOON

TODAY, TOMORROW = "2024-01-01", "2024-01-02"
WEEK_S = 7 * 86_400


def test_every_requested_number_counts_against_the_budget(desk):
    check = desk.filled(ALICE, BOB, ALICE)
    assert desk.checks.budget_left() == 1_000
    desk.lease(check)

    assert (desk.spent(), desk.checks.budget_left()) == ({TODAY: 2}, 998)


def test_reused_results_do_not_count_against_the_budget(desk):
    desk.asked(ALICE)
    desk.lease(desk.filled(ALICE, task="other"))

    assert desk.spent() == {TODAY: 1}


def test_numbers_leased_elsewhere_do_not_count_against_the_budget(desk):
    desk.lease(desk.filled(ALICE))
    desk.lease(desk.filled(ALICE, task="other"))

    assert desk.spent() == {TODAY: 1}


def test_exactly_the_budget_is_requested(desk_of):
    desk = desk_of(daily_checks=3)
    desk.lease(desk.filled(ALICE, task="before"))
    check = desk.filled(BOB, CAROL, DAVE)

    assert desk.lease(check) == LeasedNumbers([BOB, CAROL], over_budget=True)
    assert desk.lease(check) == LeasedNumbers([], over_budget=True, leased_elsewhere=2)
    assert (desk.spent(), desk.checks.budget_left()) == ({TODAY: 3}, 0)


def test_free_requests_are_sent_when_the_budget_is_spent(desk_of):
    desk = desk_of(daily_checks=2)
    desk.asked(ALICE, BOB, task="before", says="processing")
    desk.clock.move(seconds=1)
    check = desk.filled(CAROL, ALICE, DAVE, BOB)

    assert desk.lease(check) == LeasedNumbers([ALICE, BOB], over_budget=True)


def test_a_lowered_budget_is_not_exceeded(desk):
    desk.asked(ALICE, BOB, CAROL)
    lower = SenderChecks(desk.store.context, desk.sender, daily_checks=2)
    check = desk.filled(DAVE, task="other", checks=lower)

    assert desk.lease(check) == LeasedNumbers([], over_budget=True)
    assert (desk.spent(), lower.budget_left()) == ({TODAY: 3}, 0)


def test_a_lease_of_no_number_adds_no_day_to_the_budget(desk):
    desk.lease(desk.filled())

    assert desk.spent() == {}


def test_each_utc_day_has_its_own_budget(desk_of):
    desk = desk_of(daily_checks=1)
    check = desk.filled(ALICE, BOB, CAROL)
    desk.clock.now = datetime(2024, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC)

    assert desk.lease(check) == LeasedNumbers([ALICE], over_budget=True)
    desk.clock.move(microseconds=1)
    assert desk.checks.budget_left() == 1
    assert desk.lease(check) == LeasedNumbers([BOB], over_budget=True, leased_elsewhere=1)
    assert desk.spent() == {TODAY: 1, TOMORROW: 1}


def test_the_day_is_utc_in_any_time_zone():
    assert budget.utc_day(datetime(2024, 1, 1, 23, 30, tzinfo=timezone(timedelta(hours=-2)))) == date(2024, 1, 2)


def test_spent_budget_is_not_refunded(desk):
    check = desk.filled(ALICE)
    desk.lease(check)
    check.release([ALICE])

    assert desk.spent() == {TODAY: 1}
    assert desk.lease(check).numbers == [ALICE]
    assert desk.spent() == {TODAY: 2}


def test_each_sender_has_its_own_budget(desk, desk_of):
    other = desk_of(daily_checks=1)
    desk.asked(ALICE, BOB)

    assert desk.lease(other.filled(ALICE)).numbers == [ALICE]
    assert (desk.spent(), other.spent()) == ({TODAY: 2}, {TODAY: 1})


def test_a_check_spends_no_more_than_max_checks_in_a_day(desk):
    check, other = desk.filled(ALICE, BOB, CAROL, max_checks=2), desk.filled(DAVE, task="other", max_checks=2)

    assert desk.lease(check) == LeasedNumbers([ALICE, BOB], over_budget=True)
    assert desk.lease(check) == LeasedNumbers([], over_budget=True, leased_elsewhere=2)
    assert desk.lease(other) == LeasedNumbers([DAVE])
    desk.clock.now = NOON + timedelta(days=1)
    assert desk.lease(check) == LeasedNumbers([ALICE, BOB], over_budget=True)
    assert desk.spent() == {TODAY: 3, TOMORROW: 2}


def test_a_retry_does_not_spend_max_checks_again(desk):
    desk.lease(desk.filled(ALICE, BOB, CAROL, max_checks=2))

    assert desk.lease(desk.open(max_checks=2)) == LeasedNumbers([], over_budget=True)
    assert desk.spent() == {TODAY: 2}


def test_a_limit_does_not_raise_the_budget(desk_of):
    desk = desk_of(daily_checks=1)
    check = desk.filled(ALICE, BOB, max_checks=2)

    assert desk.lease(check) == LeasedNumbers([ALICE], over_budget=True)
    assert desk.spent() == {TODAY: 1}


def test_only_granted_checks_count_toward_max_checks(desk_of):
    desk = desk_of(daily_checks=1)
    check = desk.filled(ALICE, BOB, max_checks=2)
    desk.lease(check)
    more = SenderChecks(desk.store.context, desk.sender, daily_checks=9)

    assert desk.lease(more.find(check.check_id)) == LeasedNumbers([BOB], leased_elsewhere=1)


@pytest.mark.parametrize(
    ("says", "passed_s", "draws"),
    [
        ("processing", 1, 0),
        ("pending", 1, 0),
        ("missing", 1, 1),
        ("processing", WEEK_S - 1, 0),
        ("processing", WEEK_S, 1),
        ("failed", 1, 1),
        ("valid", WEEK_S, 1),
        ("invalid", WEEK_S, 1),
    ],
)
def test_polling_is_free_for_less_than_a_week(desk, says, passed_s, draws):
    desk.asked(ALICE, task="before", says=says)
    before = desk.spent()[TODAY]
    desk.clock.move(seconds=passed_s)

    assert desk.lease(desk.filled(ALICE)).numbers == [ALICE]
    assert sum(desk.spent().values()) - before == draws


def test_forced_requests_always_count_against_the_budget(desk):
    desk.asked(ALICE, task="before", says="processing")
    desk.clock.move(seconds=1)
    desk.lease(desk.filled(ALICE, force_check=True))

    assert desk.spent() == {TODAY: 2}


def test_a_number_known_only_by_callback_counts_against_the_budget(desk):
    desk.deliver({ALICE: "processing"})

    assert desk.lease(desk.filled(ALICE)).numbers == [ALICE]
    assert desk.spent() == {TODAY: 1}


def test_only_rechecks_of_failures_count_against_the_budget_while_waiting(desk):
    check = desk.filled(ALICE, BOB, CAROL)
    desk.lease(check)
    desk.say(check, {ALICE: "processing", BOB: "failed", CAROL: "missing"})
    check.finish()
    check.start_waiting(NOON, recheck_failed=1)

    assert desk.lease_waiting(check).numbers == [ALICE, BOB, CAROL]
    assert desk.spent() == {TODAY: 4}


def test_failures_are_left_out_when_the_budget_is_spent(desk_of):
    desk = desk_of(daily_checks=2)
    check = desk.filled(ALICE, BOB)
    desk.lease(check)
    desk.say(check, {ALICE: "failed", BOB: "processing"})
    check.finish()
    check.start_waiting(NOON, recheck_failed=1)

    assert desk.lease_waiting(check) == LeasedNumbers([BOB], over_budget=True)
