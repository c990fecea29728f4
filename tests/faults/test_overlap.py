"""One page is fetched ahead while another is loaded, and received pages are kept."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wacontacts.exceptions import ContractError
from airflow_provider_wacontacts.pipelines import turn_load
from airflow_provider_wacontacts.sandbox import Event, Fault, Sandbox, TurnBehaviour, World

#: Files are written as they come.
pytestmark = pytest.mark.parametrize("task", ["store"], indirect=True)
MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
PAGES, PAGE_SIZE = 6, 2
Until = Callable[[Callable[[], bool]], None]


@pytest.fixture(autouse=True)
def contacts(turn: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn.io has six pages, each of which is a batch."""
    monkeypatch.setattr(turn_load, "BATCH_ROWS", 1)
    world = World.from_events(Event(MONDAY + timedelta(minutes=n), n + 1) for n in range(PAGES * PAGE_SIZE))
    turn.load(world, now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=PAGE_SIZE))


@pytest.fixture
def lock(task: Any) -> Iterator[sqlite3.Connection]:
    """Lets nobody write to the store from ``BEGIN IMMEDIATE`` on, until it is rolled back."""
    connection = sqlite3.connect(task.store_path, isolation_level=None, check_same_thread=False)
    with closing(connection):
        yield connection


def run(task: Any, lock: sqlite3.Connection) -> tuple[threading.Thread, list[Any]]:
    """Start a sync whose first page cannot be loaded while the lock is held."""
    ends: list[Any] = []

    def sync() -> None:
        try:
            ends.append(task.run(before_page=lambda number: number == 1 and lock.execute("BEGIN IMMEDIATE")))
        except ContractError as error:
            ends.append(error)

    thread = threading.Thread(target=sync)
    thread.start()
    return thread, ends


def test_one_page_is_fetched_ahead_while_another_is_loaded(
    task: Any, turn: Sandbox, lock: sqlite3.Connection, until: Until
) -> None:
    thread, ends = run(task, lock)
    until(lambda: turn.requests.count("page") == 3)
    thread.join(0.3)
    assert (turn.requests.count("page"), task.landed()) == (3, [])

    lock.rollback()
    thread.join()

    assert (ends[0]["state"], ends[0]["rows"], len(task.landed())) == ("complete", 12, 12)
    assert task.ask("SELECT pages FROM wacontacts_extraction") == [(PAGES,)]


def test_pages_received_before_an_error_are_loaded_and_not_fetched_again(
    task: Any, turn: Sandbox, lock: sqlite3.Connection, until: Until
) -> None:
    turn.fail(Fault(kind="html", on="page", skip=2))
    thread, ends = run(task, lock)
    until(lambda: turn.requests.count("page") == 3)

    lock.rollback()
    thread.join()

    assert isinstance(ends[0], ContractError)
    assert len(task.landed()) == 2 * PAGE_SIZE
    assert task.run()["state"] == "complete"
    assert turn.requests.asked[-1]["from"] == "2022-09-12T00:02:59.999Z"
    assert len(task.landed()) == PAGES * PAGE_SIZE
