"""What a contact looks like on the wire."""

import hashlib
import json

import pytest

from airflow_provider_wacontacts.sandbox import Event, Raw, TurnBehaviour, World
from airflow_provider_wacontacts.sandbox.clock import read_time
from airflow_provider_wacontacts.sandbox.contacts import Renderer
from airflow_provider_wacontacts.sandbox.hostile import HOSTILE
from airflow_provider_wacontacts.sandbox.population import seeded_world

AT = read_time("2022-09-12T08:30:00.123456Z")


def written(details=None, extra=None, rules=None, **behaviour):
    world = World.from_events([Event(at=AT, id=7, uuid="u-7", details=details or {}, extra=extra or {})])
    return Renderer(world).contact(next(iter(world)), TurnBehaviour(**behaviour), rules)


def test_a_contact_has_the_contracts_keys():
    assert json.loads(written({"name": "Droswick"})) == {
        "details": {"name": "Droswick"},
        "id": 7,
        "inserted_at": "2022-09-12T08:30:00.123Z",
        "number_id": 1,
        "updated_at": "2022-09-12T08:30:00.123Z",
        "uuid": "u-7",
    }


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("millis", "2022-09-12T08:30:00.123Z"),
        ("micros", "2022-09-12T08:30:00.123456Z"),
        ("seconds", "2022-09-12T08:30:00Z"),
        ("offset", "2022-09-12T08:30:00+00:00"),
    ],
)
def test_times_are_written_as_the_behaviour_says(style, text):
    assert json.loads(written(time_format=style))["updated_at"] == text


def test_text_is_written_in_ascii_and_read_back_as_it_was():
    name = 'žluťoučký "👩🏽‍⚕️"\n\x00\ud83d'
    line = written({"name": name})

    assert line.isascii()
    assert json.loads(line)["details"]["name"] == name


def test_raw_values_are_sent_as_they_stand():
    line = written({"remark": Raw(b'"\xff"')}, {"updated_at": Raw(b"1e999")})

    assert line == (
        b'{"details":{"remark":"\xff"},"id":7,"inserted_at":"2022-09-12T08:30:00.123Z",'
        b'"number_id":1,"updated_at":1e999,"uuid":"u-7"}'
    )


def test_undocumented_keys_can_be_added():
    assert json.loads(written({"whatsapp_id": "447700900001"}, {"plan": "x"}, extra_keys=True)) == {
        **json.loads(written({"whatsapp_id": "447700900001"})),
        "type": "WHATSAPP",
        "urn": "+447700900001",
        "organisation_id": 1,
        "external_id": None,
        "failure_count": 0,
        "is_deleted": False,
        "is_fallback_active": False,
        "last_update_origin": "journey",
        "last_seen_at": "2022-09-12T08:29:59.123456Z",
        "plan": "x",
    }


def test_custom_fields_come_in_any_number_and_most_are_null():
    details = json.loads(written(custom_fields=300))["details"]

    assert (len(details), details["field_000"], "field_299" in details) == (300, None, True)
    assert 10 < sum(value is not None for value in details.values()) < 100


def test_null_custom_fields_may_be_absent_and_reserved_ones_never():
    assert json.loads(written({"name": None, "clinic": None}, null_custom_fields="absent"))["details"] == {"name": None}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_hostile_values_stand_in_a_field_of_their_own(kind):
    line = written(hostile_share=1.0, hostile=(kind,))

    assert b'"details":{"hostile":' + HOSTILE[kind] + b"}" in line


def test_hostile_values_hit_a_share_of_the_contacts():
    world, behaviour = seeded_world(contacts=200), TurnBehaviour(hostile_share=0.2)
    renderer = Renderer(world)
    newest = world.current(world.end)
    hit = [event.id for event in newest if b'"hostile":' in renderer.contact(event, behaviour)]

    assert 15 < len(hit) < 70


def test_scrubbing_hashes_and_replaces_what_is_there():
    rules = {
        "details.name": {"type": "hash"},
        "details.whatsapp_id": {"type": "regex", "search": r"\d{6}$", "replace": "******"},
        "details.surname": {"type": "hash"},
        "details.visits": {"type": "hash"},
    }
    details = {"name": "Oxanthe", "whatsapp_id": "447700900001", "surname": None, "visits": 3}

    assert json.loads(written(details, rules=rules))["details"] == {
        "name": hashlib.sha256(b"Oxanthe").hexdigest(),
        "whatsapp_id": "447700******",
        "surname": None,
        "visits": hashlib.sha256(b"3").hexdigest(),
    }


def test_scrubbing_rules_of_a_request_hold_for_its_pages(client):
    (row,) = client.rows(scrubbing_rules={"details.name": {"type": "hash"}})

    assert row["details"]["name"] == hashlib.sha256(b"bob").hexdigest()
    assert client.rows()[0]["details"]["name"] == "bob"


def test_ignored_scrubbing_rules_send_everything(client, sandbox):
    sandbox.change(scrubbing_option="ignore")

    assert client.rows(scrubbing_rules={"details.name": {"type": "hash"}})[0]["details"]["name"] == "bob"


def test_a_contact_is_written_anew_when_the_behaviour_changes(client, sandbox):
    before = client.rows()[0]["number_id"]
    sandbox.change(number_id=9)

    assert (before, client.rows()[0]["number_id"]) == (1, 9)
