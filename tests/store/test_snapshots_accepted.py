"""Snapshots: which are accepted as complete, so that missing contacts are gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.store import ShrinkGuard

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TUESDAY, WEDNESDAY, THURSDAY = MONDAY + DAY, MONDAY + 2 * DAY, MONDAY + 3 * DAY
ANN, BEN, CAT = "11001234567@c.us", "79001234568@c.us", "79001234570@c.us"
GROUP = "79001234569-1479621234@g.us"


@pytest.mark.parametrize(
    ("day", "given", "reason"),
    [
        ((), {}, "empty"),
        ((), {"guard": ShrinkGuard(accepted=True)}, "empty"),
        ((ANN, BEN), {"is_cut": True}, "cut"),
        ((ANN, BEN), {"is_synchronised": False}, "unsynchronised"),
        ((ANN,), {}, "shrunken"),
        ((ANN, ANN, ANN), {}, "shrunken"),
        ((CAT,), {}, "shrunken"),
        ((ANN, BEN, CAT), {"has_unidentified": True}, "nameless"),
    ],
    ids=[
        *("empty", "empty and accepted", "cut", "unsynchronised", "shrunken", "one repeated contact", "other contacts"),
        "nameless",
    ],
)
def test_no_contact_is_gone_after_an_incomplete_snapshot(book, day, given, reason):
    book.land(MONDAY, (ANN, "Ann"), (BEN, "Ben"), (GROUP, "Choir"))
    done = book.land(TUESDAY, *((who, "new") for who in day), **given)

    assert (done.state, done.reason, done.gone, done.rows) == ("incomplete", reason, 0, len(day))
    landed = dict.fromkeys(day, "new")
    assert book.states() == {ANN: "Ann", BEN: "Ben", GROUP: "Choir"} | landed


def test_the_third_similar_snapshot_in_a_row_is_accepted_and_compared_with_later_ones(book):
    many = book.people(10)
    book.land(MONDAY, *many)
    done = [book.land(MONDAY + day * DAY, *many[:5]) for day in (1, 2, 3)]
    after = book.land(MONDAY + 4 * DAY, *many[:4])

    assert [(one.state, one.gone) for one in (*done, after)] == [
        ("incomplete", 0),
        ("incomplete", 0),
        ("complete", 5),
        ("complete", 1),
    ]


def test_a_cut_snapshot_in_between_neither_confirms_nor_resets_confirmations(book):
    many = book.people(10)
    book.land(MONDAY, *many)
    hours = timedelta(hours=1)
    for day in (1, 2, 3):
        book.land(MONDAY + day * DAY - hours, *many[:5], is_cut=True)
        last = book.land(MONDAY + day * DAY, *many[:5])
        assert last.state == ("complete" if day == 3 else "incomplete")


def test_an_empty_snapshot_in_between_resets_confirmations(book):
    many = book.people(10)
    book.land(MONDAY, *many)
    done = [book.land(MONDAY + day * DAY, *some) for day, some in enumerate([many[:5], [], many[:5], many[:5]], 1)]

    assert [one.reason for one in done] == ["shrunken", "empty", "shrunken", "shrunken"]


def test_a_repeated_snapshot_does_not_confirm_itself(book):
    many = book.people(10)
    book.land(MONDAY, *many)
    before = book.landing.dump()
    book.land(TUESDAY, *many[:5])
    for again in range(5):
        assert book.land(TUESDAY, *many[:5], begun=book.begin(f"again {again}")).reason == "shrunken"
    assert book.land(WEDNESDAY, *many[:5]).reason == "shrunken"

    assert len(book.landing.dump()["version"]) == len(before["version"])


def test_an_accepted_smaller_snapshot_is_complete_immediately(book):
    book.land(MONDAY, ANN, BEN, CAT)
    done = book.land(TUESDAY, ANN, guard=ShrinkGuard(accepted=True))

    assert (done.state, done.gone, done.reason) == ("complete", 2, None)


@pytest.mark.parametrize("group", [True, False])
def test_a_snapshot_of_one_type_is_complete_only_for_that_type(book, group):
    own, other = ([GROUP, "120363000000000001@g.us"], [ANN, BEN, "null@c.us", "1@lid"])[:: 1 if group else -1]
    book.land(MONDAY, *own, *other, "a-pseudonym")
    done = book.land(TUESDAY, own[0], group=group, guard=ShrinkGuard(0, min_overlap=0))

    assert (done.state, done.gone) == ("complete", len(own) - 1)
    assert {who for who, name in book.states().items() if name is None} == set(own[1:])


def test_a_snapshot_of_one_type_is_compared_with_that_type_in_the_last_complete_one(book):
    groups, people = [f"{n}@g.us" for n in range(4)], book.people(20)
    book.land(MONDAY, *groups, *people)
    shrunken = book.land(TUESDAY, *groups[:2], group=True)
    complete = book.land(TUESDAY, *people[:16], group=False)
    both = book.land(WEDNESDAY, *groups, *people[:12])
    too_few = book.land(THURSDAY, *people[:12])

    assert [(done.reason, done.gone) for done in (shrunken, complete, both, too_few)] == [
        ("shrunken", 0),
        (None, 4),
        (None, 4),
        ("shrunken", 0),
    ]


def test_a_response_without_the_requested_type_is_empty(book):
    book.land(MONDAY, ANN, GROUP)
    done = book.land(TUESDAY, (ANN, "new"), group=True, guard=ShrinkGuard(0, min_overlap=0))

    assert (done.reason, done.gone) == ("empty", 0)
    assert book.states() == {ANN: "new", GROUP: ""}


def test_a_snapshot_of_other_people_marks_no_contact_as_gone_until_it_is_confirmed(book):
    ours, theirs = book.people(10), [f"{20_000_000_000 + n}@c.us" for n in range(10)]
    book.land(MONDAY, *ours)
    done = [book.land(MONDAY + day * DAY, *theirs) for day in (1, 2, 3)]

    assert [(one.state, one.reason, one.gone) for one in done] == [
        ("incomplete", "different", 0),
        ("incomplete", "different", 0),
        ("complete", None, 10),
    ]


def test_contacts_that_have_changed_are_still_the_same_contacts(book):
    book.land(MONDAY, *((who, "old") for who in book.people(10)))
    changed = book.land(TUESDAY, *((who, "new") for who in book.people(10)))
    book.land(WEDNESDAY, *((who, "newer") for who in book.people(6)), guard=ShrinkGuard(accepted=True))
    half = book.land(THURSDAY, *((who, "newest") for who in book.people(10)))

    assert [(one.state, one.gone) for one in (changed, half)] == [("complete", 0), ("complete", 0)]
