"""What a contact looks like on the wire."""

import hashlib
import json

from airflow_provider_wacontacts.sandbox import Event, Raw, TurnBehaviour, World
from airflow_provider_wacontacts.sandbox.core.clock import read_time
from airflow_provider_wacontacts.sandbox.turn.contacts import Renderer

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


def test_raw_values_are_sent_as_they_stand():
    line = written({"remark": Raw(b'"\xff"')}, {"updated_at": Raw(b"1e999")})

    assert line == (
        b'{"details":{"remark":"\xff"},"id":7,"inserted_at":"2022-09-12T08:30:00.123Z",'
        b'"number_id":1,"updated_at":1e999,"uuid":"u-7"}'
    )


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


def test_a_contact_is_written_anew_when_the_behaviour_changes(client, sandbox):
    before = client.rows()[0]["number_id"]
    sandbox.change(number_id=9)

    assert (before, client.rows()[0]["number_id"]) == (1, 9)
