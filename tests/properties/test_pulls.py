"""
Tables and files equal a model of the responses, for random syncs at any time, in any order and repeated.

Every example syncs over a real socket into SQLite, PostgreSQL and files, and compares all three with a model in plain
Python of the sandbox's responses, and with the contents of the windows at that time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.sandbox import Event, Fault, Raw, TurnBehaviour, World, bob
from airflow_provider_wacontacts.sandbox.core.clock import read_time, write_time

MONDAY, TUESDAY, WEDNESDAY = (datetime(2022, 9, day, tzinfo=UTC) for day in (12, 13, 14))
MILLISECOND, MINUTE, HOUR, DAY = timedelta(milliseconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
#: Explaining a failure takes longer than finding it, where every example talks to a server.
PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)
PLACES = ("sqlite", "postgresql", "files")

#: Few moments, and neighbours among them: ties, and borders of windows, come often.
AROUND_START, AROUND_END = [n * MILLISECOND for n in range(4)], [DAY + n * MILLISECOND for n in (-1, 0, 1)]
TIMES = [MONDAY + span for span in (*AROUND_START, HOUR, 2 * HOUR, 5 * HOUR, *AROUND_END)]
MOMENTS = st.sampled_from(TIMES)
#: The clock goes back as often as on, to times when much or little has happened.
CLOCKS = st.sampled_from([MONDAY + hours * HOUR for hours in (1, 3, 6, 12, 24)])
CONTACTS = st.integers(1, 7)
VALUES = st.sampled_from([None, 0, 1, "", "1", "naïve ☎ \U0001f33b", ["a", None], {"b": None, "a": {"c": None}}])
EVENTS = st.lists(
    st.builds(Event, MOMENTS, CONTACTS, details=st.fixed_dictionaries({"value": VALUES})), min_size=3, max_size=14
)
WINDOWS = st.just(Window(MONDAY, TUESDAY)) | st.sampled_from([Window(*pair) for pair in combinations(TIMES, 2)])


ASKED = ("lookback", "page_size", "ordering", "cursor_per_page", "hasty")


@dataclass(frozen=True)
class SetClock:
    now: datetime

    def on(self, bench: Any) -> None:
        bench.turn.clock.set(self.now)


@dataclass(frozen=True)
class Change:
    contact: int
    value: Any

    def on(self, bench: Any) -> None:
        bench.turn.upsert(self.contact, value=self.value)


@dataclass(frozen=True)
class PullWindow:
    """
    :param killed_after: the first tries are killed when they want so many pages and one.
    :param expires_after: the cursor expires once, after so many pages.
    """

    window: Window
    lookback: timedelta
    page_size: int | None
    ordering: str | None
    cursor_per_page: bool
    killed_after: tuple[int, ...] = ()
    expires_after: int | None = None
    hasty: bool = False

    def on(self, bench: Any) -> None:
        for place in bench.where:
            self.into(bench, place)
            bench.where[place].check()
        self.check_nothing_is_missing(bench)

    def into(self, bench: Any, place: str, between_tries: Callable[[], None] = lambda: None) -> None:
        if self.expires_after is not None:
            bench.turn.fail(Fault(on="page", kind="expired", skip=self.expires_after))
        asked = {name: getattr(self, name) for name in ASKED}
        run_id = f"run {bench.turn.requests.count()}"
        for pages in (*self.killed_after, None):
            if bench.pull(place, self.window, run_id=run_id, pages=pages, **asked):
                break
            between_tries()
        bench.turn.faults.clear()

    def check_nothing_is_missing(self, bench: Any) -> None:
        inclusive, style = bench.turn.behaviour.from_inclusive, bench.turn.behaviour.time_format
        start = self.window.start - self.lookback
        held = {
            (event.uuid, read_time(write_time(event.at, style)))
            for event in bench.turn.world.current(bench.turn.clock.now())
            if start < event.at < self.window.end or (inclusive and event.at == start)
        }
        for place in bench.where.values():
            assert held <= {(key[0], key[1]) for key in place.model.seen}, place.name


ORDERINGS = (None, "asc", "desc")


def pulls(orderings: Iterable[str | None], *, may_stop: bool) -> st.SearchStrategy[PullWindow]:
    """:param may_stop: tries are killed and cursors expire."""
    always: dict[str, Any] = {
        "window": WINDOWS,
        "lookback": st.sampled_from([timedelta(0), MILLISECOND, 10 * MINUTE, DAY]),
        "page_size": st.none() | st.integers(1, 5),
        "ordering": st.sampled_from(orderings),
        "cursor_per_page": st.booleans(),
        "hasty": st.booleans(),
    }
    stops: dict[str, Any] = {
        "killed_after": st.lists(st.integers(0, 4), max_size=3).map(tuple),
        "expires_after": st.none() | st.integers(0, 4),
    }
    return st.builds(PullWindow, **always, **(stops if may_stop else {}))


@dataclass(frozen=True)
class Scenario:
    events: list[Event]
    behaviour: TurnBehaviour
    steps: list[Any]


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """
    Contacts, a server and what is done.

    A server that neither says nor is asked how it orders, and orders by something else than time, is one where nothing
    may stop half way: contacts that happen to ascend up to there make an order that is none.
    """
    behaviour = draw(
        st.builds(
            TurnBehaviour,
            page_size=st.integers(1, 5),
            cursor_kind=st.sampled_from(["keyset", "offset"]),
            default_ordering=st.sampled_from(["asc", "desc", "id", "shuffled"]),
            last_page=st.sampled_from(["missing", "null", "empty", "next_null", "next_empty"]),
            trailing_empty_page=st.booleans(),
            from_inclusive=st.booleans(),
            until_inclusive=st.booleans(),
            cursor_needs_quoting=st.booleans(),
            single_use_cursors=st.booleans(),
            send_date=st.booleans(),
        )
    )
    steps = st.one_of(
        st.builds(SetClock, CLOCKS),
        st.builds(Change, CONTACTS, VALUES),
        pulls(ORDERINGS, may_stop=False),
        pulls(ORDERINGS if behaviour.default_ordering in ("asc", "desc") else ("asc", "desc"), may_stop=True),
    )
    return Scenario(draw(EVENTS), behaviour, draw(st.lists(steps, min_size=2, max_size=8)))


def without_last_seen(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [row | {"last_seen_at": None} for row in rows] for name, rows in found.items()}


@settings(max_examples=12, phases=PHASES)
@given(scenario=scenarios())
def test_tables_and_files_equal_the_model_and_repeated_syncs_change_nothing(lab: Any, scenario: Scenario) -> None:
    world = World.from_events(scenario.events)
    bench = lab.bench(world, now=TUESDAY, behaviour=scenario.behaviour, places=PLACES)
    for step in scenario.steps:
        step.on(bench)
    final = [replace(step, killed_after=()) for step in scenario.steps if isinstance(step, PullWindow)]
    bench.turn.clock.set(TUESDAY + HOUR)
    for step in final:
        step.on(bench)
    before = {name: place.read() for name, place in bench.where.items()}

    bench.turn.clock.set(WEDNESDAY)
    for step in reversed(final):
        step.on(bench)

    after = {name: place.read() for name, place in bench.where.items()}
    assert {name: without_last_seen(found) for name, found in after.items()} == {
        name: without_last_seen(found) for name, found in before.items()
    }
    tables = ("version", "current")
    assert after["sqlite"] == after["postgresql"]
    assert {name: after["sqlite"][name] for name in tables} == after["files"]


@settings(max_examples=30, phases=PHASES)
@given(
    events=EVENTS,
    behaviour=st.builds(
        TurnBehaviour,
        page_size=st.integers(1, 4),
        default_ordering=st.sampled_from(["asc", "desc"]),
        time_format=st.sampled_from(["millis", "micros", "seconds"]),
    ),
    pull=pulls(ORDERINGS, may_stop=True),
    changes=st.lists(st.lists(st.builds(Change, CONTACTS, VALUES), max_size=2), max_size=3),
)
def test_a_retry_keeps_committed_rows_and_misses_no_concurrent_change(
    lab: Any, events: list[Event], behaviour: TurnBehaviour, pull: PullWindow, changes: list[list[Change]]
) -> None:
    bench = lab.bench(World.from_events(events), now=TUESDAY, behaviour=behaviour, places=("sqlite",))
    pull = replace(pull, hasty=True, window=Window(MONDAY, TUESDAY))
    stretches = iter(changes)

    def meanwhile() -> None:
        bench.turn.clock.advance(1)
        for change in next(stretches, []):
            change.on(bench)

    pull.into(bench, "sqlite", between_tries=meanwhile)

    bench.where["sqlite"].check()
    pull.check_nothing_is_missing(bench)


MONDAY_IN_TIME = (TUESDAY + 10 * MINUTE, Window(MONDAY, TUESDAY))
TUESDAY_IN_TIME = (WEDNESDAY + 10 * MINUTE, Window(TUESDAY, WEDNESDAY))
MONDAY_TOO_LATE = (WEDNESDAY + 20 * MINUTE, Window(MONDAY, TUESDAY))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", permutations((MONDAY_IN_TIME, TUESDAY_IN_TIME, MONDAY_TOO_LATE)))
def test_both_of_bobs_versions_are_kept_in_any_order_with_kills_and_repeats(
    lab: Any, place: str, order: tuple[tuple[datetime, Window], ...]
) -> None:
    behaviour = TurnBehaviour(trailing_empty_page=True, page_size=1)
    bench = lab.bench(bob(), now=TUESDAY, behaviour=behaviour, places=(place,))
    kills = 0
    for now, window in (*order, *order):
        bench.turn.clock.set(now)
        summary = bench.pull(place, window, run_id=str(window), pages=1, hasty=True)
        kills += summary is None
        # A window of one page ends before it can be killed.
        assert summary is None or summary.pages == 1
        assert bench.pull(place, window, run_id=str(window), hasty=True).state == "complete"

    assert kills >= 2
    bench.where[place].check()
    found = bench.where[place].read()
    savings = {name: [row["payload"]["details"]["current_savings"] for row in rows] for name, rows in found.items()}
    assert (savings["version"], savings["current"]) == ([100, 120], [120])
    if place != "files":
        assert [(row["valid_from"], row["valid_to"]) for row in found["history"]] == [
            (MONDAY + 8.5 * HOUR, TUESDAY + 10 * HOUR),
            (TUESDAY + 10 * HOUR, None),
        ]


#: JSON that two decoders could read, or write again, in two ways.
ODD = [
    *(
        b"1.50",
        b"-0",
        b"-0.0",
        b"0.0",
        b"1E5",
        b"1e5",
        b"1e+05",
        b"1e400",
        b"1e-400",
        b"0.1e-7",
        b"100000000000000000000.0",
    ),
    *(b"12345678901234567890123", b"18446744073709551616", b"-9223372036854775809", b"9" * 400, b"0.30000000000000004"),
    *(
        rb'"\u00e9 \/ \" \\ \b\f\n\r\t"',
        rb'"\ud83c\udf3b"',
        '"é \U0001f33b \u2028 \u007f"'.encode(),
        rb'"\u2028\u007f"',
    ),
    *(
        b'{"b":1,"a":2,"b":3}',
        b'{ "z" : [ 1.0 , 1 , null ] , "\\u0061" : null , "" : {} }',
        b"[[], {}, [null]]",
        b'"\\u00e9"',
    ),
    rb'{"\u00e9":1,"\ud83c\udf3b":2,"\uffff":3,"~":4}',
]


@pytest.mark.parametrize("place", PLACES)
def test_a_contact_does_not_depend_on_others_of_its_page(lab: Any, place: str) -> None:
    """One contact whose bytes are no UTF-8 sends its whole page through the lenient decoder."""
    events = [Event(MONDAY + n * HOUR / 2, n, details={"odd": Raw(content)}) for n, content in enumerate(ODD)]
    spoiler = Event(MONDAY, 99, details={"spoils": Raw(b'"bytes \xff\xfe here"')})
    bench = lab.bench(World.from_events([spoiler, *events]), now=TUESDAY, places=(place,))
    for page_size in (1, 99):
        bench.pull(place, Window(MONDAY, TUESDAY), page_size=page_size)

    found = bench.where[place].read()["version"]
    assert (len(found), len({row["contact_id"] for row in found})) == (len(ODD) + 1,) * 2
    assert [row["contact_id"] for row in found if row["repaired"]] == [bench.turn.world.state_at(99, TUESDAY).uuid]
