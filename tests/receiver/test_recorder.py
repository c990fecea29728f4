"""Deliveries that share a transaction: none waits unnecessarily, and none fails with another."""

import asyncio
import json
import threading
from concurrent.futures import Future
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.identifiers.reader import read_identifier
from airflow_provider_wacontacts.receiver import recorder as recorder_module
from airflow_provider_wacontacts.receiver.recorder import Recorder, UnavailableError
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.erasure import erase
from tests.receiver.conftest import SENDER
from tests.receiver.load import bodies_of

BODIES = bodies_of(10)


def number_of(n):
    return f"+1631555{n:04}"


def body_of(n, status):
    result = {"input": number_of(n), "status": status, "wa_id": number_of(n)[1:]}
    return json.dumps({"contacts": [result]}).encode()


def at_once(work, *arguments):
    """Work without a thread, so that the order of the event loop's steps is the same each time."""
    done = Future()
    done.set_result(work(*arguments))
    return asyncio.wrap_future(done)


async def record(recorder, body):
    try:
        await recorder.record(SENDER, body)
    except UnavailableError:
        return False
    return True


def test_a_delivery_that_arrives_as_a_writer_ends_is_recorded(sqlite_url, monkeypatch):
    monkeypatch.setattr(recorder_module, "in_daemon_thread", at_once)
    recorder = Recorder(Store(create_engine(sqlite_url)))

    async def record_two(steps):
        first = asyncio.create_task(record(recorder, BODIES[1]))
        for _ in range(steps):
            await asyncio.sleep(0)
        second = asyncio.create_task(record(recorder, BODIES[2]))
        return await asyncio.wait_for(asyncio.gather(first, second), timeout=60)

    async def record_pairs():
        return [await record_two(steps) for steps in range(10)]

    assert asyncio.run(record_pairs()) == [[True, True]] * 10


@pytest.fixture
def recorder(postgres_url):
    engine = create_engine(postgres_url)
    recorder = Recorder(Store(engine, max_wait=timedelta(seconds=0.5)))
    recorder.prepare()
    yield recorder
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


def test_a_later_result_of_a_number_does_not_overtake_an_earlier_one(recorder, monkeypatch):
    """Even if another writer is free."""
    monkeypatch.setattr(recorder_module, "WAITING_EACH", 0)
    written, is_first_writing, is_other_written = [], threading.Event(), threading.Event()

    def write(_store, _sender, delivery, **_options):
        if not is_first_writing.is_set():
            is_first_writing.set()
            is_other_written.wait(10)
        written.append([(number, status) for number, (status, *_) in delivery.results.items()])
        is_other_written.set()

    async def deliver():
        first = asyncio.create_task(record(recorder, body_of(1, "valid")))
        await asyncio.to_thread(is_first_writing.wait, 10)
        return await asyncio.gather(
            first, record(recorder, body_of(2, "valid")), record(recorder, body_of(1, "invalid"))
        )

    monkeypatch.setattr(recorder_module, "record_delivery", write)
    assert all(asyncio.run(deliver()))
    assert written == [[(number_of(2), "valid")], [(number_of(1), "valid")], [(number_of(1), "invalid")]]


def test_a_client_gets_a_response_in_time_if_the_store_hangs(recorder, monkeypatch):
    monkeypatch.setattr(recorder_module, "MAX_RESPONSE_S", 0.05)
    end = threading.Event()
    monkeypatch.setattr(recorder_module, "record_delivery", lambda *_, **__: end.wait(10))

    assert not any(record_all(recorder, BODIES[1:4]))
    end.set()


def test_entries_that_cannot_be_read_are_kept_without_what_else_was_delivered(recorder):
    unreadable = {"system": {"type": "user_identity_changed", "identity": "x", "user": "US.1"}}
    inbound = {"from": number_of(1)[1:], "text": {"body": "Quillimar"}}
    body = json.dumps(json.loads(body_of(1, "valid")) | {"messages": [inbound, unreadable]}).encode()
    alone = json.dumps({"messages": [inbound, unreadable | {"id": "alone"}]}).encode()

    assert record_all(recorder, [body, alone, body]) == [True] * 3

    with recorder._store.context.read() as db:
        kept = db.execute("SELECT reason, body FROM {at}wacontacts_reject").all()
        numbers = db.execute("SELECT number FROM {at}wacontacts_number").scalars().all()
    assert numbers == [number_of(1)]
    assert {reason for reason, _ in kept} == {"delivery with entries that cannot be read"}
    assert sorted((json.loads(bytes(body)) for _, body in kept), key=str, reverse=True) == [
        {"messages": [unreadable]},
        {"messages": [unreadable | {"id": "alone"}]},
    ]


def test_an_erasure_that_must_wait_is_continued_by_the_next_delivery(recorder, caplog):
    """The client returns the WhatsApp ID of an erased person for a number, while another task writes contacts."""
    store = recorder._store
    other_number, body = number_of(7), body_of(7, "valid")
    erase(store.context, {read_identifier(other_number[1:-1] + "9").as_wa_id()})
    body = body.replace(f'"wa_id": "{other_number[1:]}"'.encode(), f'"wa_id": "{other_number[1:-1]}9"'.encode())
    assert record_all(recorder, [body_of(7, "valid")]) == [True]

    with store.context.transactions.read() as writer:
        store.context.locks.writer_lock(writer)
        assert record_all(recorder, [body]) == [False]
    assert "an erasure was not completed. Retry." in caplog.text
    assert record_all(recorder, [body]) == [True]

    with store.context.read() as db:
        assert db.execute("SELECT count(*) FROM {at}wacontacts_number").scalar_one() == 0


def test_a_delivery_that_the_store_refuses_fails_alone(recorder, postgres_url):
    (refused,) = json.loads(BODIES[3])["contacts"]
    with create_engine(postgres_url).begin() as other:
        other.execute(text(f"ALTER TABLE wacontacts_number ADD CHECK (number <> '{refused['input']}')"))

    assert record_all(recorder, BODIES) == [body != BODIES[3] for body in BODIES]
    assert record_all(recorder, BODIES[3:4]) == [False]
    assert record_all(recorder, BODIES[4:5]) == [True]
