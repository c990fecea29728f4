"""Identities in the store: idempotent and order-independent, and which of them are pending."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.records.identities import Identity, IdentityChange
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.identities import SenderIdentities
from tests.identity_changes import record_changes

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ANNA, BERT = "16315551000", "16315551004"


def changed(hash_, wa_id=ANNA, at=NOW):
    return IdentityChange(wa_id, hash_, at)


@pytest.fixture
def store(store_engine):
    store = Store(store_engine, now=lambda: NOW)
    store.prepare()
    return store


@pytest.fixture
def identities(store):
    return SenderIdentities(store.context, "+12015550100")


@pytest.fixture
def rows(store_engine):
    """All rows without their keys, with times in the database's format."""

    def read(columns="sender, wa_id, hash, created_at, detected_at, acknowledged"):
        query = f"SELECT {columns} FROM wacontacts_identity ORDER BY sender, wa_id, hash"
        with store_engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    return read


def hashes(kept):
    return [one.hash for one in kept]


def test_an_identity_has_the_time_of_creation_and_of_detection(identities, store, rows):
    record_changes(identities, [changed("A", at=NOW - 5 * MINUTE)], detected_at=NOW - MINUTE)

    ((sender, wa_id, hash_, created_at, detected_at, acknowledged),) = rows()
    times = [at if isinstance(at, str) else at.astimezone(UTC).isoformat() for at in (created_at, detected_at)]
    assert [at[:16] for at in times] == ["2026-11-02T11:55", "2026-11-02T11:59"]
    assert (sender, wa_id, hash_, bool(acknowledged)) == ("+12015550100", ANNA, "A", False)


def test_notifications_are_idempotent_and_order_independent(identities, store, rows):
    news = [
        ([changed("A", at=NOW - 9 * MINUTE), changed("A", at=NOW - 8 * MINUTE)], NOW - 7 * MINUTE),
        ([changed("B", at=NOW - 5 * MINUTE)], NOW - 4 * MINUTE),
        ([changed("B", at=None), changed("A", at=None)], NOW - 3 * MINUTE),
        ([changed("C", BERT, at=None)], NOW - 2 * MINUTE),
    ]
    found = set()
    for sender, order in enumerate(permutations(news)):
        own = SenderIdentities(store.context, str(sender))
        for changes, detected_at in (*order, order[0]):
            record_changes(own, changes, detected_at=detected_at)
        assert hashes(own.pending(10)) == ["B", "C"]
        found.add(tuple(row[1:] for row in rows() if row[0] == str(sender)))

    assert len(found) == 1
    assert [row[:2] for row in found.pop()] == [(ANNA, "A"), (ANNA, "B"), (BERT, "C")]


def test_the_earliest_times_of_an_identity_count(identities, rows):
    for minutes in (2, 1, 3):
        at = NOW + minutes * MINUTE
        record_changes(identities, [changed("A", at=at - 10 * MINUTE)], detected_at=at)

    assert [str(at)[14:16] for at in rows("created_at, detected_at")[0]] == ["51", "01"]


def test_an_empty_delivery_stores_nothing(identities, rows):
    record_changes(identities, [])

    assert rows() == []


def test_only_the_newest_identity_of_a_user_is_pending_oldest_first(identities):
    record_changes(identities, [changed("B2", BERT), changed("A3", at=NOW + MINUTE)])
    record_changes(identities, [changed("A1", at=NOW - 9 * MINUTE), changed("B1", BERT, at=NOW - 8 * MINUTE)])

    assert hashes(identities.pending(10)) == ["B2", "A3"]
    assert hashes(identities.pending(1)) == ["B2"]


def test_an_identity_without_a_time_has_the_time_of_its_notification(identities):
    record_changes(identities, [changed("older", at=None)], detected_at=NOW - 2 * MINUTE)
    record_changes(identities, [changed("newer", at=NOW - MINUTE)], detected_at=NOW)

    assert hashes(identities.pending(10)) == ["newer"]


def test_an_acknowledged_latest_identity_is_not_pending(identities):
    record_changes(identities, [changed("A", at=NOW - MINUTE), changed("B")])
    (pending,) = identities.pending(10)

    identities.record_acknowledged(pending.identity_id)
    record_changes(identities, [changed("A", at=NOW - MINUTE), changed("B")])

    assert identities.pending(10) == []
    assert [one.acknowledged for one in identities.find([pending.identity_id])] == [True]


def test_identities_of_senders_are_separate(identities, store):
    other = SenderIdentities(store.context, "another")
    record_changes(other, [changed("A")])
    (kept,) = other.pending(10)

    assert identities.pending(10) == []
    with pytest.raises(ConfigError, match="1 of 1 are not identities of this sender"):
        identities.find([kept.identity_id])


