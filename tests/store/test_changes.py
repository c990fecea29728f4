"""The change log: the kind of each change, and readers that follow it miss nothing."""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.identifiers.suppression import Contact
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import changes, extractions
from airflow_provider_wacontacts.store.erasure import erase
from tests.store.conftest import DAY, MONDAY

TUESDAY, WEDNESDAY = MONDAY + DAY, MONDAY + 2 * DAY
WRITERS, ROUNDS, CONTACTS, MOMENTS = 4, 12, 20, 30
FOLLOW = """
SELECT change_id, change_kind, version_id, contact_id FROM wacontacts_change
WHERE change_id > :after ORDER BY change_id LIMIT 17
"""


def log(landing):
    return landing.rows("SELECT change_kind, contact_id FROM wacontacts_change ORDER BY change_id")


def test_a_contact_is_new_once_and_then_changed(landing):
    extraction = landing.begin()
    landing.land(extraction, landing.record("bob", MONDAY, v=1), landing.record("eve"))
    landing.land(extraction, landing.record("bob", TUESDAY, v=2))
    assert log(landing) == [("new", "bob"), ("new", "eve"), ("changed", "bob")]


def test_a_version_that_is_seen_again_is_not_a_change(landing):
    extraction = landing.begin()
    landing.land(extraction, landing.record("bob"))
    landing.land(extraction, landing.record("bob"), extracted_at=MONDAY + 9 * DAY)
    assert log(landing) == [("new", "bob")]


def test_a_version_older_than_the_current_one_is_late(landing):
    extraction = landing.begin()
    landing.land(extraction, landing.record("bob", TUESDAY, v=2))
    landing.land(extraction, landing.record("bob", MONDAY, v=1))
    assert log(landing) == [("new", "bob"), ("late", "bob")]


def test_only_the_latest_of_several_versions_in_a_commit_is_not_late(landing):
    landing.land(landing.begin(), landing.record("bob", MONDAY, v=1), landing.record("bob", TUESDAY, v=2))
    found = landing.rows("SELECT change_kind, updated_at FROM wacontacts_change ORDER BY updated_at")
    assert [kind for kind, _ in found] == ["late", "new"]


def test_a_change_has_the_columns_of_its_version(landing):
    extraction = landing.begin()
    landing.land(extraction, landing.record("bob", wa_id="1"))
    columns = (
        "version_id, source, account, contact_id, updated_at, row_hash, state, first_seen_at, extraction_id, wa_id"
    )
    (change,) = landing.rows(f"SELECT {columns} FROM wacontacts_change")
    assert [change] == landing.rows(f"SELECT {columns} FROM wacontacts_version")
    assert change[-2:] == (extraction.extraction_id, "1")


def test_a_contact_of_a_snapshot_is_gone_and_returned(book):
    book.land(MONDAY, ("1@c.us", "Ann"), ("2@c.us", "Ben"), ("3@c.us", "Eve"), ("4@c.us", "Dan"), ("5@c.us", "Joe"))
    book.land(TUESDAY, ("1@c.us", "Ann"), ("2@c.us", "Ben"), ("3@c.us", "Eve"), ("4@c.us", "Dan"))
    book.land(WEDNESDAY, ("1@c.us", "Anna"), ("2@c.us", "Ben"), ("3@c.us", "Eve"), ("4@c.us", "Dan"), ("5@c.us", "Joe"))
    kinds = log(book.landing)
    assert kinds[:5] == [("new", f"{n}@c.us") for n in range(1, 6)]
    assert kinds[5:6] == [("gone", "5@c.us")]
    assert sorted(kinds[6:]) == [("changed", "1@c.us"), ("returned", "5@c.us")]


def test_an_erased_version_leaves_only_its_id(landing):
    landing.land(landing.begin(), landing.record("bob", wa_id="1"), landing.record("eve"))
    (version_id,) = landing.rows("SELECT version_id FROM wacontacts_version WHERE contact_id = 'bob'")[0]
    erase(landing.store.context, [], [Contact("turn", "main", "bob")])
    with landing.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM wacontacts_change ORDER BY change_id")).mappings().all()
    assert [(row["change_kind"], row["contact_id"]) for row in rows] == [
        ("new", None),
        ("new", "eve"),
        ("erased", None),
    ]
    assert [row["version_id"] for row in rows if row["contact_id"] is None] == [version_id] * 2
    filled = {name for name, value in rows[-1].items() if value is not None}
    assert filled == {"change_id", "change_kind", "version_id"}


class CommitInterruptedError(Exception):
    """A worker fails right before it commits."""


@pytest.fixture
def interrupted(monkeypatch):
    """Delay some transactions, and let others fail, after they have got their IDs."""
    chance, write = random.Random("interrupted"), changes.Changes.write

    def write_and_fail(self, connection, context):
        time.sleep(chance.random() / 200)
        write(self, connection, context)
        time.sleep(chance.random() / 200)
        if chance.random() < 0.2:
            raise CommitInterruptedError

    monkeypatch.setattr(extractions.Changes, "write", write_and_fail)


def work(landing, seed):
    """Load windows of some contacts in any order: late ones, repeated ones, and several versions at once."""
    chance = random.Random(seed)
    for turn in range(ROUNDS):
        start = MONDAY + chance.randrange(MOMENTS) * DAY
        extraction = landing.begin(run=f"run {seed} {turn}", window=Window(start, start + DAY))
        for _ in range(3):
            moments = [(chance.randrange(CONTACTS), chance.randrange(MOMENTS)) for _ in range(chance.randint(1, 8))]
            records = [landing.record(f"c{n}", MONDAY + at * DAY, at=at) for n, at in moments]
            try:
                landing.land(extraction, *records, extracted_at=start + timedelta(hours=chance.randrange(1000)))
            except CommitInterruptedError:
                break


def test_a_follower_that_remembers_the_largest_id_misses_nothing(landing, interrupted):
    followed = landing.follow(FOLLOW, [Thread(target=work, args=(landing, seed)) for seed in range(WRITERS)])

    versions = [version_id for (version_id,) in landing.rows("SELECT version_id FROM wacontacts_contact_version")]
    assert sorted(version_id for _, _, version_id, _ in followed) == sorted(versions)
    assert len(versions) > WRITERS * ROUNDS
    contacts = {contact_id for *_, contact_id in followed}
    assert Counter(contact_id for _, kind, _, contact_id in followed if kind == "new") == Counter(contacts)
    latest = {contact_id: version_id for _, kind, version_id, contact_id in followed if kind != "late"}
    assert latest == dict(landing.rows("SELECT contact_id, version_id FROM wacontacts_current"))
