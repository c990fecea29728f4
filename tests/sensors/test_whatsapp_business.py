"""The sensor waits for a check, here or in the triggerer, and says how it ended."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import ServerError
from airflow_provider_wacontacts.sandbox import Fault
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor
from tests.triggers.waiting import SENDER, event_of, numbers

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
#: By run, for Airflow 2.
FIRST_LOOKS = {}

pytestmark = pytest.mark.usefixtures("hasty")

WAITED = {
    "sender": SENDER,
    "state": "resolved",
    "given": 3,
    "duplicates": 0,
    "asked": 3,
    "not_asked": 0,
    "from_store": 0,
    "valid": 3,
    "invalid": 0,
    "processing": 0,
    "failed": 0,
    "rejected": 0,
    "missing": 0,
    "budget_left": 997,
    "status_is_reliable": True,
}


def sensor(check, **arguments):
    check_id = check if isinstance(check, str) else check.check_id
    return WhatsAppContactsSensor(task_id="wait", check_id=check_id, **{"poke_interval": 0.01} | arguments)


def deferrable(check, **arguments):
    return sensor(check, deferrable=True, **arguments)


def context(first_look=None, task_id="wait"):
    """Each Airflow tells in its own way when a task looked first: 3 through the task instance, 2 by its database."""
    ti = SimpleNamespace(dag_id="dag", task_id=task_id, run_id=f"looked {first_look}", map_index=-1, max_tries=0)
    if not IS_AIRFLOW_2:
        ti.get_first_reschedule_date = lambda context: first_look
    FIRST_LOOKS[ti.run_id] = first_look
    return {"ti": ti, "task": SimpleNamespace(retries=0)}


@pytest.fixture(autouse=True)
def airflow_2_knows_who_looked_first(monkeypatch):
    if IS_AIRFLOW_2:
        told = "airflow.sensors.base._orig_start_date"
        monkeypatch.setattr(told, lambda dag_id, task_id, run_id, map_index, try_number: FIRST_LOOKS[run_id])


def deferred(made, task_id="wait"):
    with pytest.raises(TaskDeferred) as raised:
        made.execute(context(task_id=task_id))
    return raised.value


def resumed(made, event):
    """Go on as the task runner does, on another instance."""
    return made.resume_execution("execute_complete", {"event": event}, context())


def through_the_triggerer(made):
    return resumed(made, asyncio.run(event_of(deferred(made).trigger)))


def never_resolved(place):
    place.api.whatsapp.change(resolved_by="never")
    return place.check(numbers(3))


@pytest.fixture
def impatient(monkeypatch):
    """Send every request once."""
    monkeypatch.setattr("airflow_provider_wacontacts.hooks.feed.RetryPolicy", lambda: RetryPolicy(budget=timedelta(0)))


@pytest.mark.parametrize("way", [through_the_triggerer, lambda made: made.execute(context())], ids=["deferred", "here"])
def test_it_returns_the_summary_when_all_is_answered(place, way):
    place.api.whatsapp.change(processing_answers=2)
    check = place.check(numbers(3))
    made = deferrable(check) if way is through_the_triggerer else sensor(check)

    assert way(made) == {"check_id": check.check_id, **WAITED}
    assert place.api.asked_numbers == dict.fromkeys(numbers(3), 3)


def test_with_nothing_to_wait_for_it_is_done_without_deferring_or_asking(place):
    place.api.whatsapp.change(processing_share=0.0)
    check = place.check(numbers(3))

    assert deferrable(check).execute(context()) == {"check_id": check.check_id, **WAITED}
    assert len(place.api.whatsapp.calls) == 1


def test_it_defers_with_what_the_trigger_needs_and_nothing_else(place):
    check, until = place.check(numbers(3)), datetime.now(UTC) + timedelta(hours=1)

    task = deferred(deferrable(check, deadline=until, recheck_failed=2, batch_size=7, max_failures=3))

    arguments = task.trigger.serialize()[1]
    assert len(arguments.pop("waiter")) == 16
    assert arguments == {
        "check_id": check.check_id,
        "deadline": until.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "whatsapp_business_conn_id": "whatsapp_business_default",
        "store_conn_id": "wacontacts_store",
        "recheck_failed": 2,
        "batch_size": 7,
        "max_failures": 3,
    }
    assert (task.method_name, task.kwargs) == ("execute_complete", None)
    assert len(place.api.whatsapp.calls) == 1


def test_each_task_waits_for_itself_and_a_retry_goes_on_with_that(place):
    check = place.check(numbers(3))

    first, other, retry = (
        deferred(deferrable(check), task_id).trigger.waiter for task_id in ("wait", "wait as well", "wait")
    )

    assert first == retry != other


def test_the_scheduler_is_the_last_resort_a_little_after_the_deadline(place):
    task = deferred(deferrable(place.check(numbers(3)), timeout=3600))

    assert timedelta(hours=1) < task.timeout < timedelta(hours=1, minutes=10)


def test_without_a_deadline_it_waits_for_its_timeout(place):
    before = datetime.now(UTC)
    task = deferred(deferrable(place.check(numbers(3)), timeout=3600))
    after = datetime.now(UTC)

    until = datetime.fromisoformat(task.trigger.deadline)
    assert before + timedelta(hours=1) <= until <= after + timedelta(hours=1)


def test_a_deadline_may_come_from_a_template(place):
    task = deferred(deferrable(place.check(numbers(3)), deadline="2999-01-31T10:00:00+02:00"))

    assert task.trigger.deadline == "2999-01-31T08:00:00.000000Z"


def test_what_may_be_templates():
    assert set(WhatsAppContactsSensor.template_fields) == {
        "check_id",
        "deadline",
        "whatsapp_business_conn_id",
        "store_conn_id",
    }


MESSAGE = "the deadline has come before all was answered: 0 valid, 0 invalid, 0 failed, 3 processing, 0 missing"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, AirflowSensorTimeout),
        ({"soft_fail": True}, AirflowSkipException),
        ({"never_fail": True}, AirflowSkipException),
    ],
)
@pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "here"])
def test_at_the_deadline_it_says_what_is_missing_and_the_check_is_expired(place, is_deferrable, arguments, error):
    check = never_resolved(place)
    made = sensor(check, deferrable=is_deferrable, timeout=0.5, **arguments)
    way = through_the_triggerer if is_deferrable else lambda made: made.execute(context())

    with pytest.raises(error) as raised:
        way(made)
    assert str(raised.value).startswith(MESSAGE)
    assert place.state(check) == "expired"


def test_an_explicit_deadline_ends_it_before_the_timeout(place):
    check = never_resolved(place)

    with pytest.raises(AirflowSensorTimeout, match="the deadline has come"):
        sensor(check, deadline=datetime.now(UTC) + timedelta(seconds=0.5), timeout=3600).execute(context())
    assert place.state(check) == "expired"


def test_one_that_pokes_ends_in_the_same_way_at_its_timeout_where_that_comes_first(place):
    check = never_resolved(place)

    with pytest.raises(AirflowSensorTimeout, match=MESSAGE):
        sensor(check, deadline=datetime.now(UTC) + timedelta(hours=1), timeout=0.2).execute(context())
    assert place.state(check) == "expired"


def test_where_no_triggerer_came_to_fire_the_scheduler_ends_it_in_the_same_way(place):
    check = never_resolved(place)
    made = deferrable(check, timeout=3600)
    deferred(made)

    with pytest.raises(AirflowSensorTimeout, match=MESSAGE):
        made.resume_execution("__fail__", {"error": "Trigger timeout"}, context())
    assert place.state(check) == "expired"


def test_where_all_was_answered_before_the_scheduler_ended_it_that_is_a_success(place):
    check = place.check(numbers(3))
    made = deferrable(check)
    asyncio.run(event_of(deferred(made).trigger))

    summary = made.resume_execution("__fail__", {"error": "Trigger timeout"}, context())
    assert summary["state"] == "resolved"


def test_an_expired_check_can_be_waited_for_again(place):
    check = never_resolved(place)
    with pytest.raises(AirflowSensorTimeout):
        sensor(check, timeout=0.1).execute(context())
    place.api.whatsapp.change(resolved_by="asking")

    assert sensor(check).execute(context())["state"] == "resolved"


@pytest.mark.parametrize("arguments", [{}, {"soft_fail": True}])
@pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "here"])
def test_what_somebody_has_to_mend_fails_at_once_and_is_never_skipped(place, is_deferrable, arguments):
    made = sensor(place.check(numbers(3)), deferrable=is_deferrable, **arguments)
    place.api.fail(Fault(on="check", kind="status", status=401, code=1005, times=9))
    way = through_the_triggerer if is_deferrable else lambda made: made.execute(context())

    with pytest.raises(AirflowFailException, match=r"^AuthError: whatsapp_business.contacts.check, HTTP 401"):
        way(made)


def test_failures_that_may_pass_go_to_airflows_retries(place):
    made = deferrable(place.check(numbers(3)), max_failures=1, soft_fail=True)
    place.api.fail(Fault(on="check", kind="status", status=503, times=9))

    with pytest.raises(AirflowException, match=r"^ServerError: ") as raised:
        through_the_triggerer(made)
    assert type(raised.value) is AirflowException


@pytest.mark.usefixtures("impatient")
def test_here_too_some_failures_in_a_row_are_borne_and_no_more(place):
    check = place.check(numbers(3))
    place.api.fail(Fault(on="check", kind="status", status=503, times=2))
    assert sensor(check, max_failures=2).execute(context())["state"] == "resolved"

    check = place.check(numbers(3, first=10), run="other")
    place.api.fail(Fault(on="check", kind="status", status=503, times=9))
    with pytest.raises(ServerError):
        sensor(check, max_failures=2).execute(context())


def test_with_never_fail_an_error_is_skipped_because_its_author_says_so(place):
    made = deferrable(place.check(numbers(3)), never_fail=True)
    place.api.fail(Fault(on="check", kind="status", status=401, code=1005, times=9))

    with pytest.raises(AirflowSkipException, match="AuthError"):
        through_the_triggerer(made)


def test_a_sensor_that_is_rescheduled_goes_on_until_the_deadline_of_its_first_look(place):
    check = never_resolved(place)
    made = {"mode": "reschedule", "timeout": 3600}

    with pytest.raises(AirflowRescheduleException):
        sensor(check, **made).execute(context())
    with pytest.raises(AirflowRescheduleException):
        sensor(check, **made).execute(context(first_look=datetime.now(UTC) - timedelta(minutes=59)))
    with pytest.raises(AirflowSensorTimeout, match="the deadline has come"):
        sensor(check, **made).execute(context(first_look=datetime.now(UTC) - timedelta(minutes=61)))
    assert place.api.asked_numbers.total() == 3 * 3


def test_a_sensor_that_is_rescheduled_comes_back_when_the_server_is_ready(place):
    check = place.check(numbers(3))
    place.api.whatsapp.change(retry_after="integer")
    place.api.fail(Fault(on="check", kind="rate_limited", delay_s=900.0))

    with pytest.raises(AirflowRescheduleException) as raised:
        sensor(check, mode="reschedule").execute(context())
    left = raised.value.reschedule_date - datetime.now(UTC)
    assert timedelta(seconds=880) < left <= timedelta(seconds=900)


def test_one_that_pokes_does_not_ask_before_the_server_is_ready(place):
    check = place.check(numbers(3))
    place.api.whatsapp.change(retry_after="integer")
    place.api.fail(Fault(on="check", kind="rate_limited", delay_s=900.0))

    with pytest.raises(AirflowSensorTimeout):
        sensor(check, timeout=0.5).execute(context())
    assert place.api.requests.count("check") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"check_id": ""}, "check_id is empty"),
        ({"check_id": "0" * 32}, "the store knows no such check"),
        ({"deadline": "2022-01-01T00:00:00Z"}, "deadline 2022-01-01T00:00:00.000000Z is in the past"),
        ({"deadline": "soon"}, "deadline is no time with an offset"),
        ({"deadline": "2999-01-01T00:00:00"}, "deadline is no time with an offset"),
        ({"whatsapp_business_conn_id": "nowhere"}, "connection 'nowhere' is not defined"),
        ({"store_conn_id": "nowhere"}, "connection 'nowhere' is not defined"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 1001}, "batch_size is 1001"),
        ({"recheck_failed": -1}, "recheck_failed is -1"),
        ({"max_failures": -1}, "max_failures is -1"),
    ],
)
@pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "here"])
def test_what_cannot_be_fails_at_once_before_anything_is_sent(place, is_deferrable, arguments, message):
    given = {"check_id": place.check(numbers(3)).check_id} | arguments
    place.api.whatsapp.checks.clear_counts()

    with pytest.raises(AirflowFailException, match=f"^ConfigError: .*{message}"):
        sensor(given.pop("check_id"), deferrable=is_deferrable, **given).execute(context())
    assert place.api.whatsapp.calls == []


def test_a_check_of_another_sender_is_refused(place, connect_api):
    check = place.check(numbers(3))
    connect_api(extra={"sender": "+12015550199"})

    with pytest.raises(AirflowFailException, match="of another sender"):
        deferrable(check).execute(context())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "here"])
@pytest.mark.parametrize("status", [401, 400, 503, 200])
def test_nothing_personal_is_in_what_airflow_keeps(place, caplog, capfd, is_deferrable, status):
    caplog.set_level(logging.DEBUG)
    given = numbers(3)
    check = never_resolved(place)
    leaky = json.dumps({"errors": [{"code": 1009, "title": given[0], "details": given[1]}], "contacts": [given[2]]})
    place.api.fail(Fault(on="check", kind="status", status=status, body=leaky, times=50))
    made = sensor(check, deferrable=is_deferrable, timeout=0.5, max_failures=1)

    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever it is
        through_the_triggerer(made) if is_deferrable else made.execute(context())

    shown = "".join(traceback.format_exception(raised.value)) + caplog.text + "".join(capfd.readouterr())
    shown += repr([vars(record) for record in caplog.records])
    assert [number for number in given if number[1:] in shown] == []
    assert place.api.whatsapp.behaviour.token not in shown


def test_one_that_pokes_ends_where_another_has_ended_the_check(place):
    check = never_resolved(place)
    made = sensor(check, timeout=3600)
    assert not made.poke(context()).is_done
    with pytest.raises(AirflowSensorTimeout):
        sensor(check, timeout=0.1).execute(context())

    with pytest.raises(AirflowSensorTimeout, match=MESSAGE):
        made.poke(context())
