"""The week that the demo lives through, and what could be seen of it, counted without the provider's help."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from airflow_provider_wacontacts.sandbox import World, bob, seeded_world

__all__ = [
    "AFTER",
    "BOB",
    "DAYS",
    "MONDAY",
    "Day",
    "State",
    "Truth",
    "make_world",
    "shown",
    "states",
    "to_millis",
    "truth_of",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
DAYS = 7
#: How long after a day's end its run sees the world.
AFTER = timedelta(minutes=15)
#: How soon after an hour's end an hourly run would see it: windows settle for so long.
SOON = timedelta(minutes=5)
HOUR = timedelta(hours=1)
CONTACTS = 600
BOB = CONTACTS + 1

#: A contact's uuid and the time of its update, in milliseconds since 1970.
State = tuple[str, int]


@dataclass(frozen=True)
class Day:
    """One day of the week: ``number`` 0 is Monday."""

    number: int

    @property
    def start(self) -> datetime:
        return MONDAY + timedelta(days=self.number)

    @property
    def end(self) -> datetime:
        return self.start + timedelta(days=1)

    @property
    def date(self) -> str:
        return self.start.date().isoformat()

    @property
    def name(self) -> str:
        return f"{self.start:%a %d %b}"

    @classmethod
    def week(cls) -> list[Day]:
        """List the seven, Monday first."""
        return [cls(number) for number in range(DAYS)]


def make_world(seed: int = 0) -> World:
    """Make a week of invented people, and Bob of Turn.io's own example: 100 saved on Monday, 120 on Tuesday."""
    people = seeded_world(seed, contacts=CONTACTS, start=MONDAY, days=DAYS)
    return World.from_events([*people, *(replace(event, id=BOB) for event in bob())], seed=seed)


def states(world: World) -> set[State]:
    """Return every state that contacts took on in the week."""
    return {(event.uuid, to_millis(event.at)) for event in world if MONDAY <= event.at < Day(DAYS - 1).end}


def shown(world: World, start: datetime, end: datetime, *, now: datetime) -> set[State]:
    """Return what Turn.io shows of a window at a time: the contacts whose newest update falls into it."""
    newest = {event.id: event for event in world if event.at <= now}
    return {(event.uuid, to_millis(event.at)) for event in newest.values() if start <= event.at < end}


@dataclass(frozen=True)
class Truth:
    """
    What happened in the week and what became of it, in states.

    :param happened: every state that contacts took on.
    :param seen: those that Turn.io showed of a day shortly after its end: all that a daily pull can get hold of.
    :param kept_by_overwriting: those of ``seen`` that are left where every day was pulled again after the week, and
        the new answer put in the place of the old one.
    :param seen_hourly: what a pull of every hour, shortly after its end, could have got hold of.
    """

    happened: frozenset[State]
    seen: frozenset[State]
    kept_by_overwriting: frozenset[State]
    seen_hourly: frozenset[State]

    @property
    def never_seen(self) -> frozenset[State]:
        """What was overwritten by a later update of the same day."""
        return self.happened - self.seen

    @property
    def lost_by_overwriting(self) -> frozenset[State]:
        return self.seen - self.kept_by_overwriting


def truth_of(world: World, pulled_again_at: datetime) -> Truth:
    """Count against the world itself; ``pulled_again_at`` is when all days were pulled for the second time."""
    week = Day.week()
    hours = [day.start + number * HOUR for day in week for number in range(24)]
    return Truth(
        happened=frozenset(states(world)),
        seen=_union(shown(world, day.start, day.end, now=day.end + AFTER) for day in week),
        kept_by_overwriting=_union(shown(world, day.start, day.end, now=pulled_again_at) for day in week),
        seen_hourly=_union(shown(world, hour, hour + HOUR, now=hour + HOUR + SOON) for hour in hours),
    )


def _union(parts: Iterable[set[State]]) -> frozenset[State]:
    return frozenset().union(*parts)


def to_millis(moment: datetime) -> int:
    """Count milliseconds since 1970; finer parts are dropped, as Turn.io does."""
    return (moment - EPOCH) // timedelta(milliseconds=1)
