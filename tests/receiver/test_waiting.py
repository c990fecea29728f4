"""The order in which deliveries are recorded, whatever is slow: the store, another number, or parsing."""

import asyncio
import json
import threading

import pytest

from airflow_provider_wacontacts.receiver import recorder as recorder_module
from airflow_provider_wacontacts.receiver import waiting as waiting_module
from airflow_provider_wacontacts.receiver.recorder import LARGE_DELIVERY, Recorder
from airflow_provider_wacontacts.receiver.waiting import Waiting, WaitingDeliveries
from tests.receiver.conftest import SENDER
from tests.receiver.test_recorder import body_of, number_of, record


def large(body):
    return body + b" " * LARGE_DELIVERY


@pytest.fixture
def written(monkeypatch):
    """What a recorder writes: the number and the status of each result."""
    written = []

    def write(_store, _sender, delivery, **_options):
        written.extend((number, status) for number, (status, *_) in delivery.results.items())

    monkeypatch.setattr(recorder_module, "record_delivery", write)
    return written


@pytest.fixture
def recorder(written):
    recorder = Recorder(None)
    recorder._is_prepared = True
    return recorder


@pytest.fixture
def slow_parsing(monkeypatch):
    """An event that large deliveries wait for."""
    parse, event = waiting_module.parse_delivery, threading.Event()

    def parse_slowly(body, sender):
        if len(body) > LARGE_DELIVERY:
            assert event.wait(60)
        return parse(body, sender)

    monkeypatch.setattr(waiting_module, "parse_delivery", parse_slowly)
    yield event
    event.set()


def test_a_small_delivery_does_not_overtake_a_large_one_that_is_being_parsed(recorder, written, slow_parsing):
    async def deliver():
        first = asyncio.create_task(record(recorder, large(body_of(1, "invalid"))))
        await asyncio.sleep(0)
        second = asyncio.create_task(record(recorder, body_of(1, "valid")))
        await asyncio.sleep(0.05)
        slow_parsing.set()
        return await asyncio.gather(first, second)

    assert asyncio.run(deliver()) == [True, True]
    assert written == [(number_of(1), "invalid"), (number_of(1), "valid")]


def test_a_delivery_whose_parsing_takes_too_long_is_refused_and_delays_no_other(
    recorder, written, slow_parsing, monkeypatch
):
    async def deliver():
        monkeypatch.setattr(recorder_module, "MAX_RESPONSE_S", 0.05)
        first = asyncio.create_task(record(recorder, large(body_of(1, "invalid"))))
        await asyncio.sleep(0)
        monkeypatch.setattr(recorder_module, "MAX_RESPONSE_S", 60)
        second = asyncio.create_task(record(recorder, body_of(2, "valid")))
        return await asyncio.gather(first, second)

    assert asyncio.run(deliver()) == [False, True]
    assert written == [(number_of(2), "valid")]


def test_deliveries_that_wait_to_be_parsed_are_counted(recorder, slow_parsing, monkeypatch):
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 1)

    async def deliver():
        first = asyncio.create_task(record(recorder, large(body_of(1, "valid"))))
        await asyncio.sleep(0)
        refused = await record(recorder, large(body_of(2, "valid")))
        slow_parsing.set()
        return await first, refused

    assert asyncio.run(deliver()) == (True, False)


def test_a_large_delivery_without_anything_to_record_needs_no_store(recorder, written):
    assert asyncio.run(record(recorder, large(b'{"messages": []}')))
    assert written == []


# What is taken next


@pytest.fixture
def queue():
    return WaitingDeliveries()


def parsed(body, sender=SENDER):
    waiting = Waiting(sender, body, asyncio.Future(loop=asyncio.new_event_loop()))
    waiting.parse()
    waiting.is_ready = True
    return waiting


def taken(queue):
    group = queue.take()
    return group and group.members


def test_only_deliveries_of_a_number_that_is_being_written_wait(queue):
    slow, same, other, both, third = (
        parsed(body)
        for body in (
            body_of(1, "valid"),
            body_of(1, "invalid"),
            body_of(2, "valid"),
            json.dumps({"contacts": [{"input": number_of(n), "status": "failed"} for n in (1, 3)]}).encode(),
            body_of(3, "valid"),
        )
    )
    queue.add(slow)
    group = queue.take()
    for waiting in (same, other, both, third):
        queue.add(waiting)

    assert taken(queue) == [other]
    assert taken(queue) is None
    queue.release(group)
    assert taken(queue) == [same]


def test_a_delivery_whose_client_has_left_is_dropped(queue):
    first, second = parsed(body_of(1, "valid")), parsed(body_of(2, "valid"))
    queue.add(first)
    queue.add(second)
    first.done.cancel()

    assert taken(queue) == [second]
    assert len(queue) == 0


def test_a_delivery_that_cannot_be_read_is_taken_with_others_of_its_sender(queue):
    unreadable, readable, others = parsed(b"["), parsed(body_of(1, "valid")), parsed(body_of(2, "valid"), "another")
    for waiting in (unreadable, readable, others):
        queue.add(waiting)

    group = queue.take()

    assert group.members == [unreadable, readable]
    assert group.together == readable.delivery
    assert taken(queue) == [others]


def test_changes_that_share_a_transaction_are_limited(queue):
    def changes(first):
        systems = [
            {"type": "user_identity_changed", "user": number_of(first + n)[1:], "identity": "x"} for n in range(600)
        ]
        return json.dumps({"messages": [{"system": system} for system in systems]}).encode()

    first, second = parsed(changes(0)), parsed(changes(600))
    queue.add(first)
    queue.add(second)

    assert [taken(queue), taken(queue)] == [[first], [second]]
