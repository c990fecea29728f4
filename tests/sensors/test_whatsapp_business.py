"""The sensor waits for a check, in a worker or in the triggerer."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime, timedelta

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_provider_wacontacts.exceptions import ServerError
from airflow_provider_wacontacts.sandbox import Fault
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor
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
from tests.triggers.waiting import numbers

pytestmark = pytest.mark.usefixtures("hasty")


@pytest.mark.parametrize("way", [through_the_triggerer, lambda made: made.execute(context())], ids=["deferred", "poke"])
def test_the_summary_is_returned_once_all_results_are_final(place, way):
    place.api.whatsapp.change(processing_answers=2)
    check = place.check(numbers(3))
    made = deferrable(check) if way is through_the_triggerer else sensor(check)

    assert way(made) == {"check_id": check.check_id, **WAITED}
    assert place.api.asked_numbers == dict.fromkeys(numbers(3), 3)


def test_a_resolved_check_needs_no_deferral_and_no_request(place):
    place.api.whatsapp.change(processing_share=0.0)
    check = place.check(numbers(3))

    assert deferrable(check).execute(context()) == {"check_id": check.check_id, **WAITED}
    assert len(place.api.whatsapp.calls) == 1


def test_the_trigger_gets_only_its_arguments(place):
    check, until = place.check(numbers(3)), datetime.now(UTC) + timedelta(hours=1)

    task = deferred(deferrable(check, deadline=until, recheck_failed=2, batch_size=7, max_failures=3))

    arguments = task.trigger.serialize()[1]
    assert len(arguments.pop("waiter")) == 16
    assert arguments == {
        "check_id": check.check_id,
        "deadline": until.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "whatsapp_business_conn_id": "whatsapp_business_default",
        "green_api_conn_id": None,
        "store_conn_id": "wacontacts_store",
        "recheck_failed": 2,
        "batch_size": 7,
        "max_failures": 3,
    }
    assert (task.method_name, task.kwargs) == ("execute_complete", None)
    assert len(place.api.whatsapp.calls) == 1


def test_each_task_is_a_waiter_and_its_retry_the_same_one(place):
    check = place.check(numbers(3))

    first, other, retry = (
        deferred(deferrable(check), task_id).trigger.waiter for task_id in ("wait", "wait as well", "wait")
    )

    assert first == retry != other


def test_template_fields():
    assert set(WhatsAppContactsSensor.template_fields) == {
        "check_id",
        "deadline",
        "whatsapp_business_conn_id",
        "green_api_conn_id",
        "store_conn_id",
    }


@pytest.mark.parametrize("arguments", [{}, {"soft_fail": True}])
@pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "poke"])
def test_non_retryable_errors_fail_immediately_and_are_never_skipped(place, is_deferrable, arguments):
    made = sensor(place.check(numbers(3)), deferrable=is_deferrable, **arguments)
    place.api.fail(Fault(on="check", kind="status", status=401, code=1005, times=9))
    way = through_the_triggerer if is_deferrable else lambda made: made.execute(context())

    with pytest.raises(AirflowFailException, match=r"^AuthError: whatsapp_business.contacts.check, .*, HTTP 401"):
        way(made)


def test_transient_errors_are_left_to_airflows_retries(place):
    made = deferrable(place.check(numbers(3)), max_failures=1, soft_fail=True)
    place.api.fail(Fault(on="check", kind="status", status=503, times=9))

    with pytest.raises(AirflowException, match=r"^ServerError: ") as raised:
        through_the_triggerer(made)
    assert type(raised.value) is AirflowException


@pytest.mark.usefixtures("impatient")
def test_poke_mode_allows_max_failures_in_a_row(place):
    check = place.check(numbers(3))
    place.api.fail(Fault(on="check", kind="status", status=503, times=2))
    assert sensor(check, max_failures=2).execute(context())["state"] == "resolved"

    check = place.check(numbers(3, first=10), run="other")
    place.api.fail(Fault(on="check", kind="status", status=503, times=9))
    with pytest.raises(ServerError):
        sensor(check, max_failures=2).execute(context())


@pytest.mark.usefixtures("impatient")
def test_polls_during_retry_after_do_not_reset_the_failures(place):
    check = place.check(numbers(3))
    place.api.fail(Fault(on="check", kind="status", status=503, headers={"retry-after": "1"}, times=99))

    with pytest.raises(ServerError):
        sensor(check, max_failures=2, timeout=600).execute(context())
    assert place.api.requests.count("check", 503) == 3


def test_never_fail_skips_any_error(place):
    made = deferrable(place.check(numbers(3)), never_fail=True)
    place.api.fail(Fault(on="check", kind="status", status=401, code=1005, times=9))

    with pytest.raises(AirflowSkipException, match="AuthError"):
        through_the_triggerer(made)


def test_a_rescheduled_sensor_polls_after_retry_after(place):
    check = place.check(numbers(3))
    place.api.whatsapp.change(retry_after="integer")
    place.api.fail(Fault(on="check", kind="rate_limited", delay_s=900.0))

    with pytest.raises(AirflowRescheduleException) as raised:
        sensor(check, mode="reschedule").execute(context())
    left = raised.value.reschedule_date - datetime.now(UTC)
    assert timedelta(seconds=880) < left <= timedelta(seconds=900)


def test_poke_mode_sends_no_request_before_retry_after(place):
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
        ({"check_id": "0" * 32}, "check_id names no check of this store"),
        ({"deadline": "soon"}, "deadline must be a time with an offset"),
        ({"deadline": "2999-01-01T00:00:00"}, "deadline must be a time with an offset"),
        ({"whatsapp_business_conn_id": "nowhere"}, "Connection 'nowhere' is not defined"),
        ({"store_conn_id": "nowhere"}, "Connection 'nowhere' is not defined"),
    ],
)
@pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "poke"])
def test_invalid_arguments_fail_immediately_without_a_request(place, is_deferrable, arguments, message):
    given = {"check_id": place.check(numbers(3)).check_id} | arguments
    place.api.whatsapp.checks.clear_counts()

    with pytest.raises(AirflowFailException, match=f"^ConfigError: .*{message}"):
        sensor(given.pop("check_id"), deferrable=is_deferrable, **given).execute(context())
    assert place.api.whatsapp.calls == []


def test_a_check_of_another_sender_is_a_config_error(place, connect_api):
    check = place.check(numbers(3))
    connect_api(extra={"sender": "+12015550199"})

    with pytest.raises(AirflowFailException, match="of another sender"):
        deferrable(check).execute(context())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("is_deferrable", [True, False], ids=["deferred", "poke"])
@pytest.mark.parametrize("status", [401, 400, 503, 200])
def test_no_personal_data_in_logs_and_errors(place, caplog, capfd, is_deferrable, status):
    caplog.set_level(logging.DEBUG)
    given = numbers(3)
    check = never_resolved(place)
    leaky = json.dumps({"errors": [{"code": 1009, "title": given[0], "details": given[1]}], "contacts": [given[2]]})
    place.api.fail(Fault(on="check", kind="status", status=status, body=leaky, times=50))
    made = sensor(check, deferrable=is_deferrable, timeout=0.5, max_failures=1)

    error = ""
    try:
        through_the_triggerer(made) if is_deferrable else made.execute(context())
    except Exception as raised:  # noqa: BLE001 - whatever it is
        error = "".join(traceback.format_exception(raised))

    # Numbers that responses leave out may be missing, which ends the wait, before its deadline.
    assert error or status == 200
    shown = error + caplog.text + "".join(capfd.readouterr())
    shown += repr([vars(record) for record in caplog.records])
    assert [number for number in given if number[1:] in shown] == []
    assert place.api.whatsapp.behaviour.token not in shown


def test_poke_mode_times_out_if_another_waiter_expired_the_check(place):
    check = never_resolved(place)
    made = sensor(check, timeout=3600)
    assert not made.poke(context()).is_done
    with pytest.raises(AirflowSensorTimeout):
        sensor(check, timeout=0.1).execute(context())

    with pytest.raises(AirflowSensorTimeout, match=MESSAGE):
        made.poke(context())
