"""The demo's count of lost versions."""

from dataclasses import replace
from datetime import timedelta

from airflow_provider_wacontacts.sandbox import World, bob
from demo.week import AFTER, DAYS, Day, make_world, shown, states, to_millis, truth_of


def test_an_overwriting_pipeline_loses_bobs_monday():
    world = bob()
    monday, tuesday = sorted(states(world), key=lambda state: state[1])
    truth = truth_of(world, Day(DAYS - 1).end + AFTER)
    assert (truth.happened, truth.seen) == ({monday, tuesday}, {monday, tuesday})
    assert (truth.lost_by_overwriting, truth.never_seen) == ({monday}, set())


def test_an_update_that_is_replaced_on_its_own_day_is_never_seen():
    (first, second) = bob()
    world = World.from_events([first, replace(second, at=first.at + timedelta(hours=1))])
    truth = truth_of(world, Day(DAYS - 1).end + AFTER)
    assert truth.never_seen == {(first.uuid, to_millis(first.at))}
    assert truth.lost_by_overwriting == set()


def test_a_day_shows_a_contact_until_it_is_updated_again():
    world = bob()
    monday, tuesday = Day(0), Day(1)
    assert len(shown(world, monday.start, monday.end, now=monday.end)) == 1
    assert len(shown(world, monday.start, monday.end, now=tuesday.end)) == 0
    assert len(shown(world, tuesday.start, tuesday.end, now=tuesday.end)) == 1


def test_the_demos_week_has_versions_to_lose():
    truth = truth_of(make_world(), Day(DAYS - 1).end + AFTER)
    assert len(truth.lost_by_overwriting) > 100
    assert len(truth.never_seen) > 100
    assert truth.seen < truth.seen_hourly <= truth.happened
