"""A running sandbox, and a client that uses only HTTP."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
import requests

from airflow_provider_wacontacts.sandbox import (
    Event,
    GreenApiBehaviour,
    Sandbox,
    TurnBehaviour,
    WhatsAppBehaviour,
    World,
    bob,
)

ACCEPT = "application/vnd.v1+json"
MONDAY = datetime(2022, 9, 12, tzinfo=UTC)


class Sender:
    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False

    def send(self, method, path, **options):
        return self.session.request(method, self.sandbox.url + path, timeout=60, **options)

    def control(self, method, path, body=None):
        return self.send(method, "/sandbox" + path, json=body)


class Client(Sender):
    """A client of Turn.io's mock server."""

    def __init__(self, sandbox):
        super().__init__(sandbox)
        self.headers = {"Authorization": f"Bearer {sandbox.token}", "Accept": ACCEPT}

    def create(self, start="2022-09-12T00:00:00.000Z", until="2022-09-13T00:00:00.000Z", **options):
        body = {"from": start, "until": until, **options}
        return self.send("POST", "/v1/data/contacts/cursor", json=body, headers=self.headers)

    def page(self, cursor):
        return self.send("GET", f"/v1/data/contacts/cursor/{quote(cursor, safe='')}", headers=self.headers)

    def cursor(self, *window, **options):
        answer = self.create(*window, **options)
        answer.raise_for_status()
        return answer.json()["cursor"]

    def pages(self, *window, **options):
        cursor, pages = self.cursor(*window, **options), []
        while cursor:
            answer = self.page(cursor)
            answer.raise_for_status()
            pages.append(answer.json()["data"])
            cursor = (answer.json().get("paging") or {}).get("next")
        return pages

    def rows(self, *window, **options):
        return [row for page in self.pages(*window, **options) for row in page]

    def ids(self, *window, **options):
        return [row["id"] for row in self.rows(*window, **options)]


class Business(Sender):
    """A client of the WhatsApp Business API's mock server."""

    def __init__(self, sandbox):
        super().__init__(sandbox)
        self.headers = {"Authorization": "Bearer example-bearer"}

    def login(self, username="example-user", password="example-Password-1", **options):
        return self.send("POST", "/v1/users/login", auth=(username, password), **options)

    def check(self, *numbers, **options):
        return self.send("POST", "/v1/contacts", json={"contacts": numbers, **options}, headers=self.headers)

    def entries(self, *numbers, **options):
        answer = self.check(*numbers, **options)
        answer.raise_for_status()
        return answer.json()["contacts"]

    def statuses(self, *numbers, **options):
        return [entry["status"] for entry in self.entries(*numbers, **options)]

    def identity(self, wa_id="16315551000"):
        return self.send("GET", f"/v1/contacts/{wa_id}/identity", headers=self.headers)

    def acknowledge(self, identity_hash, wa_id="16315551000"):
        path = f"/v1/contacts/{wa_id}/identity"
        return self.send("PUT", path, json={"hash": identity_hash}, headers=self.headers)


class Instance(Sender):
    """A client of GREEN-API's mock server."""

    path = "/waInstance1101000001"

    def ask(self, method, token="example-token", **parameters):
        return self.send("GET", f"{self.path}/{method}/{quote(token, safe='')}", params=parameters)

    def contacts(self, **parameters):
        return self.ask("getContacts", **parameters)

    def rows(self, **parameters):
        answer = self.contacts(**parameters)
        answer.raise_for_status()
        return answer.json()

    def ids(self, **parameters):
        return [row["id"] for row in self.rows(**parameters)]


@pytest.fixture(scope="session")
def server():
    with Sandbox(bob()) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server):
    """Bob's world on Tuesday at eight, as started."""
    server.load(
        bob(),
        now="2022-09-13T08:00:00Z",
        behaviour=TurnBehaviour(),
        whatsapp=WhatsAppBehaviour(),
        green_api=GreenApiBehaviour(),
    )
    return server


@pytest.fixture
def client(sandbox):
    return Client(sandbox)


@pytest.fixture
def business(sandbox):
    return Business(sandbox)


@pytest.fixture
def whatsapp(sandbox):
    """What can be done to the WhatsApp Business API client."""
    return sandbox.whatsapp


@pytest.fixture
def instance(sandbox):
    return Instance(sandbox)


@pytest.fixture
def account(sandbox):
    """What can be done to GREEN-API's account."""
    return sandbox.green_api


@pytest.fixture
def line_of():
    """A world of so many contacts, updated on Monday, a minute after one another, by ascending id."""

    def make(count):
        moments = (MONDAY + timedelta(minutes=number) for number in range(count))
        return World.from_events(
            Event(at=at, id=number, details={"name": f"Quillimar {number}"}) for number, at in enumerate(moments, 1)
        )

    return make
