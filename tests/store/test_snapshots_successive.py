"""Successive snapshots: which are refused, which wait, and the state after an unfinished attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import pytest
from sqlalchemy import create_engine

from airflow_provider_wacontacts.exceptions import LandingError, RetryableStoreError
from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.store import Store, snapshots

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TUESDAY, WEDNESDAY, THURSDAY = MONDAY + DAY, MONDAY + 2 * DAY, MONDAY + 3 * DAY
ANN, BEN, CAT = "11001234567@c.us", "79001234568@c.us", "79001234570@c.us"
GROUP = "79001234569-1479621234@g.us"


def test_a_snapshot_older_than_the_newest_is_refused_and_not_loaded(book):
    book.land(TUESDAY, (ANN, "Ann"))
    before = book.landing.dump()
    done = book.land(MONDAY, (ANN, "Anna"), BEN, rejects=[Reject("no id", b"{}")])

    assert book.landing.dump() == before
    assert (done.state, done.reason, done.rows, done.rejected, done.gone) == ("refused", "older", 0, 0, 0)
    assert (done.extracted_at, done.bytes) == (MONDAY, 10)
    assert book.landing.rows("SELECT count(*) FROM wacontacts_reject") == [(0,)]


def test_a_snapshot_older_than_an_incomplete_one_is_refused_but_a_refused_one_does_not_count(book):
    book.land(MONDAY, ANN, BEN)
    book.land(WEDNESDAY, (ANN, "new"))
    assert book.land(TUESDAY, ANN, BEN, CAT).state == "refused"
    assert book.land(THURSDAY, ANN, BEN).state == "complete"


def test_loading_the_newest_snapshot_again_changes_nothing(book):
    book.land(MONDAY, (ANN, "Ann"), BEN, CAT, *book.people(9))
    book.land(TUESDAY, (ANN, "Anna"), BEN, *book.people(9))
    before = book.landing.dump()
    done = book.land(TUESDAY, (ANN, "Anna"), BEN, *book.people(9), begun=book.begin("again"))

    assert book.landing.dump() == before
    assert (done.state, done.new_versions, done.gone, done.back) == ("complete", 0, 0, 0)


def test_if_two_responses_have_the_same_time_the_first_version_of_a_contact_counts(book):
    book.land(MONDAY, (ANN, "Ann"), (BEN, "Ben"), (CAT, "Cat"), *book.people(9))
    book.land(TUESDAY, (ANN, "Anna"), (BEN, "Ben"), *book.people(9))
    book.land(TUESDAY, (ANN, "Annie"), (CAT, "Cat"), *book.people(9), begun=book.begin("again"))

    assert [book.history(who) for who in (ANN, BEN, CAT)] == [
        [("present", "Ann", MONDAY, TUESDAY, MONDAY), ("present", "Anna", TUESDAY, None, TUESDAY)],
        [("present", "Ben", MONDAY, None, TUESDAY)],
        [("present", "Cat", MONDAY, TUESDAY, MONDAY), ("gone", "Cat", TUESDAY, None, TUESDAY)],
    ]


def test_snapshots_of_groups_and_of_persons_do_not_refuse_each_other(book):
    book.land(MONDAY, ANN, GROUP)
    assert book.land(WEDNESDAY, GROUP, group=True).state == "complete"
    assert book.land(TUESDAY, ANN, group=False).state == "complete"
    assert book.land(TUESDAY, GROUP, group=True, begun=book.begin("late", group=True)).state == "refused"
    assert book.land(TUESDAY, ANN, GROUP, begun=book.begin("late, both")).state == "refused"


def test_a_retry_restarts_and_the_old_attempt_commits_nothing(book):
    zombie = book.begin()
    retry = book.begin()
    with pytest.raises(LandingError, match="Another attempt has taken over"):
        book.land(MONDAY, ANN, begun=zombie)
    done = book.land(MONDAY, BEN, begun=retry)

    assert (zombie.resumes, retry.resumes, done.state) == (0, 1, "complete")
    assert book.states() == {BEN: ""}
    assert book.landing.rows("SELECT state FROM wacontacts_extraction ORDER BY extraction_number") == [
        ("abandoned",),
        ("complete",),
    ]


def test_a_snapshot_is_loaded_once(book):
    begun = book.begin()
    book.land(MONDAY, ANN, begun=begun)
    with pytest.raises(LandingError, match="has ended"):
        book.land(TUESDAY, ANN, begun=begun)
    assert book.begin().resumes == 0


def test_a_killed_worker_leaves_no_rows(book, monkeypatch):
    monkeypatch.setattr(snapshots, "BATCH_ROWS", 2)
    book.land(MONDAY, ANN, BEN, GROUP)
    before = book.landing.dump()

    def dying():
        yield from (book.record(who, "new") for who in (ANN, BEN, CAT))
        raise MemoryError

    begun = book.begin()
    with pytest.raises(MemoryError):
        begun.write(dying, extracted_at=TUESDAY, size=1)

    assert book.landing.dump() == before
    assert book.begin().resumes == 1


def test_a_reader_never_sees_an_incomplete_snapshot(book, monkeypatch):
    monkeypatch.setattr(snapshots, "BATCH_ROWS", 1)
    book.land(MONDAY, ANN, BEN)
    before, seen = book.landing.dump(), []

    def watched():
        for who in (ANN, BEN, CAT):
            yield book.record(who, "new")
            seen.append(book.landing.dump())

    book.begin().write(watched, extracted_at=TUESDAY, size=1)

    assert seen == [before] * 3
    assert book.states() == dict.fromkeys((ANN, BEN, CAT), "new")


def test_a_snapshot_is_reread_if_its_transaction_is_retried(book, monkeypatch):
    refusals, made, write = iter([RetryableStoreError("in the way")]), [], book.landing.store.context.write_batch

    def clashing(connection, batch):
        for refusal in refusals:
            raise refusal
        return write(connection, batch)

    def records():
        made.append(1)
        return iter([book.record(ANN, "Ann")])

    monkeypatch.setattr(book.landing.store.context, "write_batch", clashing)
    done = book.begin().write(records, [Reject("no id", b"{}")], extracted_at=MONDAY, size=1)

    assert (done.rows, done.rejected, len(made)) == (1, 1, 2)
    assert book.landing.rows("SELECT count(*) FROM wacontacts_reject") == [(1,)]


def test_snapshots_of_an_account_wait_for_one_another(book):
    first, second, landing, order = book.begin("first"), book.begin("second"), Event(), []

    def slowly():
        landing.set()
        worker.join(0.5)
        order.append("first")
        yield book.record(ANN, "Ann")

    def meanwhile():
        landing.wait()
        done.append(book.land(TUESDAY, (ANN, "Ann"), BEN, begun=second))
        order.append("second")

    done = []
    worker = Thread(target=meanwhile)
    worker.start()
    done.append(first.write(slowly, extracted_at=MONDAY, size=1))
    worker.join()

    assert order == ["first", "second"]
    assert [(one.state, one.new_versions) for one in done] == [("complete", 1), ("complete", 1)]


def test_a_waiting_attempt_can_be_taken_over(postgres_book):
    book = postgres_book
    first, zombie, landing, problems = book.begin("first"), book.begin("second"), Event(), []

    def meanwhile():
        landing.wait()
        try:
            book.land(TUESDAY, (ANN, "zombie"), begun=zombie)
        except LandingError as error:
            problems.append(str(error))

    def slowly():
        landing.set()
        worker.join(0.5)
        assert book.begin("second").resumes == 1
        yield book.record(ANN, "Ann")

    worker = Thread(target=meanwhile)
    worker.start()
    first.write(slowly, extracted_at=MONDAY, size=1)
    worker.join()

    assert [problem.partition(" has")[0] for problem in problems] == ["Another attempt"]
    assert book.states() == {ANN: "Ann"}


def test_accounts_of_another_table_schema_are_neither_awaited_nor_visible(postgres_url, landing_on, book_of):
    engine = create_engine(postgres_url)
    stores = [Store(engine, table_schema=name) for name in ("one", "two")]
    for store in stores:
        book = book_of(landing_on(store, engine))
        assert book.land(MONDAY, ANN).new_versions == 1
    engine.dispose()
