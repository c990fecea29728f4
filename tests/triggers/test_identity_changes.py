"""The trigger of asset watchers fires for each identity that becomes pending, even if the store fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.store import open_store
from airflow_provider_wacontacts.records.identities import IdentityChange
from airflow_provider_wacontacts.store import identities as stored
from airflow_provider_wacontacts.store.identities import SenderIdentities
from airflow_provider_wacontacts.triggers import whatsapp_business
from airflow_provider_wacontacts.triggers.whatsapp_business import IdentityChangedTrigger
from tests.identity_changes import record_changes
from tests.triggers.waiting import until

SENDER, OTHER = "+12015550100", "+12015550101"
POLL_S = 0.01
KEY = "wacontacts.wacontacts_store.change_id"


class State:
    """The state of one asset, which Airflow keeps in its database."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.has_changed = asyncio.Event()

    async def aget(self, key: str) -> Any:
        return self.values.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = value
        self.has_changed.set()


class StateOfTwoAssets(State):
    async def aget(self, key: str) -> Any:
        raise ValueError("Task has 2 concrete inlets and outlets")


class Changes:
    """Identity changes in a store."""

    def __init__(self) -> None:
        self._store = open_store("wacontacts_store")
        self._store.prepare()

    def of(self, sender: str) -> SenderIdentities:
        return SenderIdentities(self._store.context, sender)

    def record(self, *numbers: int, sender: str = SENDER) -> None:
        at = datetime(2026, 11, 2, tzinfo=UTC)
        record_changes(self.of(sender), [IdentityChange(f"1631555{n:04}", f"hash{n}", at) for n in numbers])

    def ids(self, sender: str = SENDER) -> list[int]:
        return [identity_id for _, identity_id in self.of(sender).changes(0, 10_000)]


@pytest.fixture
def connect(declare: Callable[..., None], tmp_path: Path) -> Callable[[], None]:
    declare("whatsapp_business_default", conn_type="whatsapp_business", host="127.0.0.1", password="x", extra=_extra())
    return lambda: declare("wacontacts_store", conn_type="sqlite", host=str(tmp_path / "store.db"))


def _extra() -> dict[str, Any]:
    return {"auth": "bearer", "sender": SENDER, "allow_http": True}


