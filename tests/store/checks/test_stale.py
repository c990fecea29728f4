"""Stale numbers: the oldest first, and within the limit."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.store.checks import sender
from tests.store.checks.conftest import ALICE, BOB, CAROL, DAVE, NOON

DAY = timedelta(days=1)


@pytest.fixture
def stale(desk):
    """Find stale numbers: by default of any age, and valid or failed."""

    def found(*, statuses=("valid", "failed"), not_after=NOON + 30 * DAY, limit=100, wanted=None):
        return desk.checks.stale(statuses=statuses, not_after=not_after, limit=limit, wanted=wanted)

    return found


@pytest.fixture
def known(desk):
    """Four numbers, last checked on the second, the first, the fourth and the third day."""
    for number, day, status in ((ALICE, 2, "valid"), (BOB, 1, "failed"), (CAROL, 4, "valid"), (DAVE, 3, "invalid")):
        desk.deliver({number: status}, after=day * DAY)


@pytest.mark.usefixtures("known")
def test_the_oldest_come_first(stale):
    assert stale() == [BOB, ALICE, CAROL]
    assert stale(statuses=("invalid", "valid")) == [ALICE, DAVE, CAROL]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4])
def test_limit_is_not_exceeded(stale, limit):
    assert stale(limit=limit) == [BOB, ALICE, CAROL][:limit]
    assert stale(limit=limit, wanted=[CAROL, BOB, ALICE]) == [BOB, ALICE, CAROL][:limit]


@pytest.mark.usefixtures("known")
def test_leased_numbers_are_not_polled(desk, stale):
    check = desk.filled(ALICE, force_check=True)
    desk.lease(check)
    assert stale() == stale(wanted=[ALICE, BOB, CAROL]) == [BOB, CAROL]

    desk.clock.move(minutes=12)
    assert stale() == [BOB, ALICE, CAROL]


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("early", [timedelta(), timedelta(microseconds=1)])
def test_a_check_at_not_after_is_stale_and_a_later_one_is_not(stale, early):
    expected = [BOB] if early else [BOB, ALICE]

    assert stale(not_after=NOON + 2 * DAY - early) == expected
    assert stale(not_after=NOON + 2 * DAY - early, wanted=[ALICE, BOB]) == expected


@pytest.mark.usefixtures("known")
def test_only_wanted_numbers_are_found_once_each(stale):
    assert stale(wanted=iter([CAROL, DAVE, "+16315559999", BOB, CAROL])) == [BOB, CAROL]
    assert stale(wanted=[]) == []


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_wanted_numbers_are_searched_in_batches(stale, monkeypatch, at_once):
    monkeypatch.setattr(sender, "BATCH_SIZE", at_once)

    assert stale(wanted=[CAROL, DAVE, ALICE, BOB, CAROL, ALICE]) == [BOB, ALICE, CAROL]
    assert stale(wanted=[CAROL, DAVE, ALICE, BOB, CAROL, ALICE], limit=2) == [BOB, ALICE]


def test_the_age_counts_from_the_last_real_check(desk, stale):
    desk.asked(ALICE, BOB)
    desk.clock.move(days=1)
    desk.asked(BOB, CAROL, task="other", fresh_for=timedelta())

    assert desk.numbers("checked_at") == {ALICE: NOON, BOB: NOON, CAROL: NOON + DAY}
    assert stale(not_after=NOON) == [ALICE, BOB]


def test_without_a_real_check_the_last_result_counts(desk, stale):
    desk.deliver({ALICE: "missing"}, after=2 * DAY)
    desk.deliver({BOB: "missing"}, after=DAY)

    assert stale(statuses=("missing",)) == [BOB, ALICE]
    assert stale(statuses=("missing",), not_after=NOON + DAY) == [BOB]


def test_a_number_without_a_result_is_not_stale(desk, stale):
    desk.filled(ALICE)

    assert stale() == []
    assert stale(wanted=[ALICE]) == []


def test_numbers_of_one_age_have_a_stable_order(desk, stale):
    numbers = [f"+1631555{n:04}" for n in range(60)]
    random.Random(1).shuffle(numbers)
    desk.filled(*numbers)
    desk.deliver(dict.fromkeys(numbers, "valid"))

    found = stale(limit=40)

    assert (len(set(found)), set(found) <= set(numbers)) == (40, True)
    assert stale(limit=40, wanted=numbers) == found
    assert stale()[:40] == found


def test_other_senders_numbers_are_not_found(desk_of, stale):
    desk_of().deliver({ALICE: "valid"})

    assert stale() == []
    assert stale(wanted=[ALICE]) == []


@pytest.mark.usefixtures("known")
def test_numbers_opted_out_in_their_last_check_are_not_rechecked(desk, stale):
    desk.open(task="first").fill([desk.input(ALICE), desk.input(BOB, opted_in=False), desk.input(CAROL)])
    desk.open(task="later").fill([desk.input(CAROL, opted_in=False)])
    assert stale() == [ALICE]
    assert stale(wanted=[BOB, CAROL]) == [BOB, CAROL]

    desk.open(task="last").fill([desk.input(BOB, opted_in=True)])
    assert stale() == [BOB, ALICE]