def test_identities_are_found_by_id_once_and_in_order(identities):
    record_changes(identities, [changed("A", at=NOW - MINUTE), changed("B"), changed("C", BERT)])
    ids = [one.identity_id for one in identities.pending(10)]

    assert [one.identity_id for one in identities.find([*reversed(ids), *ids])] == [*reversed(ids)]
    assert identities.find([]) == []


@pytest.mark.parametrize("unknown", [0, -1, 10**6, 16315551000, 2**63, 10**40])
def test_unknown_ids_are_counted_and_not_quoted(identities, unknown):
    record_changes(identities, [changed("A")])
    (kept,) = identities.pending(10)

    with pytest.raises(ConfigError, match="identity_ids: 1 of 2 are not identities of this sender") as refused:
        identities.find([kept.identity_id, unknown])

    assert str(unknown) not in str(refused.value).replace("1 of the 2", "")


def test_many_ids_can_be_found_with_one_call(identities):
    record_changes(identities, [changed(f"{n:04}", str(16315550000 + n)) for n in range(2_100)])
    ids = [one.identity_id for one in identities.pending(5_000)]

    assert len(identities.find(ids)) == len(set(ids)) == 2_100


def test_a_confirmed_identity_is_pending_until_acknowledged(identities):
    record_changes(identities, [changed("A")])
    (before,) = identities.pending(10)

    assert identities.record_latest(ANNA, Identity("A", NOW, acknowledged=False), instead_of=before) == before
    assert identities.pending(10) == [before]
    assert identities.record_latest(ANNA, Identity("A", NOW, acknowledged=True), instead_of=before).acknowledged
    assert identities.pending(10) == []


def test_the_identity_of_the_api_replaces_the_pending_one(identities, rows):
    record_changes(identities, [changed("A")])
    (before,) = identities.pending(10)

    latest = identities.record_latest(ANNA, Identity("B", NOW + MINUTE, acknowledged=False), instead_of=before)

    assert identities.pending(10) == [latest]
    assert [(hash_, bool(acknowledged)) for hash_, acknowledged in rows("hash, acknowledged")] == [
        ("A", False),
        ("B", False),
    ]


def test_the_api_decides_between_two_changes_in_a_second(identities):
    tenth = timedelta(milliseconds=100)
    identities.record_latest(ANNA, Identity("first", NOW + tenth, acknowledged=False))
    record_changes(identities, [changed("second", at=NOW)])
    (taken,) = identities.pending(10)
    assert taken.hash == "first"

    identities.record_latest(ANNA, Identity("second", NOW + 2 * tenth, acknowledged=False), instead_of=taken)

    assert hashes(identities.pending(10)) == ["second"]


def test_an_older_identity_of_the_api_does_not_replace_a_pending_one(identities):
    record_changes(identities, [changed("old", at=NOW - MINUTE), changed("new")])
    (pending,) = identities.pending(10)

    identities.record_latest(ANNA, Identity("old", NOW - MINUTE, acknowledged=True), instead_of=pending)

    assert hashes(identities.pending(10)) == ["new"]


def test_an_identity_without_a_time_does_not_replace_a_pending_one(identities):
    record_changes(identities, [changed("new", at=NOW + MINUTE)])
    (pending,) = identities.pending(10)

    identities.record_latest(ANNA, Identity("other", None, acknowledged=False), instead_of=pending)

    assert hashes(identities.pending(10)) == ["new"]


def test_a_returning_identity_is_pending_again(identities):
    record_changes(identities, [changed("A", at=NOW - 2 * MINUTE), changed("B", at=NOW - MINUTE)])
    identities.record_latest(ANNA, Identity("A", NOW - 2 * MINUTE, acknowledged=True))
    (pending,) = identities.pending(10)
    assert pending.hash == "B"

    identities.record_latest(ANNA, Identity("A", NOW, acknowledged=False), instead_of=pending)

    assert hashes(identities.pending(10)) == ["A"]


def test_unknown_users_come_last(identities):
    record_changes(identities, [changed("A", at=NOW - MINUTE), changed("B", BERT)])
    gone, _ = identities.pending(10)

    identities.record_unknown(gone.identity_id)

    assert hashes(identities.pending(10)) == ["B", "A"]
    identities.record_latest(ANNA, Identity("A", NOW - MINUTE, acknowledged=False), instead_of=gone)
    assert hashes(identities.pending(10)) == ["A", "B"]


def test_the_repr_of_an_identity_has_no_number_and_no_hash(identities):
    record_changes(identities, [changed("A-hash")])
    (kept,) = identities.pending(10)

    assert repr(kept) == f"StoredIdentity(identity_id={kept.identity_id}, acknowledged=False)"


def test_a_store_error_quotes_no_values(store_engine):
    identities = SenderIdentities(Store(store_engine).context, "sender")

    with pytest.raises(ConfigError) as failed:
        record_changes(identities, [changed("A-hash")])

    assert (ANNA in str(failed.value), "A-hash" in str(failed.value)) == (False, False)
