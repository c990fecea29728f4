"""A store that falls silent: its connections stay open, and nothing comes from them."""

import asyncio
import sys
import threading
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.receiver import recorder as recorder_module
from airflow_provider_wacontacts.receiver.recorder import Recorder
from airflow_provider_wacontacts.store import Store
from tests.proxies import SilentProxy
from tests.receiver.test_recorder import body_of, record


@pytest.mark.skipif(sys.platform != "linux", reason="the packet filter is Linux's")
@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_deliveries_are_recorded_over_new_connections(postgres_url, driver):
    pytest.importorskip(driver)
    url = make_url(postgres_url).set(drivername=f"postgresql+{driver}")
    with closing(SilentProxy(url.port)) as proxy:
        engine = create_engine(url.set(port=proxy.port), pool_pre_ping=True)
        recorder = Recorder(Store(engine, max_wait=timedelta(seconds=1)))
        recorder.prepare()

        async def deliver():
            # Both writers, and the probe, have a connection.
            before = await asyncio.gather(*(record(recorder, body_of(n, "valid")) for n in range(20)))
            proxy.silence()
            after = await asyncio.gather(*(record(recorder, body_of(n, "valid")) for n in range(20, 40)))
            return before + after, await recorder.is_available()

        recorded, is_available = asyncio.run(deliver())
        engine.dispose()

    assert all(recorded)
    assert is_available


@pytest.fixture
def recorder(sqlite_url):
    engine = create_engine(sqlite_url)
    recorder = Recorder(Store(engine))
    recorder.prepare()
    yield recorder
    engine.dispose()


@pytest.fixture
def silence():
    """An event that a silent store waits for, so that the test's threads end."""
    event = threading.Event()
    yield event
    event.set()


def test_one_delivery_whose_connection_is_silent_delays_no_other(recorder, monkeypatch, silence):
    monkeypatch.setattr(recorder_module, "SLOW_AFTER_S", 0.05)
    write, is_silent = recorder_module.record_delivery, threading.Event()

    def write_silently(store, sender, delivery, **options):
        if not is_silent.is_set():
            is_silent.set()
            silence.wait(60)
        write(store, sender, delivery, **options)

    monkeypatch.setattr(recorder_module, "record_delivery", write_silently)

    async def deliver():
        stuck = asyncio.create_task(record(recorder, body_of(1, "valid")))
        await asyncio.to_thread(is_silent.wait, 60)
        again = asyncio.create_task(record(recorder, body_of(1, "valid")))
        await asyncio.sleep(0)
        others = await asyncio.gather(*(record(recorder, body_of(n, "valid")) for n in range(2, 5)))
        are_waiting = not stuck.done(), not again.done()
        silence.set()
        return others, are_waiting, await asyncio.gather(stuck, again)

    assert asyncio.run(deliver()) == ([True] * 3, (True, True), [True] * 2)


def test_a_connection_that_stays_silent_is_given_up(recorder, monkeypatch, silence, caplog):
    """A proxy before the store acknowledges packets, so that no time limit of TCP applies."""
    monkeypatch.setattr(recorder_module, "MAX_WRITE_S", 0.05)
    recorder._is_down = True
    write, written = recorder_module.record_delivery, []

    def write_silently(store, sender, delivery, **options):
        written.append(delivery)
        if len(written) == 1:
            silence.wait(60)
        write(store, sender, delivery, **options)

    monkeypatch.setattr(recorder_module, "record_delivery", write_silently)

    async def deliver():
        first = await record(recorder, body_of(1, "valid"))
        monkeypatch.setattr(recorder_module, "MAX_WRITE_S", 60)
        return first, await record(recorder, body_of(1, "valid"))

    assert asyncio.run(deliver()) == (False, True)
    assert "The store has been silent for 0 seconds." in caplog.text


def test_a_silent_store_is_unavailable_until_a_query_returns(recorder, monkeypatch, silence):
    monkeypatch.setattr(recorder_module, "HEALTH_WITHIN_S", 0.05)
    read = recorder._can_read
    monkeypatch.setattr(recorder, "_can_read", lambda: silence.wait(60) and read())

    async def ask():
        during = [await recorder.is_available() for _ in range(3)]
        monkeypatch.setattr(recorder, "_can_read", read)
        monkeypatch.setattr(recorder_module, "HEALTH_WITHIN_S", 60)
        recorder._probed_at = float("-inf")
        return during, await recorder.is_available()

    assert asyncio.run(ask()) == ([False] * 3, True)


def test_a_receiver_ends_while_its_store_is_silent(recorder, monkeypatch, silence):
    monkeypatch.setattr(recorder_module, "MAX_CLOSE_S", 0.05)
    writing, is_writing = [], threading.Event()

    def write(*_, **__):
        writing.append(threading.current_thread())
        is_writing.set()
        silence.wait(60)

    monkeypatch.setattr(recorder_module, "record_delivery", write)

    async def deliver():
        delivering = asyncio.create_task(record(recorder, body_of(1, "valid")))
        await asyncio.to_thread(is_writing.wait, 60)
        await recorder.close()
        return delivering.done()

    assert asyncio.run(deliver()) is False
    assert [thread.daemon for thread in writing] == [True]
