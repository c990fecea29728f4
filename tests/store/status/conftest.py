"""Accounts and senders of a store, for its status."""

from __future__ import annotations

import pytest

from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.status import Selection, read_accounts, read_watermarks


@pytest.fixture
def feeds_in():
    """Return the feeds of a landing's store."""

    def read(landing, *, sources=(), accounts=(), **changes):
        context, selection = landing.store.context, Selection(frozenset(sources), frozenset(accounts))
        options = {"now": context.now(), "late_after": context.late_after} | changes
        with context.transactions.read() as connection:
            return read_accounts(Database(connection, context.tables), selection, **options)

    return read


@pytest.fixture
def reach_in():
    """Return the watermarks of a landing's store."""

    def read(landing):
        context = landing.store.context
        with context.transactions.read() as connection:
            return read_watermarks(Database(connection, context.tables), Selection(), now=context.now())

    return read
