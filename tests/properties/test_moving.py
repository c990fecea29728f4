"""
Contacts that change, or are deleted, while their window is paged.

An updated contact leaves its window for a later one. If the server's cursors *count* (``offset``), the contacts behind
it move up, and one of them may be skipped: it exists, its own time has not changed, and no page contained it. So, after
the following window was synced with its lookback:

- No contact is missing if cursors continue after the last row (``keyset``).
- No contact is missing if every page has its own cursor (``cursor_per_page``), with any kind of cursor, unless as many
  contacts as fit on a page were updated within the same two milliseconds. Within these, no time can begin a cursor, so
  the chain is followed.
- With chained offset cursors, no contact is missing that was updated within the lookback, or that has moved. None is
  missing if only contacts move that were not read yet.
- With chained offset cursors, **contacts that were skipped before the lookback are missing**, until they are updated or
  their window is synced again. The last test shows one.

The following window is synced while no contact moves: a contact that moves *then* belongs to the next window.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.sandbox import Event, TurnBehaviour, World

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
TUESDAY, WEDNESDAY = MONDAY + DAY, MONDAY + 2 * DAY
PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)
#: More than ever share a time here: two at first, and two more that move at a time.
PAGE_SIZES = st.integers(3, 5)
LOOKBACKS = st.sampled_from([timedelta(0), 10 * MINUTE, 60 * MINUTE, 720 * MINUTE])


@dataclass(frozen=True)
class Crowd:
    """
    Contacts, one or two to a minute, and how they move.

    :param minutes: of Monday, when each was updated.
    :param deleted: which contact, if any, is deleted before each page.
    """

    minutes: list[int]
    seed: int
    moves_per_page: int
    deleted: list[int | None]

    def world(self) -> World:
        events = [Event(MONDAY + minute * MINUTE, number) for number, minute in enumerate(self.minutes, start=1)]
        return World.from_events(events, seed=self.seed)


CROWDS = st.builds(
    Crowd,
    minutes=st.lists(st.sampled_from([*range(8), 720, *range(1425, 1440)]), min_size=4, max_size=20).filter(
        lambda minutes: all(minutes.count(minute) <= 2 for minute in minutes)
    ),
    seed=st.integers(0, 1000),
    moves_per_page=st.integers(1, 2),
    deleted=st.lists(st.none() | st.integers(1, 20), max_size=4),
)


def pull(
    bench: Any, window: Window, *, wait: timedelta = 5 * MINUTE, deleted: Iterable[int | None] = (), **asked: Any
) -> None:
    """Pull a window some time after its end; before each page a contact may be deleted."""
    bench.turn.clock.set(window.end + wait)
    numbers = iter(deleted)

    def between() -> None:
        number = next(numbers, None)
        newest = number and bench.turn.world.state_at(number, bench.turn.clock.now())
        if newest and not newest.deleted:
            bench.turn.delete(number)

    for place in bench.where:
        bench.pull(place, window, between=between, **asked)


def pull_two_windows(lab: Any, crowd: Crowd, behaviour: dict[str, Any], asked: dict[str, Any]) -> Any:
    """Pull Monday while contacts move, and Tuesday while none does."""
    moving = TurnBehaviour(moves_per_page=crowd.moves_per_page, advance_per_page_s=1.0, **behaviour)
    bench = lab.bench(crowd.world(), now=TUESDAY, behaviour=moving, places=("sqlite",))
    pull(bench, Window(MONDAY, TUESDAY), deleted=crowd.deleted, **asked)
    bench.turn.change(moves_per_page=0)
    pull(bench, Window(TUESDAY, WEDNESDAY), **asked)
    return bench


def missing(bench: Any) -> set[datetime]:
    """Tell the times of the contacts that exist, and whose newest state the store does not have."""
    held = {(row["contact_id"], row["updated_at"]) for row in bench.where["sqlite"].read()["current"]}
    exist = [contact for contact in bench.turn.world.current(bench.turn.clock.now()) if not contact.deleted]
    return {contact.at for contact in exist if (contact.uuid, contact.at) not in held}


@settings(max_examples=10, phases=PHASES)
@given(crowd=CROWDS, page_size=PAGE_SIZES, lookback=LOOKBACKS, cursor_per_page=st.booleans())
def test_keyset_cursors_skip_no_contact(
    lab: Any, crowd: Crowd, page_size: int, lookback: timedelta, *, cursor_per_page: bool
) -> None:
    behaviour = {"cursor_kind": "keyset", "page_size": page_size}
    asked = {"lookback": lookback, "cursor_per_page": cursor_per_page}

    assert missing(pull_two_windows(lab, crowd, behaviour, asked)) == set()


@settings(max_examples=15, phases=PHASES)
@given(crowd=CROWDS, page_size=PAGE_SIZES, lookback=LOOKBACKS, ordering=st.sampled_from([None, "asc"]))
def test_offset_cursors_with_cursor_per_page_skip_no_contact(
    lab: Any, crowd: Crowd, page_size: int, lookback: timedelta, ordering: str | None
) -> None:
    behaviour = {"cursor_kind": "offset", "page_size": page_size, "default_ordering": "id"}
    asked = {"lookback": lookback, "cursor_per_page": True, "ordering": ordering}

    assert missing(pull_two_windows(lab, crowd, behaviour, asked)) == set()


@settings(max_examples=10, phases=PHASES)
@given(crowd=CROWDS, page_size=PAGE_SIZES, lookback=LOOKBACKS)
def test_offset_cursors_skip_no_contact_if_only_unread_contacts_move(
    lab: Any, crowd: Crowd, page_size: int, lookback: timedelta
) -> None:
    behaviour = {"cursor_kind": "offset", "page_size": page_size, "moving": "unserved"}
    quiet = Crowd(crowd.minutes, crowd.seed, crowd.moves_per_page, deleted=[])

    assert missing(pull_two_windows(lab, quiet, behaviour, {"lookback": lookback})) == set()


@settings(max_examples=15, phases=PHASES)
@given(crowd=CROWDS, page_size=PAGE_SIZES, lookback=LOOKBACKS | st.just(DAY))
@example(Crowd([0, 1, 2, 720, 1425, 1438], 0, 1, []), 3, 10 * MINUTE)
def test_offset_cursors_only_lose_contacts_from_before_the_lookback(
    lab: Any, crowd: Crowd, page_size: int, lookback: timedelta
) -> None:
    """With a lookback as long as the window, that is nobody."""
    behaviour = {"cursor_kind": "offset", "page_size": page_size}

    lost = missing(pull_two_windows(lab, crowd, behaviour, {"lookback": lookback}))

    assert {at for at in lost if at >= TUESDAY - lookback} == set()


@pytest.mark.parametrize(
    ("asked", "passed_over"),
    [
        ({"lookback": 10 * MINUTE}, {MONDAY + 3 * MINUTE}),
        ({"lookback": DAY}, set()),
        ({"lookback": 10 * MINUTE, "cursor_per_page": True}, set()),
    ],
    ids=["a short lookback", "a lookback as long as the window", "a cursor per page"],
)
def test_contacts_skipped_before_the_lookback_are_missing_until_resynced(
    lab: Any, asked: dict[str, Any], passed_over: set[datetime]
) -> None:
    """Three to a page: one of the first page moves before the second is read, and the fourth moves up to the first."""
    crowd = Crowd([0, 1, 2, 3, 4, 5], 0, 1, deleted=[])
    behaviour = {"cursor_kind": "offset", "page_size": 3, "moving": "served"}

    bench = pull_two_windows(lab, crowd, behaviour, asked)
    assert missing(bench) == passed_over

    pull(bench, Window(MONDAY, TUESDAY), wait=2 * DAY)
    assert missing(bench) == set()
