"""
Several workers load into one store, page by page in any order, while contacts change between two pages.

Some commit each page, others commit all pages at the end: versions come late, and after newer ones.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.sandbox import Event, TurnBehaviour, World

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WORKERS = 3
TOO_LONG_S = 600
PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)

CONTACTS = st.integers(1, 6)
MOMENTS = st.integers(0, 8).map(lambda hours: MONDAY + hours * HOUR)
EVENTS = st.lists(st.builds(Event, MOMENTS, CONTACTS), min_size=4, max_size=12)
WINDOWS = st.sampled_from([Window(MONDAY, MONDAY + hours * HOUR) for hours in (6, 24, 24)])
#: Whose turn it is, by a worker's number; or how many hours pass until a contact changes: with none it is a tie.
CHANGES = st.tuples(st.integers(0, 1), CONTACTS)
STEPS = st.lists(st.integers(0, WORKERS - 1) | CHANGES, max_size=16)


class Turns:
    """Lets one worker at a time do one page: ask for it, and commit it."""

    def __init__(self, turn: Any, steps: Iterable[Any]) -> None:
        self._turn = turn
        self._steps = iter(steps)
        self._changes = count()
        self._changed = threading.Condition()
        self._at_work: int | None = None
        self._left = set(range(WORKERS))
        self._waiting: set[int] = set()

    def wait(self, worker: int) -> None:
        """Let others go on until it is this one's turn."""
        with self._changed:
            self._waiting.add(worker)
            self._pass_on(worker)
            assert self._changed.wait_for(lambda: self._at_work == worker, TOO_LONG_S)
            self._waiting.discard(worker)

    def leave(self, worker: int) -> None:
        """Have no further page to do."""
        with self._changed:
            self._left.discard(worker)
            self._pass_on(worker)

    def _pass_on(self, worker: int) -> None:
        if self._at_work == worker:
            self._at_work = None
        if self._at_work is None and self._waiting == self._left and self._left:
            self._at_work = self._next()
        self._changed.notify_all()

    def _next(self) -> int:
        for step in self._steps:
            if step in self._left:
                return int(step)
            if isinstance(step, tuple):
                hours, contact = step
                self._turn.clock.advance(hours * HOUR)
                self._turn.upsert(contact, change=next(self._changes))
        return min(self._left)


DAY, MORNING = (Window(MONDAY, MONDAY + hours * HOUR) for hours in (24, 6))
#: The first reads a state and waits; it changes in the same moment; the second lands that; then the first lands.
LATE = {
    "events": [Event(MONDAY, 1)],
    "windows": [DAY, DAY, MORNING],
    "page_sizes": [1] * WORKERS,
    "hasty": [False] * WORKERS,
    "cursor_kind": "keyset",
    "steps": [(1, 1), 0, (0, 1), (1, 2), 1, 1, 1, 0],
}


@settings(max_examples=15, phases=PHASES)
@example(**LATE)
@given(
    events=EVENTS,
    windows=st.lists(WINDOWS, min_size=WORKERS, max_size=WORKERS),
    page_sizes=st.lists(st.integers(1, 3), min_size=WORKERS, max_size=WORKERS),
    hasty=st.lists(st.booleans(), min_size=WORKERS, max_size=WORKERS),
    cursor_kind=st.sampled_from(["keyset", "offset"]),
    steps=STEPS,
)
def test_interleaved_workers_end_with_the_tables_of_the_responses(
    lab: Any,
    *,
    events: list[Event],
    windows: list[Window],
    page_sizes: list[int],
    hasty: list[bool],
    cursor_kind: Any,
    steps: list[Any],
) -> None:
    found = {}
    for place in ("sqlite", "postgresql"):
        behaviour = TurnBehaviour(cursor_kind=cursor_kind)
        bench = lab.bench(World.from_events(events), now=MONDAY + 9 * HOUR, behaviour=behaviour, places=(place,))
        turns = Turns(bench.turn, steps)

        def work(worker: int, bench: Any = bench, turns: Turns = turns, place: str = place) -> str:
            asked = {"page_size": page_sizes[worker], "hasty": hasty[worker]}
            try:
                return str(bench.pull(place, windows[worker], between=lambda: turns.wait(worker), **asked).state)
            finally:
                turns.leave(worker)

        with ThreadPoolExecutor(WORKERS) as pool:
            assert list(pool.map(work, range(WORKERS))) == ["complete"] * WORKERS
        bench.where[place].check()
        found[place] = [row | {"account": None} for row in bench.where[place].read()["history"]]

    assert found["sqlite"] == found["postgresql"]
