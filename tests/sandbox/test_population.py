"""The invented people."""

import re
from collections import Counter
from datetime import timedelta
from itertools import pairwise

from airflow_provider_wacontacts.sandbox.population import DEFAULT_START, NAMES, seeded_world, synthetic_number


def test_the_same_seed_gives_the_same_world():
    assert list(seeded_world(7)) == list(seeded_world(7))
    assert list(seeded_world(7)) != list(seeded_world(8))


def test_a_contact_is_the_same_however_many_there_are():
    few, many = seeded_world(3, contacts=20), seeded_world(3, contacts=60)

    assert list(few) == [event for event in many if event.id <= 20]


def test_everything_happens_within_the_days():
    world = seeded_world(contacts=100, days=5)

    assert {event.id for event in world} == set(range(1, 101))
    assert all(DEFAULT_START <= event.at < DEFAULT_START + timedelta(days=5) for event in world)


def test_every_state_differs_from_the_one_before_it():
    world = seeded_world(contacts=100)
    histories = [[event for event in world if event.id == contact] for contact in range(1, 101)]

    assert all(a.at < b.at and a.details != b.details for history in histories for a, b in pairwise(history))
    assert sum(len(history) > 1 for history in histories) > 50


def test_days_are_busier_than_nights_and_broadcasts_make_ties():
    hours = Counter(event.at.hour for event in seeded_world(contacts=500))
    moments = Counter(event.at for event in seeded_world(contacts=500))

    assert sum(hours[hour] for hour in range(7, 19)) > 5 * sum(hours[hour] for hour in range(5))
    assert max(moments.values()) > 5


def test_some_may_be_deleted():
    world = seeded_world(contacts=200, deleted_share=0.25)
    gone = [event for event in world if event.deleted]

    assert 25 < len(gone) < 75
    assert all(world.newest(event.id, world.end) == event for event in gone)


def test_numbers_are_all_different_and_of_ranges_that_nobody_has():
    numbers = [synthetic_number(index) for index in range(80_000)]

    assert len(set(numbers)) == 80_000
    assert all(re.fullmatch(r"447700900\d{3}|1[2-9]\d\d55501\d\d|999\d{9}", number) for number in numbers)


def test_names_are_of_the_list():
    assert {event.details["name"] for event in seeded_world()} <= set(NAMES)
