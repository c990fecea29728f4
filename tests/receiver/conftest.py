"""A receiver on a real socket, whose connections are in the environment."""

import json
import threading
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest

import pytest
import requests
import uvicorn
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.receiver import create_app
from airflow_provider_wacontacts.receiver.protocol import LimitedProtocol

SENDER = "+12015550100"
SECRET, PATH = "example-secret-of-the-webhook", "example-path-of-a-client-that-signs-nothing"
CONN_ID = "whatsapp_business_default"


def sign(body, secret=SECRET):
    return b64encode(digest(secret.encode(), body, sha256)).decode()


@dataclass
class Receiver:
    """A running receiver, and the store that it writes to."""

    url: str
    engine: object

    def post(self, body, path=CONN_ID, **headers):
        return requests.post(f"{self.url}/{path}", body, headers=headers, timeout=60)

    def deliver(self, body, **headers):
        return self.post(body, **{"X-Turn-Hook-Signature": sign(body), **headers})

    @property
    def port(self):
        return int(self.url.rpartition(":")[2])

    def rows(self, query):
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    @property
    def is_untouched(self):
        tables = ("number", "identity", "identifier_change", "reject")
        return not any(self.rows(f"SELECT * FROM wacontacts_{table}") for table in tables)


def connection_to(url):
    """Make an Airflow connection of a SQLAlchemy URL."""
    url = make_url(url)
    if url.get_backend_name() == "sqlite":
        return {"conn_type": "wacontacts_store", "host": url.database}
    schema = dict(url.query).get("options", "").partition("=")[2]
    parts = {"host": url.host, "port": url.port, "schema": url.database, "login": url.username}
    return {"conn_type": "wacontacts_store", **parts, "extra": {"table_schema": schema} if schema else {}}


@pytest.fixture
def connect(monkeypatch):
    """Define an Airflow connection."""

    def define(conn_id=CONN_ID, **fields):
        fields = {"conn_type": "whatsapp_business", "host": "127.0.0.1", **fields}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    define(extra={"sender": SENDER, "webhook_secret": SECRET})
    return define


@pytest.fixture
def run_receiver(connect):
    """Start a receiver for a store of a URL."""
    with ExitStack() as stack:

        def start(store_url, engine=None, conn_ids=(CONN_ID,), **options):
            connect("wacontacts_store", **connection_to(store_url))
            config = uvicorn.Config(
                create_app(conn_ids, **options), port=0, http=LimitedProtocol, log_config=None, access_log=False
            )
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            while not server.started:
                assert thread.is_alive()
                thread.join(0.01)
            (listening,) = server.servers[0].sockets
            return Receiver(f"http://127.0.0.1:{listening.getsockname()[1]}", engine)

        yield start


@pytest.fixture
def receiver(run_receiver, sqlite_url):
    engine = create_engine(sqlite_url)
    yield run_receiver(sqlite_url, engine)
    engine.dispose()


@pytest.fixture
def each_receiver(run_receiver, store_url, store_engine):
    """A receiver with each kind of store."""
    return run_receiver(store_url, store_engine)
