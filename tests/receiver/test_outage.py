"""The store is killed during deliveries: none is lost, and none is recorded twice."""

import asyncio
from datetime import timedelta

import pytest
import requests
from sqlalchemy import create_engine

from airflow_provider_wacontacts.receiver import current_store
from demo.postgres import PostgresServer
from tests.receiver.conftest import CONN_ID, SECRET
from tests.receiver.load import bodies_of, deliver_all, differences

DELIVERIES, PER_SECOND, DOWN_S = 200, 100, 2


@pytest.fixture
def server(postgres):
    """A server of this test's own, because it is killed."""
    with PostgresServer() as own:
        yield own


def test_each_delivery_is_recorded_once_if_the_store_is_killed(server, run_receiver, monkeypatch):
    monkeypatch.setattr(current_store, "MAX_WAIT", timedelta(seconds=0.5))
    url = server.url()
    engine = create_engine(url, pool_pre_ping=True)
    receiver, bodies = run_receiver(url, engine), bodies_of(DELIVERIES)

    async def kill_it_meanwhile():
        deliveries = deliver_all(f"{receiver.url}/{CONN_ID}", bodies, secret=SECRET, per_second=PER_SECOND)
        delivering = asyncio.create_task(deliveries)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(server.crash)
        health = await asyncio.to_thread(requests.get, f"{receiver.url}/health", timeout=60)
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(server.restart)
        return health, await delivering

    health, outcome = asyncio.run(kill_it_meanwhile())

    assert (health.status_code, health.json()["store"]) == (503, "unavailable")
    # Repeated deliveries count against the rate limit, too. 0 is no response in time.
    assert {200, 503} <= outcome.statuses.keys() <= {0, 200, 429, 503}
    assert outcome.statuses[200] == DELIVERIES
    assert differences(engine, bodies) == (0, 0)
    assert requests.get(f"{receiver.url}/health", timeout=60).json()["store"] == "available"
    engine.dispose()


def test_a_receiver_starts_while_the_store_is_down(server, run_receiver):
    url = server.url()
    server.crash()
    receiver = run_receiver(url)
    body = bodies_of(2)[1]

    refused = receiver.deliver(body)
    ignored = receiver.deliver(b'{"messages": [{"text": {"body": "example"}}]}')
    server.restart()

    assert (refused.status_code, refused.headers["Retry-After"], refused.content) == (503, "5", b"")
    assert ignored.status_code == 200
    assert receiver.deliver(body).status_code == 200
