"""Privileges in PostgreSQL: the suppression list, and accounts with row-level security."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.store import Store, upgrade
from airflow_provider_wacontacts.store.erasure import erase

TABLES = [f"contacts.wacontacts_{name}" for name in ("contact_version", "contact_payload", "contact_current")]
TABLES.append("contacts.wacontacts_change_log")
BOB = Identifier(Kind.WA_ID, "15551230000")
ACCOUNT = "account_id IN (SELECT account_id FROM contacts.wacontacts_account WHERE account = 'main')"


def write(engine, *statements):
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def count(engine, name):
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT count(*) FROM contacts.wacontacts_{name}")).scalar()


@pytest.fixture
def roles(postgres, postgres_database):
    """The owner of a store, a worker that may write it, and a reader of all tables."""
    owner = create_engine(postgres.url(database=postgres_database))
    upgrade(owner, "contacts")
    for role in ("worker", "reader"):
        write(
            owner,
            f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
            f"GRANT USAGE ON SCHEMA contacts TO {role}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA contacts TO {role}",
        )
    write(owner, "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA contacts TO worker")
    engines = [owner, *(create_engine(owner.url.set(username=role)) for role in ("worker", "reader"))]
    yield engines
    for engine in engines:
        engine.dispose()


def test_only_writers_can_read_the_suppression_list_and_its_key(roles):
    owner, worker, reader = roles
    erase(Store(worker, table_schema="contacts").context, [BOB])
    assert [count(owner, name) for name in ("erased", "erased_key")] == [1, 1]
    assert [count(worker, name) for name in ("erased", "erased_key")] == [1, 1]
    assert [count(reader, name) for name in ("erased", "erased_key")] == [0, 0]
    assert Store(worker, table_schema="contacts").suppression_list().has(BOB)


def test_row_level_security_applies_to_the_views(roles, landing_on):
    owner, _, reader = roles
    with owner.connect() as connection:
        if connection.dialect.server_version_info < (15,):
            pytest.skip("views check their owner's rights before PostgreSQL 15")
    for table in TABLES:
        write(
            owner,
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY team ON {table} TO reader USING ({ACCOUNT})",
        )
    landing = landing_on(Store(owner, table_schema="contacts"))
    landing.land(landing.begin(), landing.record("bob", wa_id="1"))
    landing.land(landing.begin(account="other"), landing.record("eve", wa_id="2"), landing.record("joe", wa_id="3"))

    views = ("version", "current", "history", "change")
    assert [count(owner, view) for view in views] == [3, 3, 3, 3]
    assert [count(reader, view) for view in views] == [1, 1, 1, 1]
    assert [count(owner, "directory"), count(reader, "directory")] == [3, 1]
