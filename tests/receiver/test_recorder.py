"""Deliveries that share a transaction: none waits for nothing, and none fails with another."""

import asyncio
import json
from concurrent.futures import Executor, Future
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.receiver.recorder import Recorder, UnavailableError
from airflow_provider_wacontacts.store import Store
from tests.receiver.conftest import SENDER
from tests.receiver.load import bodies_of

BODIES = bodies_of(10)


class AtOnce(Executor):
    """Runs what is submitted at once, so that the order of the event loop's steps is the same each time."""

    def submit(self, work, /, *args, **options):
        done = Future()
        done.set_result(work(*args, **options))
        return done


async def record(recorder, body):
    try:
        await recorder.record(SENDER, body, received_at=datetime.now(UTC))
    except UnavailableError:
        return False
    return True


def test_a_delivery_that_arrives_as_a_writer_ends_is_recorded(sqlite_url):
    recorder = Recorder(Store(create_engine(sqlite_url)))
    recorder._threads = AtOnce()

    async def record_two(steps):
        first = asyncio.create_task(record(recorder, BODIES[1]))
        for _ in range(steps):
            await asyncio.sleep(0)
        second = asyncio.create_task(record(recorder, BODIES[2]))
        return await asyncio.wait_for(asyncio.gather(first, second), timeout=10)

    async def record_pairs():
        return [await record_two(steps) for steps in range(10)]

    assert asyncio.run(record_pairs()) == [[True, True]] * 10


@pytest.fixture
def recorder(postgres_url):
    engine = create_engine(postgres_url)
    recorder = Recorder(Store(engine, max_wait=timedelta(seconds=0.5)))
    recorder.prepare()
    yield recorder
    recorder.close()
    engine.dispose()


def record_all(recorder, bodies):
    async def work():
        return await asyncio.gather(*(record(recorder, body) for body in bodies))

    return asyncio.run(work())


def test_deliveries_that_wait_for_a_lock_are_refused_together(recorder, postgres_url, caplog):
    with create_engine(postgres_url).begin() as other:
        other.execute(text("LOCK TABLE wacontacts_number"))

        assert not any(record_all(recorder, BODIES[1:]))

    messages = {record.getMessage() for record in caplog.records}
    assert messages
    assert all("is locked by another session" in message for message in messages)
    assert all(record_all(recorder, BODIES))


def test_a_delivery_that_the_store_refuses_fails_alone(recorder, postgres_url):
    (refused,) = json.loads(BODIES[3])["contacts"]
    with create_engine(postgres_url).begin() as other:
        other.execute(text(f"ALTER TABLE wacontacts_number ADD CHECK (number <> '{refused['input']}')"))

    assert record_all(recorder, BODIES) == [body != BODIES[3] for body in BODIES]
    assert record_all(recorder, BODIES[3:4]) == [False]
    assert record_all(recorder, BODIES[4:5]) == [True]
