"""Results: a newer one replaces an older one, and a check's time is the time of a real check."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from tests.store.checks.conftest import ALICE, BOB, NOON, WEEK

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
KNOWN = "status, wa_id, checked_at, answered_at, client_version"


@pytest.fixture
def check(desk):
    return desk.filled(ALICE, BOB)


def say(desk, check, status, after=timedelta(), **how):
    """Record a result of Alice, some time after noon by the server's clock."""
    check.record(desk.answer({ALICE: status}, after=NOON + after - desk.clock(), **how))


def deliver(desk, status, after=timedelta()):
    desk.deliver({ALICE: status}, after=NOON + after - desk.clock())


def known(desk, columns="status, checked_at"):
    return desk.numbers(columns)[ALICE]


@pytest.mark.parametrize(
    ("status", "wa_id", "checked_at"),
    [
        ("valid", ALICE[1:], NOON + DAY),
        ("invalid", None, NOON + DAY),
        ("failed", None, NOON + DAY),
        ("processing", None, None),
        ("pending", None, None),
        ("missing", None, None),
    ],
)
def test_a_first_result_is_stored(desk, check, status, wa_id, checked_at):
    say(desk, check, status, DAY, version="v2.39.1")

    assert known(desk, KNOWN) == (status, wa_id, checked_at, NOON + DAY, "v2.39.1")
    assert desk.results(check, "status, wa_id, checked_at, from_store, waiting") == [
        (status, wa_id, checked_at, False, checked_at is None),
        (None, None, None, False, False),
    ]


@pytest.mark.parametrize("first", ["valid", "invalid", "failed", "processing", "missing"])
@pytest.mark.parametrize("second", ["valid", "invalid", "failed", "processing", "missing"])
def test_the_newer_of_two_results_is_kept_in_any_order(desk, first, second):
    in_order, the_other_way = desk.filled(ALICE, task="one"), desk.filled(BOB, task="other")
    for number, answers, check in (
        (ALICE, [(first, DAY), (second, DAY + TICK)], in_order),
        (BOB, [(second, DAY + TICK), (first, DAY)], the_other_way),
    ):
        for status, after in answers:
            check.record(desk.answer({number: status}, after=after))

    assert desk.numbers("status, answered_at") == {
        ALICE: (second, NOON + DAY + TICK),
        BOB: (second, NOON + DAY + TICK),
    }
    assert desk.results(in_order) == desk.results(the_other_way) == [second]


@pytest.mark.parametrize("final", ["valid", "invalid", "failed"])
@pytest.mark.parametrize("other", ["processing", "pending", "missing"])
@pytest.mark.parametrize("is_final_first", [True, False])
def test_of_results_with_the_same_time_the_final_one_is_kept(desk, check, final, other, is_final_first):
    for status in (final, other) if is_final_first else (other, final):
        say(desk, check, status)

    assert known(desk, "status") == final
    assert desk.results(check)[0] == final


@pytest.mark.parametrize("is_in_order", [True, False])
def test_of_results_with_the_same_time_the_later_request_counts(desk, check, is_in_order):
    answers = [("invalid", NOON), ("valid", NOON + TICK)]
    for status, asked_at in answers if is_in_order else reversed(answers):
        say(desk, check, status, asked_at=asked_at)

    assert known(desk, "status") == "valid"


@pytest.mark.parametrize("status", ["valid", "invalid", "failed", "processing", "missing"])
def test_the_same_result_again_changes_nothing(desk, check, status):
    say(desk, check, status, DAY)
    once = desk.everything()
    say(desk, check, status, DAY)

    assert desk.everything() == once


def test_an_empty_response_changes_nothing(desk, check):
    before = desk.everything()
    desk.say(check, {})
    desk.deliver({})

    assert desk.everything() == before


