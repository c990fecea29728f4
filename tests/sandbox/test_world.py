"""Events, and what is true as of a time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.sandbox import Event, Raw, World
from airflow_provider_wacontacts.sandbox.world import RESERVED_FIELDS, as_json, from_json, next_midnight

NOON = datetime(2022, 9, 12, 12, tzinfo=UTC)


def at(minutes):
    return NOON + timedelta(minutes=minutes)


def states(events):
    return [(event.id, event.at, event.details) for event in events]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6)), max_size=20), st.integers(-1, 7))
def test_current_is_the_last_event_of_each_contact_not_after_now(items, now):
    world = World.from_events(
        Event(at=at(minute), id=contact, details={"n": n}) for n, (contact, minute) in enumerate(items)
    )
    newest = {}
    for minute, n, contact in sorted((minute, n, contact) for n, (contact, minute) in enumerate(items)):
        if minute <= now:
            newest[contact] = (contact, at(minute), {"n": n})

    assert states(world.current(at(now))) == sorted(newest.values(), key=lambda state: (state[1], state[0]))


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6)), max_size=20), st.randoms())
def test_asking_in_between_changes_nothing(items, random):
    events = [Event(at=at(minute), id=contact, details={"n": n}) for n, (contact, minute) in enumerate(items)]
    asked, untouched = World(), World()
    for event in events:
        asked.add(event)
        asked.current(at(random.randrange(-1, 8)))
        untouched.add(event)

    assert all(states(asked.current(at(minute))) == states(untouched.current(at(minute))) for minute in range(-1, 8))


def test_every_state_stays_in_the_truth():
    world = World.from_events([Event(at=at(5), id=1, details={"n": 2}), Event(at=at(0), id=1, details={"n": 1})])

    assert states(world.until(at(5))) == [(1, at(0), {"n": 1}), (1, at(5), {"n": 2})]
    assert states(world.until(at(4))) == [(1, at(0), {"n": 1})]


def test_a_contact_keeps_its_uuid_and_its_first_time():
    world = World()
    first, second = world.upsert(at=at(0), uuid="given"), world.upsert(1, {"name": "Hexolyn"}, at=at(3))

    assert (first.uuid, second.uuid, world.inserted_at(1)) == ("given", "given", at(0))


def test_upsert_changes_what_is_given_and_keeps_the_rest():
    world = World()
    world.upsert(3, {"name": "Hexolyn", "clinic": "north"}, at=at(0))
    world.upsert(3, {"clinic": "hill"}, at=at(1), extra={"plan": 1})

    assert world.newest(3, at(1)) == Event(
        at=at(1),
        id=3,
        uuid=world.newest(3, at(0)).uuid,
        details={**RESERVED_FIELDS, "name": "Hexolyn", "clinic": "hill"},
        extra={"plan": 1},
    )


def test_new_contacts_get_the_next_id():
    world = World.from_events([Event(at=at(0), id=41)])

    assert (world.upsert(at=at(1)).id, len(world)) == (42, 2)


def test_only_who_exists_can_be_deleted():
    world = World.from_events([Event(at=at(5), id=1)])
    with pytest.raises(LookupError):
        world.delete(1, at=at(4))

    assert [(event.at, event.deleted) for event in (world.delete(1, at=at(6)),)] == [(at(6), True)]


def test_times_of_events_carry_an_offset():
    with pytest.raises(ValueError, match="without an offset"):
        World.from_events([Event(at=datetime(2022, 9, 12), id=1)])  # noqa: DTZ001


def test_personal_texts_are_ids_and_names_of_every_state():
    world = World.from_events(
        [
            Event(at=at(0), id=1, details={"name": "Fenquilla", "whatsapp_id": "447700900001", "clinic": "north"}),
            Event(at=at(1), id=1, details={"name": "Umbrasto", "surname": None}),
        ]
    )

    assert world.personal_texts() == {"Fenquilla", "447700900001", "Umbrasto"}


def test_raw_values_survive_json():
    values = {"a": Raw(bytes(range(256))), "b": {"c": 1}, "d": None}

    assert from_json(as_json(values)) == values


def test_the_next_midnight_is_later_even_at_midnight():
    assert [next_midnight(moment) for moment in (NOON, NOON.replace(hour=0))] == [datetime(2022, 9, 13, tzinfo=UTC)] * 2


@pytest.mark.parametrize(
    "item", [{}, {"at": "2022-09-12T00:00:00Z"}, {"at": 1, "id": 1}, {"at": "2022-09-12T00:00:00Z", "id": 1, "x": 1}]
)
def test_events_that_are_none_are_refused(item):
    with pytest.raises(ValueError, match="an event has"):
        Event.from_json(item)
