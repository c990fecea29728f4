"""Snapshots: new, changed, unchanged, missing and returned contacts."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.store import ExtractionResult, snapshots

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TUESDAY, WEDNESDAY, THURSDAY = MONDAY + DAY, MONDAY + 2 * DAY, MONDAY + 3 * DAY
ANN, BEN, CAT = "11001234567@c.us", "79001234568@c.us", "79001234570@c.us"
GROUP = "79001234569-1479621234@g.us"


def test_a_new_contact_gets_a_version_with_the_snapshots_time(book):
    done = book.land(MONDAY, (ANN, "Ann"), (GROUP, "Choir"))

    ann = book.record(ANN, "Ann")
    row = {
        "source": "green_api",
        "account": "main",
        "contact_id": ANN,
        "updated_at": MONDAY,
        "row_hash": ann.row_hash,
        "state": "present",
        "first_seen_at": MONDAY,
        "last_seen_at": MONDAY,
        "wa_id": "11001234567",
        "repaired": False,
        "payload": {"uuid": ANN, "name": "Ann"},
    }
    choir = row | {"contact_id": GROUP, "row_hash": book.record(GROUP, "Choir").row_hash, "wa_id": None}
    choir["payload"] = {"uuid": GROUP, "name": "Choir"}
    ends = {"valid_from": MONDAY, "valid_to": None}
    assert book.landing.dump() == {
        "version": [row, choir],
        "current": [row, choir],
        "history": [row | ends, choir | ends],
    }
    assert (done.state, done.rows, done.new_versions, done.gone, done.back) == ("complete", 2, 2, 0, 0)


def test_an_unchanged_contact_only_widens_its_seen_times(book):
    book.land(MONDAY, (ANN, "Ann"))
    done = book.land(TUESDAY, (ANN, "Ann"))

    assert book.history(ANN) == [("present", "Ann", MONDAY, None, TUESDAY)]
    assert (done.state, done.rows, done.new_versions) == ("complete", 1, 0)


def test_a_contact_that_changes_and_changes_back_has_three_versions(book):
    for day, name in enumerate(["Ann", "Anna", "Ann"]):
        book.land(MONDAY + day * DAY, (ANN, name))

    assert book.history(ANN) == [
        ("present", "Ann", MONDAY, TUESDAY, MONDAY),
        ("present", "Anna", TUESDAY, WEDNESDAY, TUESDAY),
        ("present", "Ann", WEDNESDAY, None, WEDNESDAY),
    ]
    assert book.states() == {ANN: "Ann"}


def test_a_missing_contact_is_gone_with_its_last_known_content_until_it_returns(book):
    others = book.people(9)
    book.land(MONDAY, (ANN, "Ann"), *others)
    gone = book.land(TUESDAY, *others)
    (row,) = [row for row in book.landing.dump()["current"] if row["contact_id"] == ANN]
    missed = book.land(WEDNESDAY, *others)
    back = book.land(THURSDAY, (ANN, "Ann"), *others)

    assert row == {
        "source": "green_api",
        "account": "main",
        "contact_id": ANN,
        "updated_at": TUESDAY,
        "row_hash": book.record(ANN, "Ann").row_hash,
        "state": "gone",
        "first_seen_at": TUESDAY,
        "last_seen_at": TUESDAY,
        "wa_id": "11001234567",
        "repaired": False,
        "payload": {"uuid": ANN, "name": "Ann"},
    }
    assert book.history(ANN) == [
        ("present", "Ann", MONDAY, TUESDAY, MONDAY),
        ("gone", "Ann", TUESDAY, THURSDAY, TUESDAY),
        ("present", "Ann", THURSDAY, None, THURSDAY),
    ]
    counts = [(done.new_versions, done.gone, done.back) for done in (gone, missed, back)]
    assert counts == [(1, 1, 0), (0, 0, 0), (1, 0, 1)]


def test_the_counts_are_in_the_ledger(landing, book):
    others = [f"{n}@c.us" for n in range(5)]
    book.land(MONDAY, ANN, GROUP, *others)
    begun = book.begin(uri="postgresql://store")
    done = book.land(
        TUESDAY, GROUP, *others, begun=begun, rejects=[Reject("no id", b"{}")], size=123, pages=3, is_synchronised=True
    )

    assert done == ExtractionResult(
        extraction_id=begun.extraction_id,
        source="green_api",
        account="main",
        window_start=None,
        window_end=None,
        extracted_at=TUESDAY,
        finished_at=MONDAY + 30 * DAY,
        state="complete",
        resumes=0,
        pages=3,
        rows=6,
        new_versions=1,
        rejected=1,
        bytes=123,
        lateness_s=None,
        lossy=None,
        gap_before=None,
        uri="postgresql://store",
        gone=1,
        back=0,
        reason=None,
        reject_reasons={"no id": 1},
    )
    kept = "state, pages, row_count, new_versions, rejected, bytes, gone, back, reason, groups_seen, others_seen"
    assert landing.rows(f"SELECT {kept} FROM wacontacts_extraction ORDER BY extraction_number") == [
        ("complete", 1, 7, 7, 0, 10, 0, 0, None, 1, 6),
        ("complete", 3, 6, 1, 1, 123, 1, 0, None, 1, 5),
    ]
    rejects = landing.rows("SELECT extraction_id, reason FROM wacontacts_reject")
    assert rejects == [(begun.extraction_id, "no id")]


@pytest.mark.parametrize("rows", [1, 2, 5_000])
@pytest.mark.parametrize("name", ["Ann", "Anna"])
def test_the_first_of_several_rows_with_the_same_id_counts(book, monkeypatch, rows, name):
    monkeypatch.setattr(snapshots, "BATCH_ROWS", rows)
    book.land(MONDAY, (ANN, "Ann"), (BEN, "Ben"))
    for day in (TUESDAY, WEDNESDAY):
        done = book.land(day, (ANN, name), (BEN, "Ben"), (ANN, "Ann"), (ANN, "Anna"))

    assert (done.rows, done.new_versions) == (4, 0)
    assert book.states() == {ANN: name, BEN: "Ben"}
    assert len(book.history(ANN)) == (1 if name == "Ann" else 2)


def test_accounts_share_nothing(book):
    book.land(TUESDAY, (ANN, "Ann"))
    other = book.begin(account="other")
    assert book.land(MONDAY, (BEN, "Ben"), begun=other).state == "complete"
    assert book.states() == {ANN: "Ann"}


def test_a_contact_whose_row_was_rejected_is_not_gone(book):
    book.land(MONDAY, (ANN, "Ann"), (BEN, "Ben"), *book.people(9))
    rejects = [Reject("not a number", b"{}")]
    done = book.land(TUESDAY, *book.people(9), rejects=rejects, rejected_ids=[ANN, "nobody@c.us"])

    assert (done.state, done.gone) == ("complete", 1)
    assert book.states() | dict.fromkeys(book.people(9), "") == book.states()
    assert (book.states()[ANN], book.states()[BEN]) == ("Ann", None)
    assert book.history(ANN) == [("present", "Ann", MONDAY, None, TUESDAY)]
    assert book.land(WEDNESDAY, (ANN, "Ann"), *book.people(9)).new_versions == 0


def test_a_contact_whose_row_the_database_refuses_is_not_gone(postgres_book):
    book = postgres_book
    with book.landing.engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE wacontacts_contact_payload ADD CHECK (payload->>'name' IS DISTINCT FROM 'unacceptable')")
        )
    book.land(MONDAY, (ANN, "Ann"), BEN, *book.people(9))
    done = book.land(TUESDAY, (ANN, "unacceptable"), (CAT, "unacceptable"), BEN, *book.people(9))

    assert (done.state, done.rows, done.rejected, done.gone) == ("complete", 10, 2, 0)
    assert book.history(ANN) == [("present", "Ann", MONDAY, None, TUESDAY)]


def test_a_repaired_contact_is_flagged(book):
    def land(moment, *, repaired):
        record = book.record(ANN, "\ufffd", repaired=repaired)
        return book.begin(str(moment)).write(lambda: [record], extracted_at=moment, size=1)

    land(MONDAY, repaired=False)
    land(TUESDAY, repaired=True)
    assert [row["repaired"] for row in book.landing.dump()["version"]] == [True]


def test_thousands_of_contacts_are_loaded_in_batches(sqlite_book, monkeypatch):
    monkeypatch.setattr(snapshots, "BATCH_ROWS", 700)
    people = sqlite_book.people(3_000)
    sqlite_book.land(MONDAY, *people)
    done = sqlite_book.land(TUESDAY, *((who, "new" if n % 3 else "") for n, who in enumerate(people[:2_900])))

    assert (done.rows, done.new_versions, done.gone) == (2_900, 1_933 + 100, 100)


def test_four_times_the_contacts_take_the_same_memory(sqlite_book, monkeypatch):
    monkeypatch.setattr(snapshots, "BATCH_ROWS", 500)

    def records(contacts, moment):
        for n in range(contacts):
            # Collect garbage first, so that only referenced memory counts.
            if not n % 500:
                gc.collect()
            yield sqlite_book.record(f"{n}@c.us", f"name on {moment:%A} " * 20)

    def most_bytes(moment, contacts):
        begun = sqlite_book.begin(str(moment))
        tracemalloc.start()
        begun.write(partial(records, contacts, moment), extracted_at=moment, size=1)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    most_bytes(MONDAY, 500)
    assert most_bytes(WEDNESDAY, 4_000) - most_bytes(THURSDAY, 1_000) < 400_000, "the 3,000 more were held"
