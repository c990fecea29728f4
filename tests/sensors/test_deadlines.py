"""The end of a sensor's wait, and the state of its check."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
)

from tests.sensors.cases import (
    MESSAGE,
    WAITED,
    context,
    deferrable,
    deferred,
    never_resolved,
    sensor,
    through_the_triggerer,
)
from tests.triggers.waiting import event_of, numbers

pytestmark = pytest.mark.usefixtures("hasty")


def test_the_scheduler_times_out_shortly_after_the_deadline(place):
    task = deferred(deferrable(place.check(numbers(3)), timeout=3600))

    assert timedelta(hours=1) < task.timeout < timedelta(hours=1, minutes=10)


def test_the_default_deadline_is_the_timeout(place):
    before = datetime.now(UTC)
    task = deferred(deferrable(place.check(numbers(3)), timeout=3600))
    after = datetime.now(UTC)

    until = datetime.fromisoformat(task.trigger.deadline)
    assert before + timedelta(hours=1) <= until <= after + timedelta(hours=1)


def test_the_deadline_may_be_a_string(place):
    task = deferred(deferrable(place.check(numbers(3)), deadline="2999-01-31T10:00:00+02:00"))

    assert task.trigger.deadline == "2999-01-31T08:00:00.000000Z"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, AirflowSensorTimeout),
        ({"soft_fail": True}, AirflowSkipException),
        ({"never_fail": True}, AirflowSkipException),
    ],
)
@pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "poke"])
def test_the_timeout_message_has_the_counts_and_the_check_is_expired(place, is_deferrable, arguments, error):
    check = never_resolved(place)
    made = sensor(check, deferrable=is_deferrable, timeout=0.5, **arguments)
    way = through_the_triggerer if is_deferrable else lambda made: made.execute(context())

    with pytest.raises(error) as raised:
        way(made)
    assert str(raised.value).startswith(MESSAGE)
    assert place.state(check) == "expired"


def test_a_deadline_before_the_timeout_ends_the_wait(place):
    check = never_resolved(place)

    with pytest.raises(AirflowSensorTimeout, match="The deadline passed"):
        sensor(check, deadline=datetime.now(UTC) + timedelta(seconds=0.5), timeout=3600).execute(context())
    assert place.state(check) == "expired"


def test_a_timeout_before_the_deadline_expires_the_check_in_poke_mode(place):
    check = never_resolved(place)

    with pytest.raises(AirflowSensorTimeout, match=MESSAGE):
        sensor(check, deadline=datetime.now(UTC) + timedelta(hours=1), timeout=0.2).execute(context())
    assert place.state(check) == "expired"


def test_a_trigger_timeout_expires_the_check(place):
    check = never_resolved(place)
    made = deferrable(check, timeout=3600)
    deferred(made)

    with pytest.raises(AirflowSensorTimeout, match=MESSAGE):
        made.resume_execution("__fail__", {"error": "Trigger timeout"}, context())
    assert place.state(check) == "expired"


def test_a_trigger_timeout_succeeds_if_the_check_is_resolved(place):
    check = place.check(numbers(3))
    made = deferrable(check)
    asyncio.run(event_of(deferred(made).trigger))

    summary = made.resume_execution("__fail__", {"error": "Trigger timeout"}, context())
    assert summary["state"] == "resolved"


@pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "poke"])
def test_a_task_cleared_after_its_deadline_succeeds_if_the_check_is_resolved(place, is_deferrable):
    place.api.whatsapp.change(processing_share=0.0)
    check = place.check(numbers(3))
    made = sensor(check, deferrable=is_deferrable, deadline="2022-01-01T00:00:00Z")

    assert made.execute(context()) == {"check_id": check.check_id, **WAITED}


@pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "poke"])
def test_a_task_cleared_after_its_deadline_expires_an_unresolved_check_without_a_request(place, is_deferrable):
    check = never_resolved(place)
    made = sensor(check, deferrable=is_deferrable, deadline="2022-01-01T00:00:00Z")

    with pytest.raises(AirflowSensorTimeout, match=MESSAGE):
        made.execute(context())
    assert (place.state(check), len(place.api.whatsapp.calls)) == ("expired", 1)


def test_a_second_wait_resolves_an_expired_check(place):
    check = never_resolved(place)
    with pytest.raises(AirflowSensorTimeout):
        sensor(check, timeout=0.1).execute(context())
    place.api.whatsapp.change(resolved_by="asking")

    assert sensor(check).execute(context())["state"] == "resolved"


def test_a_rescheduled_sensor_keeps_the_deadline_of_its_first_poll(place):
    check = never_resolved(place)
    made = {"mode": "reschedule", "timeout": 3600}

    with pytest.raises(AirflowRescheduleException):
        sensor(check, **made).execute(context())
    with pytest.raises(AirflowRescheduleException):
        sensor(check, **made).execute(context(first_look=datetime.now(UTC) - timedelta(minutes=59)))
    with pytest.raises(AirflowSensorTimeout, match="The deadline passed"):
        sensor(check, **made).execute(context(first_look=datetime.now(UTC) - timedelta(minutes=61)))
    assert place.api.asked_numbers.total() == 3 * 3
