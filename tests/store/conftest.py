"""A store, attempts and contacts to load."""

from __future__ import annotations

import json
import multiprocessing
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.records.json import canonical
from airflow_provider_wacontacts.records.record import Record, row_hash
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from tests.conftest import plain_id

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NUMBERS = count(1)
#: Worker processes are forked from a server process that has already imported their modules.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [f"tests.store.{module}" for module in ("checks.test_workers", "test_workers", "test_schema")]
)


class Landing:
    """A prepared store, with common test steps."""

    def __init__(self, engine, dump, store=None):
        self.engine = engine
        self.store = store or Store(engine, now=lambda: MONDAY + 30 * DAY)
        self.store.prepare()
        self._dump = dump

    def begin(self, run="run", **changes):
        """Begin an extraction of Monday's window, unless arguments differ."""
        return self.store.begin(**self.given(run) | changes)

    @staticmethod
    def given(run):
        """Return the arguments of an extraction of Monday's window."""
        return {
            "source": "turn",
            "account": "main",
            "window": Window(MONDAY, MONDAY + DAY),
            "task": TaskInstanceKey("dag", run, "task"),
            "options_digest": "options",
            "package_version": "1.2.3",
        }

    @staticmethod
    def land(extraction, *records, **changes):
        """Load one page of ten bytes, five minutes after Monday, unless arguments differ."""
        given = {"position": None, "pages": 1, "size": 10, "extracted_at": MONDAY + DAY + timedelta(minutes=5)}
        return extraction.write(records, **given | changes)

    @staticmethod
    def record(contact_id="bob", updated_at=MONDAY, *, wa_id=None, repaired=False, **fields):
        """Return a record with these fields."""
        payload = canonical(json.dumps({"uuid": contact_id, **fields}).encode())
        return Record(contact_id, updated_at, row_hash(payload), payload, wa_id, repaired)

    def follow(self, query, writers):
        """Run writing threads; return the rows of a query that a follower reads meanwhile, a few at a time."""
        followed, after = [], 0
        for writer in writers:
            writer.start()
        while True:
            ended = not any(writer.is_alive() for writer in writers)
            if rows := self.rows(query, after=after):
                followed.extend(rows)
                after = rows[-1][0]
            elif ended:
                return followed

    def dump(self, account="main"):
        """Return all public rows of an account."""
        return self._dump(self.engine, account)

    def rows(self, query, **values):
        """Return the rows of a query."""
        with self.engine.connect() as connection:
            return [tuple(map(plain_id, row)) for row in connection.execute(text(query), values)]


class Book:
    """An account of GREEN-API, to load snapshots."""

    def __init__(self, landing):
        self.landing = landing

    def begin(self, run="run", *, group=None, **changes):
        given = {"source": "green_api", "account": "main", "options_digest": f"group {group}", "package_version": "1"}
        task = TaskInstanceKey("dag", run, "task")
        return self.landing.store.begin_snapshot(**given | {"task": task, "group": group} | changes)

    def land(self, moment, *contacts, group=None, rejects=(), begun=None, **given):
        """Load a snapshot of names by ID, or of IDs only; return the result."""
        records = [self.record(*((one, "") if isinstance(one, str) else one)) for one in contacts]
        begun = begun or self.begin(f"run of {moment}", group=group)
        return begun.write(lambda: iter(records), rejects, **{"extracted_at": moment, "size": 10} | given)

    def record(self, contact_id, name, *, repaired=False):
        wa_id = contact_id.removesuffix("@c.us") if contact_id.endswith("@c.us") else None
        return self.landing.record(contact_id, MONDAY + 99 * DAY, wa_id=wa_id, repaired=repaired, name=name)

    def states(self):
        """Return the names of present contacts by ID, and ``None`` for gone ones."""
        return {
            row["contact_id"]: row["payload"]["name"] if row["state"] == "present" else None
            for row in self.landing.dump()["current"]
        }

    def history(self, contact_id):
        return [
            (row["state"], row["payload"]["name"], row["valid_from"], row["valid_to"], row["last_seen_at"])
            for row in self.landing.dump()["history"]
            if row["contact_id"] == contact_id
        ]

    def people(self, count):
        return [f"{10_000_000_000 + n}@c.us" for n in range(count)]


@pytest.fixture
def landing(store_engine, dump_store):
    return Landing(store_engine, dump_store)


@pytest.fixture
def landing_on(dump_store):
    """Return a landing of a store."""
    return lambda store, engine=None: Landing(engine, dump_store, store)


@pytest.fixture
def sqlite_landing(sqlite_url, dump_store):
    engine = create_engine(sqlite_url)
    yield Landing(engine, dump_store)
    engine.dispose()


@pytest.fixture
def postgres_landing(postgres, postgres_engine, dump_store):
    """A landing in a new schema, with psycopg2."""
    name = f"own_{next(NUMBERS)}"
    with postgres_engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    engine = create_engine(f"{postgres.url()}?options=-csearch_path%3D{name}")
    yield Landing(engine, dump_store)
    engine.dispose()


@pytest.fixture
def book_of():
    """Return an account in a landing's store."""
    return Book


@pytest.fixture
def book(landing):
    return Book(landing)


@pytest.fixture
def sqlite_book(sqlite_landing):
    return Book(sqlite_landing)


@pytest.fixture
def postgres_book(postgres_landing):
    return Book(postgres_landing)
