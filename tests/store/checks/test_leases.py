"""Leases: one worker at a time requests a number, and no lease lasts forever."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.store.checks.model import CheckTotals, LeasedNumbers
from tests.store.checks.conftest import ALICE, BOB, CAROL, NOON

MINUTES = timedelta(minutes=12)
CLAIM = "leased_by, leased_until"


def test_a_leased_number_is_not_leased_again(desk):
    one, other = desk.filled(ALICE, BOB, task="one"), desk.filled(BOB, CAROL, task="other")

    assert desk.lease(one) == LeasedNumbers([ALICE, BOB])
    assert desk.lease(other) == LeasedNumbers([CAROL], leased_elsewhere=1)
    assert desk.lease(one) == LeasedNumbers([], leased_elsewhere=2)
    assert desk.numbers(CLAIM) == {
        ALICE: (one.check_id, NOON + MINUTES),
        BOB: (one.check_id, NOON + MINUTES),
        CAROL: (other.check_id, NOON + MINUTES),
    }


@pytest.mark.parametrize(("passed", "numbers"), [(MINUTES - timedelta(microseconds=1), []), (MINUTES, [ALICE])])
def test_a_lease_expires_after_twelve_minutes(desk, passed, numbers):
    one, other = desk.filled(ALICE, task="one"), desk.filled(ALICE, task="other")
    desk.lease(one)
    desk.clock.move(seconds=passed.total_seconds())

    assert desk.lease(other) == LeasedNumbers(numbers, leased_elsewhere=1 - len(numbers))


def test_a_lease_applies_to_other_workers(desk, desk_of):
    desk.lease(desk.filled(ALICE))
    other = desk_of(sender=desk.sender)

    assert desk.lease(other.filled(ALICE, task="other")) == LeasedNumbers([], leased_elsewhere=1)


def test_a_result_releases_only_its_own_numbers(desk):
    check = desk.filled(ALICE, BOB)
    desk.lease(check)
    desk.say(check, {ALICE: "processing"})

    assert desk.numbers(CLAIM) == {ALICE: (None, None), BOB: (check.check_id, NOON + MINUTES)}


def test_a_late_result_does_not_release_a_newer_lease(desk):
    late, other, third = (desk.filled(ALICE, task=task) for task in ("late", "other", "third"))
    desk.lease(late)
    asked_at = desk.clock()
    desk.clock.move(minutes=13)
    desk.lease(other)
    desk.say(late, {ALICE: "failed"}, asked_at=asked_at, after=timedelta(minutes=-13))

    assert desk.numbers(CLAIM)[ALICE] == (other.check_id, desk.clock() + MINUTES)
    assert desk.lease(third).numbers == []


def test_a_callback_releases_no_lease(desk):
    check = desk.filled(ALICE)
    desk.lease(check)
    desk.deliver({ALICE: "valid"})

    assert desk.numbers("leased_by") == {ALICE: check.check_id}


def test_released_numbers_can_be_leased(desk):
    one, other = desk.filled(ALICE, BOB, task="one"), desk.filled(ALICE, BOB, task="other")
    desk.lease(one)
    one.release([ALICE])

    assert desk.lease(other) == LeasedNumbers([ALICE], leased_elsewhere=1)
    assert desk.numbers() == {ALICE: None, BOB: None}


def test_a_release_keeps_the_leases_of_others(desk):
    one, other = desk.filled(ALICE, task="one"), desk.filled(ALICE, task="other")
    desk.lease(one)
    other.release([ALICE])
    other.release([])

    assert desk.numbers("leased_by") == {ALICE: one.check_id}


def test_a_retry_resumes_the_check_and_releases_its_leases(desk):
    first, other = desk.filled(ALICE, BOB, CAROL), desk.filled(CAROL, task="other")
    desk.lease(other)
    first.lease(next(first.queued(1)))
    desk.say(first, {ALICE: "valid"})
    desk.lease(first)
    again = desk.open()

    assert (again.check_id, again.is_filled) == (first.check_id, True)
    assert desk.lease(again) == LeasedNumbers([BOB], leased_elsewhere=1)


def test_a_retry_keeps_the_time_of_opening(desk):
    desk.asked(ALICE, task="before")
    desk.clock.move(days=6)
    check = desk.filled(BOB)
    desk.clock.move(hours=1)
    desk.say(desk.filled(BOB, task="other"), {BOB: "failed"})
    desk.clock.move(days=3)
    again = desk.open()

    assert again.check_id == check.check_id
    assert desk.lease(again) == LeasedNumbers([])
    assert desk.results(again, "status, from_store") == [("failed", True)]


@pytest.mark.parametrize("cleared_by", ["another check", "the same check"])
def test_a_check_that_is_cleared_long_after_reuses_no_old_results(desk_of, cleared_by):
    desk = desk_of(daily_checks=1)
    check = desk.filled(ALICE, BOB)
    desk.say(check, dict.fromkeys(desk.lease(check).numbers, "valid"))
    if cleared_by == "another check":
        desk.clock.move(days=1)
        desk.asked(BOB, task="other")
    desk.clock.move(days=58)
    cleared = desk_of(sender=desk.sender)
    cleared.clock.now = desk.clock()
    again = cleared.open()
    if not again.is_filled:
        again.fill([desk.input(number) for number in (ALICE, BOB)])

    assert cleared.lease(again) == LeasedNumbers([ALICE, BOB])
    assert check.totals().state == "expired"


def test_a_check_over_several_days_is_one_check_and_reuses_nothing_stale(desk_of):
    desk = desk_of(daily_checks=1)
    check = desk.filled(ALICE, BOB, CAROL)
    desk.say(check, dict.fromkeys(desk.lease(check).numbers, "valid"))
    desk.deliver({CAROL: "valid"})
    for _ in range(5):
        desk.clock.move(days=2)
        again = desk.open()
        assert again.check_id == check.check_id

    assert desk.lease(again) == LeasedNumbers([BOB], over_budget=True)
    assert desk.results(again, "status") == ["valid", None, None]


def test_a_retry_starts_a_new_check_if_inputs_are_incomplete(desk):
    first = desk.open()

    def breaks_off():
        yield desk.input(ALICE)
        raise KeyError

    with pytest.raises(KeyError):
        first.fill(breaks_off())
    again = desk.open()

    assert again.check_id != first.check_id
    assert (first.totals().state, again.totals().state, again.is_filled) == ("expired", "open", False)


def test_a_finished_check_is_not_resumed(desk):
    first = desk.asked(ALICE)
    first.finish()
    again = desk.open()

    assert again.check_id != first.check_id
    assert first.totals() == CheckTotals("resolved", given=1, asked=1, valid=1)


@pytest.mark.parametrize("changes", [{"task": "other"}, {"force_check": True}, {"max_checks": 9}])
def test_another_task_and_other_options_are_another_check(desk, changes):
    first = desk.filled(ALICE)

    assert desk.open(**changes).check_id != first.check_id
    assert desk.open().check_id == first.check_id


def test_another_senders_check_is_not_resumed(desk, desk_of):
    assert desk.filled(ALICE).check_id != desk_of().open().check_id


def test_a_wait_releases_the_leases_of_an_earlier_wait(desk):
    check = desk.asked(ALICE, says="processing")
    check.finish()
    check.start_waiting(NOON)

    assert desk.lease_waiting(check) == LeasedNumbers([ALICE])
    assert desk.lease_waiting(check) == LeasedNumbers([], leased_elsewhere=1)
    check.start_waiting(NOON)
    assert desk.lease_waiting(check) == LeasedNumbers([ALICE])


def test_numbers_are_leased_in_the_order_of_the_inputs(desk):
    desk.filled(ALICE, BOB, CAROL, task="before")
    check = desk.filled(CAROL, ALICE, BOB)

    assert desk.lease(check).numbers == [CAROL, ALICE, BOB]


@pytest.mark.parametrize("says", ["valid", "invalid", "failed", "processing", "missing"])
def test_numbers_requested_since_the_check_opened_are_not_requested_again(desk, says):
    check = desk.filled(ALICE, BOB)
    desk.clock.move(seconds=1)
    desk.asked(ALICE, task="other", says=says)

    assert desk.lease(check) == LeasedNumbers([BOB])
    assert desk.results(check, "status, from_store") == [(says, True), (None, False)]


def test_a_request_at_the_time_of_opening_counts_as_later(desk):
    check = desk.filled(ALICE)
    desk.asked(ALICE, task="other", says="failed")

    assert desk.lease(check).numbers == []


def test_numbers_requested_before_the_check_opened_are_requested_again(desk):
    desk.asked(ALICE, task="other", says="failed")
    desk.clock.move(microseconds=1)

    assert desk.lease(desk.filled(ALICE)).numbers == [ALICE]


@pytest.mark.parametrize(("force_check", "numbers"), [(True, []), (False, [ALICE])])
def test_with_force_only_a_forced_request_counts(desk, force_check, numbers):
    check = desk.filled(ALICE, force_check=True)
    desk.clock.move(seconds=1)
    desk.asked(ALICE, task="other", force_check=force_check)

    assert desk.lease(check).numbers == numbers


def test_a_forced_request_still_counts_after_one_without_force(desk):
    check = desk.filled(ALICE, force_check=True)
    forced = desk.asked(ALICE, task="other", says="processing", force_check=True)
    forced.finish()
    forced.start_waiting(NOON)
    desk.clock.move(seconds=5)
    desk.lease_waiting(forced)
    desk.say(forced, {ALICE: "valid"})

    assert desk.lease(check).numbers == []
    assert desk.results(check) == ["valid"]


def test_a_callback_is_not_a_request(desk):
    desk.asked(ALICE, task="before", says="processing")
    desk.clock.move(minutes=1)
    check = desk.filled(ALICE)
    desk.clock.move(minutes=1)
    desk.deliver({ALICE: "failed"})

    assert desk.lease(check).numbers == [ALICE]
