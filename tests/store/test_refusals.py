"""A malformed contact never rejects its batch: only the rows that a database refuses are rejected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine

from airflow_provider_wacontacts.records.record import Record, row_hash
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.batches import Row, dedupe_and_number

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

REFUSED = {
    "overflow": b'{"n":1e200000}',
    "too deep": b'{"n":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "NUL": b'{"n":"\\u0000"}',
    "surrogate": b'{"n":"\\ud800"}',
    "not JSON": b'{"n":',
    "not UTF-8": b'{"n":"\xff"}',
}


def of(contact_id, payload, updated_at=MONDAY):
    return Record(contact_id, updated_at, row_hash(payload), payload)


@pytest.fixture(params=["psycopg2", "psycopg"])
def postgres_landing(request, postgres, postgres_engine, landing_on):
    pytest.importorskip(request.param)
    engine = create_engine(postgres.url(driver=request.param))
    yield landing_on(Store(engine, table_schema=f"refusals_{request.param}"), engine)
    engine.dispose()


@pytest.fixture
def account(request):
    """An account name that no other test uses."""
    return request.node.name


def look(landing, account):
    """Return the contacts, rejects and ledger rows of an account."""
    at = f"{landing.store.context.tables.prefix}wacontacts"
    own = f"extraction_id IN (SELECT extraction_id FROM {at}_extraction WHERE account = :account)"
    contacts = landing.rows(f"SELECT contact_id FROM {at}_current WHERE account = :account ORDER BY 1", account=account)
    rejects = landing.rows(f"SELECT reason, body FROM {at}_reject WHERE {own} ORDER BY 1, 2", account=account)
    ledger = f"SELECT row_count, new_versions, rejected, position FROM {at}_extraction WHERE account = :account"
    return (
        [contact_id for (contact_id,) in contacts],
        [(reason, bytes(body)) for reason, body in rejects],
        landing.rows(ledger, account=account),
    )


@pytest.mark.parametrize("payload", REFUSED.values(), ids=REFUSED)
def test_a_row_that_postgresql_refuses_is_rejected_alone(postgres_landing, account, payload):
    landing = postgres_landing
    good = [of(f"contact {n}", b'{"n":%d}' % n) for n in range(7)]
    extraction = landing.begin(account=account)

    assert landing.land(extraction, *good[:5], of("odd", payload), *good[5:], position=MONDAY + HOUR) == 7

    contacts, rejects, ledger = look(landing, account)
    assert contacts == [f"contact {n}" for n in range(7)]
    assert [body for _, body in rejects] == [payload]
    assert ledger == [(7, 7, 1, MONDAY + HOUR)]


def test_the_reason_contains_no_row_data(postgres_landing, account):
    landing = postgres_landing
    landing.land(landing.begin(account=account), of("bob", b'{"n":1e200000}'), of("eve", b'{"name":"\\u0000"}'))
    assert [reason for reason, _ in look(landing, account)[1]] == [
        "refused by the database (22003)",
        "refused by the database (22P05)",
    ]


def test_a_contact_id_too_long_for_an_index_is_rejected(postgres_landing, account):
    landing = postgres_landing
    long = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(9_000))
    assert landing.land(landing.begin(account=account), of("bob", b"{}"), of(long, b"{}")) == 1
    contacts, rejects, _ = look(landing, account)
    assert (contacts, rejects) == (["bob"], [("refused by the database (54000)", b"{}")])


def test_a_contact_that_no_driver_can_encode_is_rejected(postgres_landing, account):
    landing = postgres_landing
    odd = of("odd", b"{}")._replace(user_id="\ud800")
    assert landing.land(landing.begin(account=account), of("bob", b"{}"), odd, of("zoe", b"{}")) == 2
    contacts, rejects, _ = look(landing, account)
    assert (contacts, rejects) == (["bob", "zoe"], [("refused by the database (UnicodeEncodeError)", b"{}")])


def test_many_malformed_rows_among_many_are_all_found(postgres_landing, account):
    landing = postgres_landing
    records = [of(f"{n:04}", b'{"n":%s}' % (b"1e200000" if n % 50 == 0 else b"%d" % n)) for n in range(1_000)]
    assert landing.land(landing.begin(account=account), *records) == 980
    contacts, rejects, ledger = look(landing, account)
    assert contacts == [f"{n:04}" for n in range(1_000) if n % 50]
    assert (len(rejects), ledger) == (20, [(980, 980, 20, None)])


def test_an_older_version_is_current_if_the_newer_one_is_refused(postgres_landing, account):
    landing = postgres_landing
    states = [of("bob", b'{"n":1}'), of("bob", b'{"n":1e200000}', MONDAY + HOUR)]
    assert landing.land(landing.begin(account=account), *states) == 1
    assert look(landing, account)[0] == ["bob"]


def test_version_ids_are_not_reused_after_a_refusal(postgres_landing, account):
    landing = postgres_landing
    extraction = landing.begin(account=account)
    landing.land(extraction, of("a", b'{"n":1e200000}'), of("b", b'{"n":2}'), of("c", b'{"n":3}'))
    landing.land(extraction, of("d", b'{"n":4}'), of("e", b'{"n":5}'))
    assert look(landing, account)[0] == ["b", "c", "d", "e"]


def test_sqlite_rejects_only_invalid_text(sqlite_landing):
    landing = sqlite_landing
    extraction = landing.begin()
    assert landing.land(extraction, of("a", b"{}"), of("odd", b'{"n":"\xff"}'), of("\ud800", b"{}")) == 1
    assert landing.rows("SELECT contact_id FROM wacontacts_current") == [("a",)]
    assert landing.rows("SELECT reason, body FROM wacontacts_reject ORDER BY 1") == [
        ("refused by the database (UnicodeDecodeError)", b'{"n":"\xff"}'),
        ("refused by the database (UnicodeEncodeError)", b"{}"),
    ]


def test_rows_are_deduplicated_and_numbered_by_contact_then_by_age():
    older, newer, other = of("b", b"1"), of("b", b"2", MONDAY + HOUR), of("a", b"3")
    assert dedupe_and_number([newer, other, older, newer], 7) == [Row(7, other), Row(8, older), Row(9, newer)]