def test_an_id_is_kept_until_the_number_is_invalid(desk, check):
    ids = []
    for hours, status in enumerate(["valid", "processing", "failed", "missing", "invalid", "failed"]):
        say(desk, check, status, timedelta(hours=hours))
        ids.append(known(desk, "wa_id"))

    assert ids == [ALICE[1:]] * 4 + [None, None]


def test_failures_are_counted_until_a_success(desk, check):
    counts = []
    for hours, status in enumerate(["failed", "processing", "failed", "failed", "valid", "failed"]):
        say(desk, check, status, timedelta(hours=hours))
        counts.append(known(desk, "failures"))

    assert counts == [1, 1, 2, 3, 0, 1]


# The time of the last real check.


@pytest.mark.parametrize(
    ("answers", "checked_after"),
    [
        ([("valid", DAY)], DAY),
        ([("valid", DAY), ("valid", 2 * DAY)], DAY),
        ([("valid", DAY), ("invalid", 2 * DAY)], DAY),
        ([("valid", DAY), ("failed", 2 * DAY)], DAY),
        ([("valid", DAY), ("valid", DAY + WEEK - TICK)], DAY),
        ([("valid", DAY), ("valid", DAY + WEEK)], DAY + WEEK),
        ([("valid", DAY), ("valid", 5 * DAY), ("valid", DAY + WEEK)], DAY + WEEK),
        ([("failed", DAY), ("failed", DAY + WEEK - TICK)], DAY),
        ([("failed", DAY), ("failed", DAY + WEEK)], DAY + WEEK),
        ([("failed", DAY), ("valid", 2 * DAY)], 2 * DAY),
        ([("failed", DAY), ("invalid", 2 * DAY)], 2 * DAY),
        ([("failed", DAY), ("missing", 2 * DAY), ("valid", 3 * DAY)], DAY),
        ([("processing", DAY)], None),
        ([("processing", DAY), ("valid", 2 * DAY)], 2 * DAY),
        ([("valid", DAY), ("processing", 2 * DAY)], DAY),
        ([("valid", DAY), ("processing", 2 * DAY), ("valid", 3 * DAY)], 3 * DAY),
        ([("valid", DAY), ("pending", 2 * DAY), ("failed", 3 * DAY)], 3 * DAY),
        ([("valid", DAY), ("missing", 2 * DAY), ("valid", 3 * DAY)], DAY),
        ([("valid", DAY), ("processing", DAY + WEEK)], DAY),
        ([("missing", DAY), ("valid", 2 * DAY)], 2 * DAY),
    ],
)
def test_a_result_that_cannot_be_from_the_cache_is_from_a_real_check(desk, check, answers, checked_after):
    for status, after in answers:
        say(desk, check, status, after)

    expected = None if checked_after is None else NOON + checked_after
    assert known(desk) == (answers[-1][0], expected)


@pytest.mark.parametrize(("status", "hours"), [("valid", 2), ("invalid", 2), ("failed", 2), ("processing", 1)])
def test_a_forced_check_is_real(desk, check, status, hours):
    say(desk, check, "valid", timedelta(hours=1))
    say(desk, check, status, timedelta(hours=2), forced=True)

    assert known(desk) == (status, NOON + timedelta(hours=hours))


def test_an_older_result_does_not_change_the_time(desk, check):
    say(desk, check, "valid", 2 * DAY)
    say(desk, check, "invalid", DAY, forced=True)

    assert known(desk) == ("valid", NOON + 2 * DAY)


# Callbacks.


def test_a_callback_about_an_unknown_number_is_stored(desk):
    desk.deliver({ALICE: "valid", BOB: "failed"})

    assert desk.numbers(KNOWN) == {
        ALICE: ("valid", ALICE[1:], NOON, NOON, "v2.45.1"),
        BOB: ("failed", None, NOON, NOON, "v2.45.1"),
    }


def test_a_callback_about_a_queued_number_is_stored_for_its_lease(desk, check):
    deliver(desk, "valid")

    assert desk.results(check) == [None, None]
    assert desk.lease(check).numbers == [BOB]
    assert desk.results(check, "status, from_store") == [("valid", True), (None, False)]


