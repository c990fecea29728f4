"""A store that is looked at."""

from __future__ import annotations

import pytest

from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.status import Selection, read_feeds, read_reach


@pytest.fixture
def feeds_in():
    """Read the feeds of a landing's store."""

    def read(landing, *, sources=(), accounts=(), **changes):
        selection = Selection(frozenset(sources), frozenset(accounts))
        with landing.store.context.transactions.read() as connection:
            options = {"late_after": landing.store.context.late_after} | changes
            return read_feeds(Database(connection, landing.store.context.tables), selection, **options)

    return read


@pytest.fixture
def reach_in():
    """Read how far the feeds of a landing's store reach."""

    def read(landing):
        with landing.store.context.transactions.read() as connection:
            return read_reach(Database(connection, landing.store.context.tables), Selection())

    return read
