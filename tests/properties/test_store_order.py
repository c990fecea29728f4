"""
Loading is idempotent and order-independent, with any number of workers: the final tables are the same.

They are equal in SQLite and in PostgreSQL, and equal to a model in plain Python.
"""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from airflow_provider_wacontacts.records.json import canonical
from airflow_provider_wacontacts.records.record import Record, row_hash
from airflow_provider_wacontacts.store import Store, TaskInstanceKey

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
ACCOUNTS = count(1)
EXAMPLES = settings(max_examples=25)


class Step(NamedTuple):
    """One batch that one worker lands."""

    worker: int
    states: list[tuple[str, int, int, bool]]


# Few of each, so that contacts, times and bodies meet: ties on updated_at are the rule.
STATES = st.tuples(st.sampled_from(["a", "b", "B", "é", "\\N"]), st.integers(0, 2), st.integers(0, 2), st.booleans())
STEPS = st.lists(st.builds(Step, st.integers(0, 3), st.lists(STATES, max_size=6)), max_size=10)
SEEN_AT = st.lists(st.integers(0, 3), min_size=4, max_size=4)


def record(contact_id, hour, savings, repaired):
    payload = canonical(json.dumps({"uuid": contact_id, "savings": savings}).encode())
    return Record(contact_id, MONDAY + timedelta(hours=hour), row_hash(payload), payload, f"999{savings}", repaired)


def seen_at(days):
    return MONDAY + timedelta(days=1 + days)


def model(steps, days, account):
    """Work out what a store promises of an account."""
    seen = defaultdict(list)
    for step in steps:
        for state in step.states:
            one = record(*state)
            seen[one._replace(repaired=False)].append((seen_at(days[step.worker]), one.repaired))
    versions = [
        {
            "source": "turn",
            "account": account,
            "contact_id": one.contact_id,
            "updated_at": one.updated_at,
            "row_hash": one.row_hash,
            "state": "present",
            "first_seen_at": min(moment for moment, _ in sightings),
            "last_seen_at": max(moment for moment, _ in sightings),
            "wa_id": one.wa_id,
            "repaired": any(repaired for _, repaired in sightings),
            "payload": json.loads(one.payload),
        }
        for one, sightings in seen.items()
    ]
    versions.sort(key=lambda row: (row["contact_id"], row["updated_at"], row["last_seen_at"], row["row_hash"]))
    followers = [*versions[1:], None]
    ends = [
        follower["updated_at"] if follower and follower["contact_id"] == row["contact_id"] else None
        for row, follower in zip(versions, followers, strict=bool(versions))
    ]
    is_last = [
        follower is None or follower["contact_id"] != row["contact_id"]
        for row, follower in zip(versions, followers, strict=bool(versions))
    ]
    return {
        "version": versions,
        "current": [row for row, last in zip(versions, is_last, strict=True) if last],
        "history": [
            row | {"valid_from": row["updated_at"], "valid_to": end} for row, end in zip(versions, ends, strict=True)
        ],
    }


class Target:
    """A store that is used again and again, each time for an account that nobody used before."""

    def __init__(self, engine, dump):
        self.store = Store(engine)
        self.store.prepare()
        self.engine = engine
        self._dump = dump

    def land(self, steps, days):
        """Land batch by batch, workers taking turns as the steps say; return the account and what is new in all."""
        account, tries = self._begin(days)
        return account, sum(self._land(tries[step.worker], step, days) for step in steps)

    def land_at_once(self, steps, days):
        """Land likewise, each worker in a thread of its own."""
        account, tries = self._begin(days)
        own = [[step for step in steps if step.worker == worker] for worker in tries]
        with ThreadPoolExecutor(len(tries)) as workers:
            done = [
                workers.submit(lambda w=worker: sum(self._land(tries[w], s, days) for s in own[w])) for worker in tries
            ]
        return account, sum(one.result() for one in done)

    def dump(self, account):
        return self._dump(self.engine, account)

    def _begin(self, days):
        account = f"account {next(ACCOUNTS)}"
        given = {"source": "turn", "account": account, "window": None, "options_digest": "", "package_version": "1.2.3"}
        return account, {
            worker: self.store.begin(task=TaskInstanceKey("dag", "run", "task", worker), **given)
            for worker in range(len(days))
        }

    @staticmethod
    def _land(extraction, step, days):
        records, moment = [record(*state) for state in step.states], seen_at(days[step.worker])
        return extraction.write(records, position=None, pages=1, size=0, extracted_at=moment)


@pytest.fixture
def sqlite(sqlite_url, dump_store):
    return Target(create_engine(sqlite_url), dump_store)


@pytest.fixture
def postgresql(postgres_url, dump_store):
    engine = create_engine(postgres_url)
    yield Target(engine, dump_store)
    engine.dispose()


@EXAMPLES
@given(steps=STEPS, days=SEEN_AT)
def test_tables_equal_the_model(sqlite, postgresql, steps, days):
    for target in (sqlite, postgresql):
        account, new = target.land(steps, days)
        expected = model(steps, days, account)
        assert target.dump(account) == expected
        assert new == len(expected["version"])


@EXAMPLES
@given(steps=STEPS, days=SEEN_AT, data=st.data())
def test_tables_are_idempotent_and_order_independent(sqlite, postgresql, steps, days, data):
    other_order = data.draw(
        st.permutations(steps + data.draw(st.lists(st.sampled_from(steps)) if steps else st.just([])))
    )
    for target in (sqlite, postgresql):
        one, _ = target.land(steps, days)
        other, _ = target.land(other_order, days)
        assert without_account(target.dump(one)) == without_account(target.dump(other))


@EXAMPLES
@given(steps=STEPS, days=SEEN_AT)
def test_both_databases_have_the_same_rows(sqlite, postgresql, steps, days):
    dumps = [without_account(target.dump(target.land(steps, days)[0])) for target in (sqlite, postgresql)]
    assert dumps[0] == dumps[1]


@settings(max_examples=15)
@given(steps=STEPS, days=SEEN_AT)
def test_concurrent_workers_end_with_the_same_tables(sqlite, postgresql, steps, days):
    for target in (sqlite, postgresql):
        account, new = target.land_at_once(steps, days)
        expected = model(steps, days, account)
        assert target.dump(account) == expected
        assert new == len(expected["version"])


def without_account(dump):
    return {name: [row | {"account": None} for row in rows] for name, rows in dump.items()}