@pytest.fixture
def changes(connect: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Changes:
    connect()
    monkeypatch.setattr(whatsapp_business, "STORED_AFTER_S", 0.0)
    return Changes()


def trigger(state: State | None = None, **arguments: Any) -> IdentityChangedTrigger:
    """Make a trigger as the triggerer does: from what was serialized."""
    made = IdentityChangedTrigger(**{"poll_interval": POLL_S, **arguments})
    made = IdentityChangedTrigger(**json.loads(json.dumps(made.serialize()[1])))
    made.asset_state_store = state
    return made


async def fired(watching: AsyncIterator[Any], count: int) -> list[list[int]]:
    """Return the identities of the next events, until there are so many."""
    events: list[list[int]] = []
    async with asyncio.timeout(20):
        while sum(map(len, events)) < count:
            events.append((await anext(watching)).payload["identity_ids"])
    return events


def watch(state: State | None, count: int, **arguments: Any) -> list[list[int]]:
    async def run() -> list[list[int]]:
        async with aclosing(trigger(state, **arguments).run()) as watching:
            return await fired(watching, count)

    return asyncio.run(run())


def test_each_change_fires_once_and_in_order(changes: Changes) -> None:
    changes.record(*range(5))

    async def run() -> list[list[int]]:
        async with aclosing(trigger(State(), limit=2).run()) as watching:
            first = await fired(watching, 5)
            await asyncio.to_thread(changes.record, 5, 6)
            return [*first, *await fired(watching, 2)]

    ids = changes.ids()
    assert asyncio.run(run()) == [ids[:2], ids[2:4], ids[4:], changes.ids()[5:]]


def test_only_pending_identities_of_the_sender_fire(changes: Changes) -> None:
    changes.record(1, 2)
    changes.record(3, sender=OTHER)
    acknowledged, pending = changes.ids()
    changes.of(SENDER).record_acknowledged(acknowledged)

    assert watch(State(), 1) == [[pending]]


def test_a_restarted_trigger_continues_after_the_last_stored_event(changes: Changes) -> None:
    state = State()
    changes.record(1, 2)

    async def run_until_stored() -> None:
        async with aclosing(trigger(state).run()) as watching:
            await fired(watching, 2)
            following = asyncio.create_task(anext(watching))
            async with asyncio.timeout(20):
                await state.has_changed.wait()
            following.cancel()
            await asyncio.wait([following])

    asyncio.run(run_until_stored())
    changes.record(3)

    assert watch(state, 1) == [changes.ids()[2:]]


def test_a_trigger_that_is_killed_with_its_event_fires_again(changes: Changes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whatsapp_business, "STORED_AFTER_S", 60.0)
    state = State()
    changes.record(1, 2)

    assert watch(state, 2) == watch(state, 2) == [changes.ids()]
    assert state.values == {}


def test_without_asset_state_all_pending_identities_fire_at_each_start(changes: Changes) -> None:
    changes.record(1, 2)

    assert watch(None, 2) == watch(None, 2) == [changes.ids()]


def test_two_assets_of_one_trigger_are_logged_as_a_warning(changes: Changes, caplog: pytest.LogCaptureFixture) -> None:
    changes.record(1)

    assert watch(StateOfTwoAssets(), 1) == [changes.ids()]
    assert [record.getMessage()[:26] for record in caplog.records if record.name == whatsapp_business.__name__] == [
        "One IdentityChangedTrigger"
    ]


def test_the_position_in_another_store_does_not_count(changes: Changes) -> None:
    state = State()
    state.values[KEY] = 1_000
    changes.record(1)

    assert watch(state, 1) == [changes.ids()]


def test_an_unreachable_store_is_retried_and_reported_once(
    connect: Callable[[], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whatsapp_business, "STORED_AFTER_S", 0.0)

    async def run() -> list[list[int]]:
        async with aclosing(trigger(State()).run()) as watching:
            event = asyncio.create_task(anext(watching))
            await until(lambda: "cannot be read currently" in caplog.text)
            await asyncio.sleep(5 * POLL_S)
            connect()
            await asyncio.to_thread(lambda: Changes().record(1))
            async with asyncio.timeout(20):
                return [(await event).payload["identity_ids"]]

    ((identity_id,),) = asyncio.run(run())
    assert isinstance(identity_id, int)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len([line for line in warnings if "'wacontacts_store' is not defined" in line]) == 1


def test_triggers_of_one_store_share_its_query(changes: Changes, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_stream = pytest.importorskip("airflow.triggers.shared_stream")
    asked = []
    monkeypatch.setattr(
        stored, "newest_change", lambda context, newest=stored.newest_change: asked.append(1) or newest(context)
    )
    changes.record(*range(3))

    async def run() -> list[list[list[int]]]:
        manager = shared_stream.SharedStreamManager()
        triggers = [trigger(State(), limit=limit, poll_interval=60) for limit in (1, 2, 3)]
        assert len({each.shared_stream_key() for each in triggers}) == 1
        streams = [
            each.filter_shared_stream(manager.subscribe(trigger_id=number, trigger=each, key=each.shared_stream_key()))
            for number, each in enumerate(triggers)
        ]
        try:
            return await asyncio.gather(*(fired(stream, 3) for stream in streams))
        finally:
            await manager.stop_all()

    ids = changes.ids()
    by_limit = asyncio.run(run())
    assert [[one for event in events for one in event] for events in by_limit] == [ids] * 3
    assert list(map(len, by_limit)) == [3, 2, 1]
    assert asked == [1]


@pytest.mark.parametrize("wrong", [{"poll_interval": 0}, {"poll_interval": "10"}, {"limit": 0}, {"limit": "500"}])
def test_invalid_arguments_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        IdentityChangedTrigger(**wrong)
