"""With pseudonyms, checked people have the same key in the directory as contacts."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.callbacks import record_callback
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import pseudonymize
from airflow_provider_wacontacts.records.green_api import parse_snapshot
from airflow_provider_wacontacts.records.identities import IdentityChange
from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer
from airflow_provider_wacontacts.records.turn import parse_page
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.identities import SenderIdentities
from airflow_provider_wacontacts.store.pseudonym_keys import recompute_keys
from tests.identity_changes import record_changes

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
KEY = b"example-pseudonym-secret"
SENDER = "+12015550100"
#: phonenumbers' example of a Brazilian mobile number, and its WhatsApp ID.
NUMBER, WA_ID = "+5511961234567", "551161234567"
PSEUDONYM = pseudonymize(Identifier(Kind.WA_ID, WA_ID), KEY)
TASK = TaskInstanceKey("contacts", "run", "task")


@pytest.fixture
def store(store_engine):
    store = Store(store_engine, secret=KEY, now=lambda: NOW)
    store.prepare()
    return store


def land_turn(store, wa_id):
    page = parse_page(
        b'{"data":[{"uuid":"a","updated_at":"2026-11-01T00:00:00Z","number_id":1,"details":{"whatsapp_id":"%s"}}]}'
        % wa_id.encode()
    )
    records, _ = page.pseudonymized(Pseudonymizer(KEY, ["details.whatsapp_id"])).records()
    window = Window(NOW - timedelta(days=2), NOW - timedelta(days=1))
    begun = store.begin(source="turn", account="main", window=window, task=TASK, options_digest="", package_version="0")
    begun.write(records, position=None, pages=1, size=1, extracted_at=NOW)
    begun.finish()


def land_green_api(store, wa_id):
    snapshot = parse_snapshot(f'[{{"id":"{wa_id}@c.us","name":"Ann"}}]'.encode()).pseudonymized(
        Pseudonymizer(KEY, ["id", "name"])
    )
    begun = store.begin_snapshot(
        source="green_api", account="phone", group=None, task=TASK, options_digest="", package_version="0"
    )
    begun.write(lambda: snapshot.records(NOW), extracted_at=NOW, size=1)


def check(store, number=NUMBER, wa_id=WA_ID, status="valid"):
    checks = SenderChecks(store.context, SENDER, daily_checks=10)
    begun = checks.open(CheckSpec(TASK, "", "0", fresh_after=NOW))
    begun.fill([CheckInput(number, number)])
    for number_ids in begun.queued(10):
        leased = begun.lease(number_ids)
        begun.record(CheckResults(dict.fromkeys(leased.numbers, (status, wa_id)), NOW, NOW, "v2.41.2"))
    begun.finish()


def directory(store):
    columns = "wa_id, turn_account, green_api_account, number, status, identity_pending"
    with store.context.transactions.read() as connection:
        rows = connection.execute(text(f"SELECT {columns} FROM wacontacts_directory ORDER BY wa_id")).all()
    return [(*row[:5], None if row[5] is None else bool(row[5])) for row in rows]


def test_a_person_is_one_row_over_all_feeds_keyed_by_the_pseudonym_of_the_returned_id(store):
    land_turn(store, WA_ID)
    land_green_api(store, WA_ID)
    check(store)
    record_changes(SenderIdentities(store.context, SENDER), [IdentityChange(WA_ID, "example-hash", NOW)])

    assert directory(store) == [(PSEUDONYM, "main", "phone", None, "valid", True)]


def test_a_number_without_an_id_is_keyed_by_the_pseudonym_of_its_digits(store):
    check(store, wa_id=None, status="invalid")

    assert directory(store) == [(pseudonymize(Identifier(Kind.NUMBER, NUMBER), KEY), None, None, None, "invalid", None)]


def test_the_directory_contains_no_numbers(store):
    check(store)
    record_changes(SenderIdentities(store.context, SENDER), [IdentityChange(WA_ID, "example-hash", NOW)])
    with store.context.transactions.read() as connection:
        (row,) = connection.execute(text("SELECT * FROM wacontacts_directory")).all()

    assert [value for value in row if NUMBER[1:] in str(value) or WA_ID in str(value)] == []


@pytest.mark.parametrize("other", [None, b"another secret of 16 bytes"])
def test_another_secret_is_refused_until_the_keys_are_recomputed(store, store_engine, other):
    check(store)
    record_changes(SenderIdentities(store.context, SENDER), [IdentityChange(WA_ID, "example-hash", NOW)])
    changed = Store(store_engine, secret=other, now=lambda: NOW)
    with pytest.raises(ConfigError, match="wacontacts store repseudonymize"):
        changed.prepare()
    with pytest.raises(ConfigError, match="pseudonym_secret"):
        record_callback(store_engine, SENDER, b'{"contacts":[{"input":"%s","status":"valid"}]}' % NUMBER.encode())

    assert recompute_keys(changed.context) == 2
    changed.prepare()
    key = pseudonymize(Identifier(Kind.WA_ID, WA_ID), other) if other else WA_ID
    assert directory(changed) == [(key, None, None, None if other else NUMBER, "valid", True)]
    with pytest.raises(ConfigError, match="pseudonym_secret"):
        store.prepare()
