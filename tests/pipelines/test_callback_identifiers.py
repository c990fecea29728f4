"""Identifiers in webhook deliveries: stored by kind, and linked only if the delivery is verified."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.callbacks import RecordedCallback, record_callback
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.pipelines.erasure import erase_people, read_people
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.identifier_changes import changed_identifiers, delete_identifier_changes

SENDER = "+12015550100"
ANNA = "16315551000"


@pytest.fixture
def rows(store_engine):
    def read(query):
        with store_engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    return read


def delivery(**members):
    return json.dumps(members).encode()


def result(number, wa_id):
    return {"input": number, "status": "valid", "wa_id": wa_id}


def changed_number(previous, current, **members):
    system = {"body": "changed", "new_wa_id": current, "type": "user_changed_number", **members}
    return {"from": previous, "id": "example", "system": system, "timestamp": "1602535356", "type": "system"}


def test_a_changed_number_is_recorded_and_merges_nothing(store_engine, rows):
    body = delivery(messages=[changed_number(ANNA, "16315558890", previous_user_id="US.1", user_id="US.2")])
    other = {"type": "user_changed_user_id", "previous_user_id": "US.2", "user_id": "US.3"}
    recorded = record_callback(store_engine, SENDER, body)
    record_callback(store_engine, SENDER, body)
    record_callback(store_engine, SENDER, delivery(messages=[{"system": other}]))

    assert recorded == RecordedCallback(identifier_changes=2)
    assert rows("SELECT kind, previous_value, current_value FROM wacontacts_identifier_change ORDER BY 1 DESC, 2") == [
        ("wa_id", ANNA, "16315558890"),
        ("user_id", "US.1", "US.2"),
        ("user_id", "US.2", "US.3"),
    ]
    assert rows("SELECT * FROM wacontacts_directory") == []
    context = Store(store_engine).context
    with context.read() as db:
        offered = changed_identifiers(db, [Identifier(Kind.NUMBER, f"+{ANNA}"), Identifier(Kind.USER_ID, "US.2")])
    assert offered == {
        Identifier(Kind.WA_ID, "16315558890"),
        Identifier(Kind.USER_ID, "US.1"),
        Identifier(Kind.USER_ID, "US.3"),
    }
    assert context.run(lambda db: delete_identifier_changes(db, [Identifier(Kind.USER_ID, "US.2")])) == 2
    assert rows("SELECT kind FROM wacontacts_identifier_change") == [("wa_id",)]


@pytest.mark.parametrize(("verified", "wa_id"), [(False, None), (True, "16315551999")])
def test_a_callback_links_a_number_with_an_id_only_if_it_is_verified(store_engine, rows, verified, wa_id):
    body = delivery(contacts=[result("+16315551000", "16315551999")])
    record_callback(store_engine, SENDER, body, verified=verified)

    assert rows("SELECT status, wa_id, person_key FROM wacontacts_number") == [("valid", wa_id, wa_id or "16315551000")]


def test_invalid_ids_in_a_verified_callback_link_no_numbers(store_engine, rows):
    contacts = [result(f"+1631555{n:04}", wa_id) for n, wa_id in enumerate(["0", "12", "1" * 16, "me"] * 25)]
    record_callback(store_engine, SENDER, delivery(contacts=contacts), verified=True)

    assert rows("SELECT count(*) FROM wacontacts_number WHERE wa_id IS NOT NULL OR person_key <> number_key") == [(0,)]


@pytest.mark.parametrize(
    ("stated", "columns"),
    [
        ("120650379300963@lid", (None, "120650379300963@lid", None)),
        ("120650379300963:1@hosted.lid", (None, "120650379300963@lid", None)),
        ("120363043968066561@g.us", (None, None, None)),
        ("US.13491208655302741918", (None, None, "US.13491208655302741918")),
        ("16315551000:12@s.whatsapp.net", ("16315551000", None, None)),
    ],
)
def test_an_id_is_stored_by_its_kind(store_engine, rows, stated, columns):
    record_callback(store_engine, SENDER, delivery(contacts=[result("+16315551000", stated)]), verified=True)

    assert rows("SELECT wa_id, lid, user_id FROM wacontacts_number") == [columns]


def test_a_forged_link_does_not_extend_an_erasure_to_another_person(store_engine, rows):
    attacker, victim = "+16315551000", "+16315559999"
    forged = [result(attacker, victim[1:]), result(f"+1{attacker[2:-1]}1", victim[1:])]
    record_callback(store_engine, SENDER, delivery(contacts=[result(victim, victim[1:])]), verified=True)
    record_callback(store_engine, SENDER, delivery(contacts=forged))
    store = Store(store_engine)

    erase_people(read_people([attacker]), store=store)

    assert rows("SELECT number FROM wacontacts_number ORDER BY number") == [("+16315551001",), (victim,)]
    record_callback(store_engine, SENDER, delivery(contacts=[result(victim, victim[1:])]), verified=True)
    assert rows("SELECT wa_id FROM wacontacts_number WHERE number = '+16315559999'") == [(victim[1:],)]
