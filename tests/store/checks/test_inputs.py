"""Inputs of a check: all are stored, each number counts once, and known results are not requested."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.store.checks import inputs, lifecycle
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckTotals
from tests.store.checks.conftest import ALICE, BOB, CAROL, DAVE, WEEK

COLUMNS = "ordinal, contact_key, input, number, status, reason, duplicate, from_store, waiting"
HOSTILE = [
    "\0",
    "a\0b",
    "\ud800 alone",
    "'; DROP TABLE wacontacts_check; --",
    '{"number": "\\u0000"}',
    "\\u0000",
    "%s %(x)s :check_id {at}",
    "½\u202e\U0001f600",
    "\r\n\t\x1b",
    "",
]


@pytest.fixture(params=[1, 2, 3, 5_000])
def chunk(request, monkeypatch):
    """Number of inputs in a batch."""
    monkeypatch.setattr(inputs, "BATCH_SIZE", request.param)
    return request.param


def test_every_input_has_a_row_in_its_order(desk, chunk):
    check = desk.open()
    check.fill(
        [
            CheckInput("+1 (631) 555-1001", ALICE, "key a"),
            CheckInput("12", None, "key b", "too short"),
            CheckInput("16315551002", BOB, None, None, True),
            CheckInput("+1-631-555-1001", ALICE, "key c"),
            CheckInput("nobody", None),
            CheckInput("tel:+1-631-555-1003", CAROL, "key a", None, False),
        ]
    )

    assert desk.results(check, COLUMNS) == [
        (0, "key a", "+1 (631) 555-1001", ALICE, None, None, False, False, False),
        (1, "key b", "12", None, "rejected", "too short", False, False, False),
        (2, None, "16315551002", BOB, None, None, False, False, False),
        (3, "key c", "+1-631-555-1001", ALICE, None, None, True, False, False),
        (4, None, "nobody", None, "rejected", "not a number", False, False, False),
        (5, "key a", "tel:+1-631-555-1003", CAROL, "not_asked", "opted out", False, False, False),
    ]
    assert check.totals() == CheckTotals("open", given=6, duplicates=1, rejected=2, not_asked=1, queued=2)
    assert desk.numbers() == {ALICE: None, BOB: None, CAROL: None}


def test_each_number_is_queued_once(desk, chunk):
    check = desk.filled(ALICE, ALICE, BOB, ALICE, CAROL, BOB, DAVE)

    assert [len(batch) for batch in check.queued(3)] == [3, 1]
    assert desk.lease(check).numbers == [ALICE, BOB, CAROL, DAVE]
    assert desk.results(check, "duplicate") == [False, True, False, True, False, True, False]


def test_duplicates_get_the_result_of_their_input(desk, chunk):
    check = desk.filled(ALICE, BOB, ALICE, ALICE)
    desk.say(check, {ALICE: "valid", BOB: "failed"})

    told = (ALICE[1:], desk.clock(), False)
    assert desk.results(check, "status, wa_id, checked_at, from_store") == [
        ("valid", *told),
        ("failed", None, desk.clock(), False),
        ("valid", *told),
        ("valid", *told),
    ]
    assert check.finish() == CheckTotals("resolved", given=4, duplicates=2, asked=2, valid=1, failed=1)


def test_rejected_inputs_are_stored_once_and_shown_among_the_rejects(desk, chunk):
    check = desk.open()
    check.fill(
        [CheckInput("12", None, reason="too short"), desk.input(ALICE), CheckInput("é", None), CheckInput("12", None)]
    )
    query = "SELECT check_id, extraction_id, reason, body, received_at FROM wacontacts_reject WHERE check_id = :it"
    rejects = desk.rows(query, it=check.check_id)

    assert sorted(rejects, key=repr) == [
        (check.check_id, None, "not a number", b"12", desk.clock()),
        (check.check_id, None, "not a number", "é".encode(), desk.clock()),
        (check.check_id, None, "too short", b"12", desk.clock()),
    ]
    assert desk.rows("SELECT count(*) FROM wacontacts_rejected_row") == [(0,)]


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_opting_out_in_any_spelling_prevents_the_request(desk, chunk, place):
    spellings = [
        CheckInput(f"spelling {n}", ALICE, opted_in=False if n == place else (None, True)[n % 2]) for n in range(4)
    ]
    check = desk.open()
    check.fill([*spellings, desk.input(BOB)])

    assert desk.lease(check).numbers == [BOB]
    assert desk.results(check, "status, reason, duplicate") == [
        *(("not_asked", "opted out", n > 0) for n in range(4)),
        (None, None, False),
    ]
    assert check.totals() == CheckTotals("open", given=5, duplicates=3, not_asked=1, queued=1)


def test_opted_out_numbers_reuse_no_result(desk):
    desk.asked(ALICE)
    check = desk.open("other")
    check.fill([desk.input(ALICE, opted_in=False)])

    assert desk.results(check) == ["not_asked"]


def test_opting_out_applies_only_to_its_check(desk):
    desk.open("one").fill([desk.input(ALICE, opted_in=False)])

    assert desk.lease(desk.filled(ALICE, task="other")).numbers == [ALICE]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_any_string_can_be_an_input(desk, hostile):
    check = desk.open()
    kept = "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in hostile)
    check.fill([CheckInput(hostile, None, hostile, "too short"), CheckInput(hostile, ALICE, hostile), desk.input(BOB)])

    assert desk.results(check, "input, contact_key, number, status") == [
        (kept, kept, None, "rejected"),
        (kept, kept, ALICE, None),
        (BOB, None, BOB, None),
    ]
    rejects = desk.rows("SELECT body FROM wacontacts_reject WHERE check_id = :it", it=check.check_id)
    assert rejects == [(kept.encode(),)]


def test_a_check_without_inputs_is_resolved(desk):
    check = desk.open()
    check.fill(iter(()))

    assert check.is_filled
    assert desk.lease(check)[:3] == ([], False, 0)
    assert check.finish() == CheckTotals("resolved")


@pytest.mark.parametrize("says", ["valid", "invalid"])
def test_fresh_results_are_reused(desk, says):
    desk.asked(ALICE, says=says)
    checked_at = desk.clock()
    desk.clock.move(days=6)
    check = desk.filled(ALICE, BOB, ALICE, task="other")
    wa_id = ALICE[1:] if says == "valid" else None

    assert desk.results(check, "status, wa_id, checked_at, from_store") == [
        (says, wa_id, checked_at, True),
        (None, None, None, False),
        (says, wa_id, checked_at, True),
    ]
    assert desk.lease(check).numbers == [BOB]
    assert check.totals() == CheckTotals("open", given=3, duplicates=1, from_store=1, queued=1, **{says: 1})


@pytest.mark.parametrize("says", ["failed", "processing", "pending", "missing"])
def test_other_results_are_never_fresh(desk, says):
    desk.asked(ALICE, says=says)
    desk.clock.move(seconds=1)

    assert desk.lease(desk.filled(ALICE, task="other")).numbers == [ALICE]


@pytest.mark.parametrize(("fresh_for", "is_fresh"), [(WEEK, False), (WEEK + timedelta(microseconds=1), True)])
def test_a_result_at_fresh_after_is_not_fresh(desk, fresh_for, is_fresh):
    desk.asked(ALICE)
    desk.clock.move(days=7)
    check = desk.filled(ALICE, task="other", fresh_for=fresh_for)

    assert desk.results(check, "from_store") == [is_fresh]
    assert desk.lease(check).numbers == ([] if is_fresh else [ALICE])


def test_with_force_nothing_is_fresh(desk):
    desk.asked(ALICE)
    check = desk.filled(ALICE, task="other", force_check=True)

    assert desk.results(check) == [None]
    assert desk.lease(check).numbers == [ALICE]


def test_numbers_that_became_fresh_are_not_requested(desk):
    check = desk.filled(ALICE, BOB)
    desk.asked(ALICE, task="other")

    assert desk.lease(check).numbers == [BOB]
    assert desk.results(check, "status, wa_id, from_store") == [("valid", ALICE[1:], True), (None, None, False)]


def test_senders_do_not_share_results(desk, desk_of):
    other = desk_of()
    other.asked(ALICE)
    check = desk.filled(ALICE)

    assert desk.lease(check).numbers == [ALICE]
    assert (desk.spent(), desk.numbers(), other.numbers()) == (
        {"2024-01-01": 1},
        {ALICE: None},
        {ALICE: "valid"},
    )


def test_a_check_is_filled_during_a_vacuum_of_its_tables(desk, monkeypatch):
    monkeypatch.setattr(lifecycle, "ANALYZE_AFTER_ROWS", 1)
    with desk.engine.begin() as vacuum:
        if desk.engine.dialect.name == "postgresql":  # SQLite has no concurrent VACUUM
            vacuum.execute(text("LOCK TABLE wacontacts_check_result, wacontacts_number IN SHARE UPDATE EXCLUSIVE MODE"))
            vacuum.execute(text("SET LOCAL lock_timeout = '1s'"))
        assert desk.filled(ALICE, BOB).totals() == CheckTotals("open", given=2, queued=2)
