"""The sandbox's own time."""

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.sandbox import Clock, Fault
from airflow_provider_wacontacts.sandbox.clock import read_time

NOON = datetime(2022, 9, 12, 12, tzinfo=UTC)


class Seconds:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_clock_stands_still_until_it_is_moved():
    seconds = Seconds()
    clock = Clock("2022-09-12T14:00:00+02:00", monotonic=seconds)
    seconds.now = 1000

    assert clock.now() == NOON
    assert clock.advance(90) == clock.now() == NOON + timedelta(seconds=90)
    assert clock.advance(timedelta(days=-1)) == NOON - timedelta(days=1) + timedelta(seconds=90)
    assert clock.set(NOON) == clock.now() == NOON


def test_a_clock_may_run_and_stop():
    seconds = Seconds()
    clock = Clock(NOON, rate=60, monotonic=seconds)
    seconds.now = 2
    running = clock.now()
    clock.advance(0, rate=0)
    seconds.now = 5

    assert (running, clock.now(), clock.rate) == (NOON + timedelta(minutes=2), NOON + timedelta(minutes=2), 0)


def test_a_time_without_an_offset_is_refused():
    with pytest.raises(ValueError, match="without an offset"):
        read_time("2022-09-12T12:00:00")


def test_every_answer_carries_the_sandboxs_time_once(client, sandbox):
    sandbox.clock.set("2022-09-13T08:00:01.999Z")
    sandbox.fail(Fault(kind="status"))
    answers = [client.create(), client.create(), client.send("GET", "/nowhere"), client.control("GET", "/clock")]

    assert [answer.status_code for answer in answers] == [500, 200, 401, 200]
    assert [answer.headers["Date"] for answer in answers] == ["Tue, 13 Sep 2022 08:00:01 GMT"] * 4
    assert "server" not in answers[0].headers


def test_the_date_may_be_missing_or_another(client, sandbox):
    sandbox.fail(Fault(kind="status", headers={"date": "yesterday"}))
    other = client.create().headers["Date"]
    sandbox.change(send_date=False)

    assert (other, "Date" in client.create().headers) == ("yesterday", False)