@pytest.mark.parametrize("before", ["processing", "pending", "missing"])
@pytest.mark.parametrize("delivered", ["valid", "invalid", "failed"])
def test_a_callback_counts_if_a_result_is_awaited(desk, check, before, delivered):
    say(desk, check, before)
    deliver(desk, delivered, DAY)

    assert known(desk) == (delivered, NOON + DAY)
    assert desk.results(check, "status, from_store")[0] == (delivered, False)


@pytest.mark.parametrize(("delivered", "counts"), [("valid", True), ("pending", False)])
def test_a_callback_with_the_same_time_counts_if_it_is_final(desk, check, delivered, counts):
    say(desk, check, "processing")
    deliver(desk, delivered)

    assert known(desk, "status") == (delivered if counts else "processing")


def test_a_callback_older_than_the_request_does_not_count(desk, check):
    say(desk, check, "processing", DAY)
    deliver(desk, "valid", -TICK)

    assert known(desk) == ("processing", None)


@pytest.mark.parametrize("after", [timedelta(), TICK, DAY - TICK])
def test_a_server_clock_that_is_ahead_loses_no_callback(desk, check, after):
    say(desk, check, "processing", DAY)
    deliver(desk, "valid", after)
    say(desk, check, "processing", DAY - TICK)

    assert known(desk) == ("valid", NOON + after)


def test_a_response_without_a_version_clears_it(desk, check):
    say(desk, check, "valid", version="v2.41.2")
    say(desk, check, "valid", TICK, version=None)

    assert known(desk, "client_version") is None


@pytest.mark.parametrize("before", ["valid", "invalid", "failed"])
@pytest.mark.parametrize(("after", "counts"), [(TICK, False), (WEEK - TICK, False), (WEEK, True)])
def test_if_the_result_is_known_a_callback_counts_after_a_week(desk, check, before, after, counts):
    delivered = "invalid" if before == "valid" else "valid"
    say(desk, check, before, DAY)
    deliver(desk, delivered, DAY + after)

    assert known(desk) == ((delivered, NOON + DAY + after) if counts else (before, NOON + DAY))


def test_the_week_starts_at_the_last_real_check(desk, check):
    say(desk, check, "valid", DAY)
    say(desk, check, "valid", 6 * DAY)
    deliver(desk, "invalid", DAY + WEEK)

    assert known(desk) == ("invalid", NOON + DAY + WEEK)


def test_a_repeated_callback_changes_nothing(desk, check):
    say(desk, check, "processing")
    check.finish()
    check.start_waiting(NOON, recheck_failed=3)
    deliver(desk, "failed", DAY)
    once = desk.everything()
    for _ in range(2):
        deliver(desk, "failed", DAY)

    assert desk.everything() == once
    assert desk.results(check, "status, failures, waiting")[0] == ("failed", 1, True)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_response_and_its_callbacks_give_the_same_rows_in_any_order(desk, check, order):
    steps = [
        lambda: say(desk, check, "processing", TICK),
        lambda: deliver(desk, "valid", DAY),
        lambda: deliver(desk, "valid", DAY),
        lambda: desk.deliver({BOB: "invalid"}, after=DAY),
    ]
    desk.lease(check)
    for n in order:
        steps[n]()
    desk.say(check, {BOB: "processing"})

    both = desk.numbers(f"{KNOWN}, asked_at, leased_by")
    assert both == {
        ALICE: ("valid", ALICE[1:], NOON + DAY, NOON + DAY, "v2.45.1", NOON, None),
        BOB: ("invalid", None, NOON + DAY, NOON + DAY, "v2.45.1", NOON, None),
    }
    assert desk.results(check, "status, wa_id, checked_at, from_store, waiting, failures") == [
        ("valid", ALICE[1:], NOON + DAY, False, False, 0),
        ("invalid", None, NOON + DAY, False, False, 0),
    ]
