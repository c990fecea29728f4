"""GREEN-API's responses in these tests, in observed forms, and the hook that requests them."""

import json
from datetime import UTC, datetime

from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
from tests.clients.wire import Answer

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ID_INSTANCE = "110100000012"
TOKEN = "example/token+5ec2e7"
QUOTED = "example%2Ftoken%2B5ec2e7"
JSON = {"content-type": "application/json; charset=utf-8"}
HTML = {"content-type": "text/html"}


def path(method="getContacts"):
    return f"/waInstance{ID_INSTANCE}/{method}/{QUOTED}"


def answer(value, status=200):
    return Answer(status, json.dumps(value).encode(), JSON)


def state(name):
    return answer({"stateInstance": name})


def refused(message, status=400):
    """A refusal that repeats the path, the token as it was given, and a contact."""
    told = {"statusCode": status, "timestamp": "2026-11-22T12:00:00.000Z", "path": path(), "message": message}
    return answer(told | {"token": TOKEN, "name": "Ivan Petrov"}, status)


def page(status):
    """What nginx says."""
    return Answer(status, f"<html><head><title>{status}</title></head><body>{path()}</body></html>".encode(), HTML)


IVAN = {"id": "11001234567@c.us", "name": "Ivan Petrov", "type": "user"}
CONTACTS = answer([IVAN])
NO_CONTACTS = answer([])
TOO_MANY = Answer(429)
UNAUTHORIZED = Answer(401, b"", {"content-type": "application/json"})
NO_QUOTA = answer(
    {
        "invokeStatus": {"method": "getContacts", "used": 1000, "total": 1000, "status": "QUOTE_EXCEEDED"},
        "correspondentsStatus": {
            "method": "correspondents",
            "used": "3",
            "total": "3",
            "status": "CORRESPONDENTS_QUOTE_EXCEEDED",
            "description": "Correspondents: 11001234567@c.us, 79001234568@c.us",
        },
    },
    466,
)


def define(connect, wire, conn_id="green_api_default", **fields):
    fields = {"host": wire.url, "login": ID_INSTANCE, "password": TOKEN} | fields
    return connect(conn_id, conn_type="green_api", **fields)


def hook_of(clock, conn_id="green_api_default", **options):
    return GreenApiHook(conn_id, clock=clock, **options)


def ids(snapshot):
    return [record.contact_id for record in snapshot.records(NOON)]


def paths(wire):
    return [(asked.method, asked.path) for asked in wire.asked]
