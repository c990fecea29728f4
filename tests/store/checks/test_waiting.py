"""Waiting for results until they are final or the wait expires; each result reaches every waiting check."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckTotals, LeasedNumbers
from tests.store.checks.conftest import ALICE, BOB, CAROL, DAVE, NOON

DEADLINE = NOON + timedelta(hours=1)
STATE = "state, finished_at, resolved_at, deadline_at"


def state(desk, check):
    return desk.rows(f"SELECT {STATE} FROM wacontacts_check WHERE check_id = :it", it=check.check_id)[0]


def waiting(desk, *numbers, task="task", says="processing", recheck_failed=0):
    """Check numbers, finish the check, and wait for results that are not final."""
    check = desk.asked(*numbers, task=task, says=says)
    check.finish()
    check.start_waiting(DEADLINE, recheck_failed=recheck_failed)
    return check


def ask_again(desk, check, says):
    """Advance the clock by a minute, request all waiting numbers, and record the same status for each."""
    desk.clock.move(minutes=1)
    leased = desk.lease_waiting(check)
    desk.say(check, dict.fromkeys(leased.numbers, says))
    return leased.numbers


def test_a_check_with_only_final_results_is_resolved_when_it_finishes(desk):
    check = desk.asked(ALICE)
    assert check.totals().state == "open"
    desk.clock.move(minutes=1)

    assert check.finish() == CheckTotals("resolved", given=1, asked=1, valid=1)
    assert state(desk, check) == ("resolved", desk.clock(), desk.clock(), None)


@pytest.mark.parametrize("says", ["processing", "pending", "missing"])
def test_a_check_stays_open_while_it_waits(desk, says):
    check = desk.asked(ALICE, says=says)
    kind = "missing" if says == "missing" else "processing"

    assert check.finish() == CheckTotals("open", given=1, asked=1, waiting=1, **{kind: 1})
    assert state(desk, check) == ("open", NOON, None, None)


def test_queued_numbers_are_left_out_when_a_check_finishes(desk_of):
    desk = desk_of(daily_checks=1)
    check = desk.filled(ALICE, BOB, CAROL, BOB)
    desk.say(check, dict.fromkeys(desk.lease(check).numbers, "valid"))

    assert check.finish() == CheckTotals("resolved", given=4, duplicates=1, asked=1, not_asked=2, valid=1)
    assert desk.results(check, "status, reason") == [
        ("valid", None),
        *[("not_asked", "past the budget")] * 3,
    ]


def test_finishing_again_changes_nothing(desk):
    check = desk.asked(ALICE, says="processing")
    check.finish()
    once = desk.everything()
    desk.clock.move(minutes=1)
    check.finish()

    assert desk.everything() == once


def test_the_next_result_resolves_waiting_checks(desk):
    check = waiting(desk, ALICE, BOB)
    assert state(desk, check) == ("open", NOON, None, DEADLINE)

    assert ask_again(desk, check, "processing") == [ALICE, BOB]
    desk.clock.move(minutes=1)
    assert desk.lease_waiting(check) == LeasedNumbers([ALICE, BOB])
    desk.say(check, {ALICE: "valid"})
    assert check.totals() == CheckTotals("open", given=2, asked=2, valid=1, processing=1, waiting=1)
    desk.say(check, {BOB: "invalid"})

    assert check.totals() == CheckTotals("resolved", given=2, asked=2, valid=1, invalid=1)
    assert state(desk, check) == ("resolved", NOON, desk.clock(), DEADLINE)


def test_a_callback_resolves_waiting_checks(desk):
    check = waiting(desk, ALICE, ALICE)
    desk.clock.move(seconds=9)
    desk.deliver({ALICE: "valid", BOB: "valid"})

    assert state(desk, check) == ("resolved", NOON, desk.clock(), DEADLINE)
    assert desk.results(check, "status, wa_id, from_store, waiting") == [("valid", ALICE[1:], False, False)] * 2


def test_a_check_that_is_not_finished_is_not_resolved_by_a_result(desk):
    check = desk.asked(ALICE, says="processing")
    desk.clock.move(seconds=9)
    desk.deliver({ALICE: "valid"})

    assert check.totals() == CheckTotals("open", given=1, asked=1, valid=1)


def test_a_result_reaches_exactly_the_waiting_checks(desk):
    first = waiting(desk, ALICE, BOB, task="first")
    desk.clock.move(minutes=1)
    second = waiting(desk, ALICE, BOB, ALICE, task="second")
    queued = desk.filled(ALICE, task="queued")
    desk.clock.move(minutes=1)
    expired = waiting(desk, BOB, task="expired")
    expired.expire()
    desk.clock.move(minutes=1)
    asking = desk.asked(ALICE, BOB, task="asking", says="invalid")

    told = ("invalid", None, desk.clock(), False)
    columns = "status, wa_id, waiting, from_store"
    assert desk.results(asking, columns) == [("invalid", None, False, False)] * 2
    assert desk.results(first, "status, wa_id, checked_at, from_store") == [told] * 2
    assert desk.results(second, "status, wa_id, checked_at, from_store") == [told] * 3
    assert desk.results(queued, columns) == [(None, None, False, False)]
    assert desk.results(expired, columns) == [("processing", None, False, False)]
    assert [one.totals().state for one in (first, second, queued, expired)] == [
        "resolved",
        "resolved",
        "open",
        "expired",
    ]


def test_a_check_waits_for_a_result_that_another_requested(desk):
    learns = desk.filled(ALICE, task="learns")
    desk.clock.move(seconds=1)
    asks = desk.asked(ALICE, task="asks", says="processing")

    assert desk.lease(learns) == LeasedNumbers([])
    assert learns.finish() == CheckTotals("open", given=1, from_store=1, processing=1, waiting=1)
    asks.finish()
    desk.clock.move(seconds=1)
    desk.deliver({ALICE: "valid"})
    assert learns.totals() == CheckTotals("resolved", given=1, from_store=1, valid=1)
    assert asks.totals() == CheckTotals("resolved", given=1, asked=1, valid=1)


def test_results_of_the_checks_own_requests_are_not_from_the_store(desk):
    check = desk.asked(ALICE, says="failed")
    check.finish()
    desk.clock.move(minutes=1)
    desk.asked(ALICE, task="other", says="valid")
    check.start_waiting(DEADLINE, recheck_failed=1)

    assert desk.lease_waiting(check) == LeasedNumbers([])
    assert check.totals() == CheckTotals("resolved", given=1, asked=1, valid=1)


def test_a_rechecked_result_is_not_from_the_store(desk):
    check = desk.filled(ALICE)
    desk.clock.move(seconds=1)
    desk.asked(ALICE, task="other", says="processing")
    desk.lease(check)
    check.finish()
    check.start_waiting(DEADLINE)

    assert ask_again(desk, check, "valid") == [ALICE]
    assert check.totals() == CheckTotals("resolved", given=1, asked=1, valid=1)


@pytest.mark.parametrize("recheck_failed", [0, 1, 2])
def test_a_failed_number_is_rechecked_recheck_failed_times(desk, recheck_failed):
    check = waiting(desk, ALICE, ALICE, says="failed", recheck_failed=recheck_failed)
    asked = 0
    while check.totals().state == "open":
        assert ask_again(desk, check, "failed") == [ALICE]
        asked += 1

    assert asked == recheck_failed
    assert check.totals() == CheckTotals("resolved", given=2, duplicates=1, asked=1, failed=1)
    assert desk.results(check, "failures") == [recheck_failed + 1] * 2


def test_a_failure_while_waiting_is_rechecked_recheck_failed_times(desk):
    check = waiting(desk, ALICE, recheck_failed=1)

    assert ask_again(desk, check, "failed") == [ALICE]
    assert ask_again(desk, check, "processing") == [ALICE]
    assert ask_again(desk, check, "failed") == [ALICE]
    assert check.totals() == CheckTotals("resolved", given=1, asked=1, failed=1)


def test_a_failure_counts_once_for_each_waiting_check(desk):
    one = waiting(desk, ALICE, task="one", says="failed", recheck_failed=2)
    desk.clock.move(minutes=1)
    other = waiting(desk, ALICE, task="other", says="failed", recheck_failed=2)

    assert (desk.results(one, "failures"), desk.results(other, "failures")) == ([2], [1])
    ask_again(desk, other, "failed")
    assert (desk.results(one, "failures"), desk.results(other, "failures")) == ([3], [2])
    assert (one.totals().state, other.totals().state) == ("resolved", "open")


def test_a_repeated_failure_counts_once(desk):
    check = waiting(desk, ALICE, says="failed", recheck_failed=1)
    desk.say(check, {ALICE: "failed"})
    desk.deliver({ALICE: "failed"}, after=timedelta(seconds=1))

    assert desk.results(check, "failures, waiting") == [(1, True)]


def test_a_number_that_responses_always_leave_out_is_finally_missing(desk):
    check = desk.filled(ALICE, ALICE, BOB)
    desk.lease(check)
    desk.say(check, {ALICE: "missing", BOB: "processing"})
    check.finish()
    check.start_waiting(DEADLINE)
    asked = []
    while ALICE in (numbers := ask_again(desk, check, "missing")):
        asked.append(numbers)
        desk.deliver({BOB: "valid"})

    assert asked == [[ALICE, BOB], [ALICE], [ALICE]]
    assert check.totals() == CheckTotals("resolved", given=3, duplicates=1, asked=2, valid=1, missing=1)
    assert desk.results(check) == ["missing", "missing", "valid"]
    assert check.start_waiting(DEADLINE + timedelta(hours=1)).state == "resolved"


def test_a_missing_number_with_a_late_result_is_known(desk):
    check = waiting(desk, ALICE, says="missing")
    ask_again(desk, check, "missing")
    ask_again(desk, check, "valid")

    assert check.totals() == CheckTotals("resolved", given=1, asked=1, valid=1)


def test_without_budget_failures_are_left_out(desk):
    check = desk.filled(ALICE, BOB)
    desk.say(check, {ALICE: "failed", BOB: "processing"})
    check.finish()
    check.start_waiting(DEADLINE, recheck_failed=1)
    check.stop_rechecking()

    assert check.totals() == CheckTotals("open", given=2, asked=2, failed=1, processing=1, waiting=1)
    assert desk.lease_waiting(check).numbers == [BOB]


def test_a_check_that_only_waits_for_failures_is_resolved_when_they_are_left_out(desk):
    check = waiting(desk, ALICE, says="failed", recheck_failed=1)
    check.stop_rechecking()

    assert state(desk, check) == ("resolved", NOON, NOON, DEADLINE)


def test_expiry_keeps_results(desk):
    check = desk.filled(ALICE, BOB, CAROL, DAVE)
    desk.say(check, {ALICE: "valid", BOB: "processing", CAROL: "missing", DAVE: "failed"})
    check.finish()
    check.start_waiting(DEADLINE, recheck_failed=1)

    assert check.expire() == CheckTotals("expired", given=4, asked=4, valid=1, processing=1, missing=1, failed=1)
    assert desk.results(check) == ["valid", "processing", "missing", "failed"]


def test_an_expired_check_gets_no_results(desk):
    check = waiting(desk, ALICE, BOB)
    desk.lease_waiting(check)
    check.expire()
    frozen = desk.results(check, "status, wa_id, checked_at, from_store, waiting, failures")
    desk.clock.move(minutes=1)
    desk.say(check, {ALICE: "valid"})
    desk.deliver({BOB: "valid"})

    assert desk.results(check, "status, wa_id, checked_at, from_store, waiting, failures") == frozen
    assert check.totals().state == "expired"
    assert desk.numbers() == {ALICE: "valid", BOB: "valid"}


def test_a_resolved_check_gets_no_more_results(desk):
    check = desk.asked(ALICE)
    check.finish()
    desk.clock.move(days=8)
    desk.asked(ALICE, task="other", says="invalid")
    desk.say(check, {ALICE: "processing"}, after=timedelta(seconds=1))

    assert check.totals() == CheckTotals("resolved", given=1, asked=1, valid=1)
    assert desk.results(check) == ["valid"]


def test_a_check_that_was_resolved_does_not_expire(desk):
    check = waiting(desk, ALICE)
    desk.deliver({ALICE: "valid"})

    assert check.expire() == CheckTotals("resolved", given=1, asked=1, valid=1)


def test_expiring_again_changes_nothing(desk):
    check = waiting(desk, ALICE)
    once = check.expire()

    assert check.expire() == once


def test_a_new_wait_continues_an_expired_check(desk):
    check = waiting(desk, ALICE, BOB)
    check.expire()
    later = DEADLINE + timedelta(hours=1)

    assert check.start_waiting(later) == CheckTotals("open", given=2, asked=2, processing=2, waiting=2)
    assert state(desk, check) == ("open", NOON, None, later)
    assert ask_again(desk, check, "valid") == [ALICE, BOB]
    assert check.totals().state == "resolved"


def test_results_delivered_after_expiry_are_not_requested_again(desk):
    check = waiting(desk, ALICE, BOB)
    check.expire()
    desk.deliver({ALICE: "valid"})
    check.start_waiting(DEADLINE)

    assert desk.lease_waiting(check) == LeasedNumbers([BOB])
    assert desk.results(check, "status, from_store") == [("valid", False), ("processing", False)]


def test_waiting_for_a_resolved_check_ends_immediately(desk):
    check = desk.asked(ALICE, says="failed")
    check.finish()

    assert check.start_waiting(DEADLINE).state == "resolved"


def test_rejected_and_left_out_inputs_are_not_waited_for(desk):
    check = desk.open()
    check.fill([CheckInput("x", None), desk.input(ALICE, opted_in=False)])
    check.finish()

    assert check.start_waiting(DEADLINE, recheck_failed=9) == CheckTotals("resolved", given=2, rejected=1, not_asked=1)


def test_missing_results_are_polled_in_the_order_of_the_inputs(desk):
    desk.filled(CAROL, BOB, ALICE, task="before")
    check = waiting(desk, BOB, ALICE, BOB, CAROL)
    batches = list(check.waiting(2))

    assert [len(batch) for batch in batches] == [2, 1]
    assert [check.lease_waiting(batch).numbers for batch in batches] == [[BOB, ALICE], [CAROL]]


def test_a_check_is_found_by_its_id(desk, desk_of):
    check = desk.asked(ALICE)

    assert desk.checks.find(check.check_id).totals() == check.totals()
    assert desk.checks.find(check.check_id).is_filled
    with pytest.raises(ConfigError, match="names no check of this store"):
        desk.checks.find("0" * 32)
    with pytest.raises(ConfigError, match="another sender"):
        desk_of().checks.find(check.check_id)


def test_the_versions_are_those_of_clients_that_returned_valid(desk):
    check = desk.filled(ALICE, BOB, CAROL, DAVE)
    desk.say(check, {ALICE: "valid"}, version="v2.43.1")
    desk.say(check, {BOB: "valid"}, version=None)
    desk.say(check, {CAROL: "invalid"}, version="v2.39.1")

    assert check.client_versions() == {"v2.43.1", None}
