"""A store, tries and contacts to land."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.landing.sql import Store, Task
from airflow_provider_wacontacts.protocol.records import Record, canonical, row_hash
from airflow_provider_wacontacts.protocol.windows import Window

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NUMBERS = count(1)


class Landing:
    """A store that is ready, and what is done with it again and again."""

    def __init__(self, engine, dump, store=None):
        self.engine = engine
        self.store = store or Store(engine, now=lambda: MONDAY + 30 * DAY)
        self.store.prepare()
        self._dump = dump

    def begin(self, run="run", **changes):
        """Begin a try at Monday's window, or at whatever is named otherwise."""
        given = {
            "source": "turn",
            "account": "main",
            "window": Window(MONDAY, MONDAY + DAY),
            "task": Task("dag", run, "task"),
            "options_digest": "options",
            "package_version": "1.2.3",
        }
        return self.store.begin(**given | changes)

    @staticmethod
    def land(extraction, *records, **changes):
        """Land one page of ten bytes, five minutes after Monday, or otherwise as named."""
        given = {"position": None, "pages": 1, "size": 10, "extracted_at": MONDAY + DAY + timedelta(minutes=5)}
        return extraction.land(records, **given | changes)

    @staticmethod
    def record(contact_id="bob", updated_at=MONDAY, *, wa_id=None, repaired=False, **fields):
        """Make a contact of some fields."""
        payload = canonical(json.dumps({"uuid": contact_id, **fields}).encode())
        return Record(contact_id, updated_at, row_hash(payload), payload, wa_id, repaired)

    def dump(self, account="main"):
        """Read what the store promises of an account."""
        return self._dump(self.engine, account)

    def rows(self, query, **values):
        """Read rows as they come."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]


@pytest.fixture
def landing(store_engine, dump_store):
    return Landing(store_engine, dump_store)


@pytest.fixture
def landing_on(dump_store):
    """Make a landing of a store."""
    return lambda store, engine=None: Landing(engine, dump_store, store)


@pytest.fixture
def sqlite_landing(sqlite_url, dump_store):
    engine = create_engine(sqlite_url)
    yield Landing(engine, dump_store)
    engine.dispose()


@pytest.fixture
def postgres_landing(postgres, postgres_engine, dump_store):
    """A landing in a schema of its own, by psycopg2."""
    name = f"own_{next(NUMBERS)}"
    with postgres_engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    engine = create_engine(f"{postgres.url()}?options=-csearch_path%3D{name}")
    yield Landing(engine, dump_store)
    engine.dispose()
