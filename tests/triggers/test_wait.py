"""The trigger waits until a time, and returns the attempt."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_wacontacts.triggers import wait
from airflow_provider_wacontacts.triggers.wait import WaitUntilTrigger
from tests.triggers.waiting import Place, event_of, numbers, trigger

PAST = datetime(2022, 9, 13, tzinfo=UTC)


async def events_of(trigger: WaitUntilTrigger) -> list[Any]:
    return [event.payload async for event in trigger.run()]


def test_serialize_returns_the_path_and_plain_arguments() -> None:
    berlin = timezone(timedelta(hours=2))

    path, arguments = WaitUntilTrigger(datetime(2022, 9, 13, 2, tzinfo=berlin), attempt=3).serialize()

    assert path == "airflow_provider_wacontacts.triggers.wait.WaitUntilTrigger"
    assert json.loads(json.dumps(arguments)) == {"until": "2022-09-13T00:00:00+00:00", "attempt": 3}


def test_a_serialized_trigger_is_restored() -> None:
    trigger = WaitUntilTrigger(PAST, attempt=2)

    assert WaitUntilTrigger(**trigger.serialize()[1]).serialize() == trigger.serialize()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock(PAST)
    monkeypatch.setattr(wait, "datetime", clock)
    monkeypatch.setattr(wait, "asyncio", clock)
    return clock


def test_a_past_time_fires_after_the_minimum_deferral(clock: FakeClock) -> None:
    events = asyncio.run(events_of(WaitUntilTrigger(PAST - timedelta(days=1), attempt=4)))

    assert events == [{"until": "2022-09-12T00:00:00+00:00", "attempt": 4}]
    assert clock.naps == [10.0]


def test_it_sleeps_until_the_time_and_fires_once(clock: FakeClock) -> None:
    events = asyncio.run(events_of(WaitUntilTrigger(PAST + timedelta(seconds=130))))

    assert (clock.naps, len(events)) == ([60.0, 60.0, 10.0], 1)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        WaitUntilTrigger("2022-09-13T00:00:00")


def test_a_resolved_check_fires_after_the_minimum_deferral(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "MIN_DEFERRAL", timedelta(seconds=0.5))
    place.api.whatsapp.change(processing_share=0.0)
    check = place.check(numbers(1))
    started = time.monotonic()

    event = asyncio.run(event_of(trigger(check)))

    assert event["state"] == "resolved"
    assert time.monotonic() - started >= 0.5


class FakeClock:
    """A clock that moves only when somebody sleeps."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment
        self.naps: list[float] = []

    def now(self, tz: Any) -> datetime:
        return self.moment.astimezone(tz)

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.moment += timedelta(seconds=seconds)
