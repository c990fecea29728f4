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
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.identities import SenderIdentities
from airflow_provider_wacontacts.triggers import positions
from airflow_provider_wacontacts.triggers.whatsapp_business import IdentityChangedTrigger
from tests.identity_changes import record_changes
from tests.triggers.waiting import until

SENDER, OTHER = "+12015550100", "+12015550101"
POLL_S = 0.01
DROP = """
SELECT 'DROP ' || type || ' ' || name FROM sqlite_master
WHERE type IN ('view', 'table') AND name LIKE 'wacontacts%' ORDER BY type DESC
"""


class State:
    """
    The state of one asset, which Airflow keeps in its database.

    :param failures: how often it cannot be written at first.
    """

    def __init__(self, failures: int = 0) -> None:
        self.values: dict[str, Any] = {}
        self.has_changed = asyncio.Event()
        self._failures = failures

    async def aget(self, key: str) -> Any:
        return self.values.get(key)

    async def aset(self, key: str, value: Any) -> None:
        self._failures -= 1
        if self._failures >= 0:
            raise OSError("the API server restarts")
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

    def lose(self, count: int) -> None:
        """Lose the last changes, as a store that is restored from an earlier backup."""

        def work(db: Database) -> None:
            for table, key in (("identity_change_log", "change_id"), ("identity", "identity_id")):
                kept = f"(SELECT max({key}) - {count} FROM wacontacts_{table})"
                db.execute(f"UPDATE sqlite_sequence SET seq = {kept} WHERE name = 'wacontacts_{table}'")
                db.execute(f"DELETE FROM wacontacts_{table} WHERE {key} > {kept}")

        self._store.context.run(work)

    def replace_store(self) -> None:
        """Replace the store by an empty one."""
        self._store.context.run(lambda db: [db.execute(drop) for drop in db.execute(DROP).scalars().all()])
        self._store = open_store("wacontacts_store")
        self._store.prepare()


@pytest.fixture
def connect_sender(declare: Callable[..., None]) -> Callable[..., None]:
    """Declare a connection of a sender."""

    def connect(conn_id: str = "whatsapp_business_default", sender: str = SENDER) -> None:
        extra = {"auth": "bearer", "sender": sender, "allow_http": True}
        declare(conn_id, conn_type="whatsapp_business", host="127.0.0.1", password="x", extra=extra)

    return connect


@pytest.fixture
def connect(declare: Callable[..., None], connect_sender: Callable[..., None], tmp_path: Path) -> Callable[[], None]:
    connect_sender()
    return lambda: declare("wacontacts_store", conn_type="sqlite", host=str(tmp_path / "store.db"))


@pytest.fixture
def changes(connect: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Changes:
    connect()
    monkeypatch.setattr(positions, "STORED_AFTER_S", 0.0)
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


def watch_until_stored(state: State, count: int, **arguments: Any) -> None:
    """Watch until there are so many identities in events, and the position is stored."""

    async def run() -> None:
        state.has_changed.clear()
        async with aclosing(trigger(state, **arguments).run()) as watching:
            await fired(watching, count)
            following = asyncio.create_task(anext(watching))
            async with asyncio.timeout(20):
                await state.has_changed.wait()
            following.cancel()
            await asyncio.wait([following])

    asyncio.run(run())


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
    watch_until_stored(state, 2)
    changes.record(3)

    assert watch(state, 1) == [changes.ids()[2:]]


def test_a_position_is_stored_although_it_could_not_be_at_first(
    changes: Changes, caplog: pytest.LogCaptureFixture
) -> None:
    state = State(failures=2)
    changes.record(1, 2)
    watch_until_stored(state, 2)
    changes.record(3)

    assert watch(state, 1) == [changes.ids()[2:]]
    assert caplog.text.count("was not stored") == 1


def test_a_trigger_that_is_killed_with_its_event_fires_again(changes: Changes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "STORED_AFTER_S", 60.0)
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
    assert [record.getMessage()[:26] for record in caplog.records if record.name == positions.__name__] == [
        "One IdentityChangedTrigger"
    ]


def test_two_senders_whose_changes_one_asset_has_follow_the_log_on_their_own(
    changes: Changes, connect_sender: Callable[..., None]
) -> None:
    state = State()
    changes.record(1, sender=OTHER)
    changes.record(2)
    watch_until_stored(state, 1)
    connect_sender("other", OTHER)

    assert watch(state, 1, whatsapp_business_conn_id="other") == [changes.ids(OTHER)]


def test_another_sender_of_the_connection_loses_no_change(
    changes: Changes, connect_sender: Callable[..., None]
) -> None:
    changes.record(1, sender=OTHER)
    changes.record(2)

    async def run() -> list[list[int]]:
        async with aclosing(trigger(State()).run()) as watching:
            first = await fired(watching, 1)
            connect_sender(sender=OTHER)
            await asyncio.to_thread(changes.record, 3, sender=OTHER)
            return [*first, *await fired(watching, 2)]

    found = [identity_id for event in asyncio.run(run()) for identity_id in event]
    assert found == [*changes.ids(), *changes.ids(OTHER)]


def test_no_number_of_a_sender_is_in_the_state_of_an_asset(changes: Changes) -> None:
    state = State()
    changes.record(1)
    watch_until_stored(state, 1)

    assert SENDER.strip("+") not in json.dumps(state.values)


def test_the_position_in_another_store_does_not_count(changes: Changes) -> None:
    state = State()
    changes.record(1, 2)
    watch_until_stored(state, 2)
    changes.replace_store()
    changes.record(*range(10, 15))

    assert watch(state, 5) == [changes.ids()]
    assert len(changes.ids()) == 5


def test_all_changes_of_a_store_that_is_replaced_meanwhile_fire(changes: Changes) -> None:
    changes.record(1, 2)

    async def run() -> list[list[int]]:
        async with aclosing(trigger(State(), poll_interval=0.5).run()) as watching:
            await fired(watching, 2)
            await asyncio.to_thread(changes.replace_store)
            await asyncio.to_thread(changes.record, *range(10, 15))
            return await fired(watching, 5)

    assert asyncio.run(run()) == [changes.ids()]
    assert len(changes.ids()) == 5


def test_all_pending_identities_fire_after_a_store_has_lost_changes(changes: Changes) -> None:
    changes.record(*range(5))

    async def run() -> list[list[int]]:
        async with aclosing(trigger(State(), poll_interval=0.5).run()) as watching:
            await fired(watching, 5)
            await asyncio.to_thread(changes.lose, 3)
            await asyncio.to_thread(changes.record, 10)
            return await fired(watching, 3)

    assert asyncio.run(run()) == [changes.ids()]
    assert len(changes.ids()) == 3


def test_an_unreachable_store_is_retried_and_reported_once(
    connect: Callable[[], None], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions, "STORED_AFTER_S", 0.0)

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
        stored, "find_change_log", lambda context, find=stored.find_change_log: asked.append(1) or find(context)
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
