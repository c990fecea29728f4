"""The trigger polls leased numbers, stores their results, and fires once, without personal data."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.clients.whatsapp_business_responses import parse_callback
from airflow_provider_wacontacts.exceptions import LockTimeoutError
from airflow_provider_wacontacts.sandbox import Fault
from airflow_provider_wacontacts.store.checks.lifecycle import Check
from airflow_provider_wacontacts.store.checks.model import CheckResults
from airflow_provider_wacontacts.triggers.whatsapp_business import WhatsAppContactsTrigger
from tests.triggers.waiting import event_of, numbers, trigger, until

pytestmark = pytest.mark.usefixtures("hasty")

CHECK_ID = "0123456789abcdef0123456789abcdef"
DEADLINE = datetime(2024, 1, 31, 8, tzinfo=UTC)


async def together(triggers):
    return await asyncio.gather(*(event_of(one) for one in triggers))


def run(*triggers):
    return asyncio.run(together(triggers))


def counts(event, *names):
    return tuple(event[name] for name in names)


def test_serialize_returns_the_path_and_plain_arguments():
    path, arguments = WhatsAppContactsTrigger(
        CHECK_ID, DEADLINE, batch_size=7, recheck_failed=2, waiter="one"
    ).serialize()

    assert path == "airflow_provider_wacontacts.triggers.whatsapp_business.WhatsAppContactsTrigger"
    assert json.loads(json.dumps(arguments)) == {
        "check_id": CHECK_ID,
        "deadline": "2024-01-31T08:00:00+00:00",
        "whatsapp_business_conn_id": "whatsapp_business_default",
        "green_api_conn_id": None,
        "store_conn_id": "wacontacts_store",
        "recheck_failed": 2,
        "batch_size": 7,
        "max_failures": 10,
        "waiter": "one",
    }


def test_a_serialized_trigger_is_restored():
    made = WhatsAppContactsTrigger(CHECK_ID, DEADLINE, max_failures=3, store_conn_id="other")

    assert WhatsAppContactsTrigger(**made.serialize()[1]).serialize() == made.serialize()


def test_each_trigger_is_a_waiter_by_default():
    one, other = (WhatsAppContactsTrigger(CHECK_ID, DEADLINE) for _ in range(2))

    assert one.waiter != other.waiter


def test_slow_numbers_are_requested_until_they_are_resolved(place):
    place.api.whatsapp.change(processing_answers=2)
    check = place.check(numbers(3))

    (event,) = run(trigger(check))

    assert event == {"check_id": check.check_id, **check.totals()._asdict()}
    assert counts(event, "state", "given", "asked", "valid", "processing", "waiting") == ("resolved", 3, 3, 3, 0, 0)
    assert place.api.asked_numbers == dict.fromkeys(numbers(3), 3)
    assert place.api.whatsapp.checked == dict.fromkeys(numbers(3), 1)


def test_only_unresolved_numbers_are_requested_without_force_check(place):
    quick, slow = numbers(4)[:2], numbers(4)[2:]
    for number in quick:
        place.api.whatsapp.put(number)
    check = place.check([*quick, *slow])

    run(trigger(check))

    assert place.api.asked_numbers == Counter(quick + slow * 2)
    assert {(call.force_check, call.blocking) for call in place.api.whatsapp.calls} == {(False, "no_wait")}


def test_the_garbage_collector_is_not_frozen(place):
    frozen = gc.get_freeze_count()

    run(trigger(place.check(numbers(1))))

    assert gc.get_freeze_count() == frozen


def test_batch_size_limits_the_requests(place):
    check = place.check(numbers(5))
    place.api.whatsapp.checks.clear_counts()

    run(trigger(check, batch_size=2))

    assert [call.size for call in place.api.whatsapp.calls] == [2, 2, 1]


def test_a_resolved_check_fires_without_a_request(place):
    place.api.whatsapp.change(processing_share=0.0)
    check = place.check(numbers(2))

    (event,) = run(trigger(check))

    assert (event["state"], len(place.api.whatsapp.calls)) == ("resolved", 1)


def test_a_delivered_result_ends_the_wait(place):
    place.api.whatsapp.change(resolved_by="callback")
    check = place.check(numbers(2))

    async def deliver_meanwhile():
        waiting = asyncio.create_task(event_of(trigger(check, max_failures=1000)))
        await until(lambda: len(place.api.whatsapp.calls) > 1)
        place.api.fail(Fault(on="check", kind="status", status=500, times=1000))
        for body in place.api.whatsapp.finish():
            said = parse_callback(body).results
            results = {one.input: (one.status, one.wa_id) for one in said}
            await asyncio.to_thread(
                place.checks.record_delivered, CheckResults(results, datetime.now(UTC), datetime.now(UTC))
            )
        return await waiting

    event = asyncio.run(deliver_meanwhile())
    assert counts(event, "state", "valid") == ("resolved", 2)


def test_at_the_deadline_the_check_expires_and_keeps_its_results(place):
    place.api.whatsapp.change(resolved_by="never")
    place.api.whatsapp.put(numbers(1)[0])
    check = place.check(numbers(3))

    (event,) = run(trigger(check, seconds=0.3))

    assert counts(event, "state", "valid", "processing", "waiting") == ("expired", 1, 2, 0)
    assert place.state(check) == "expired"
    assert Counter(place.statuses(check).values()) == {"valid": 1, "processing": 2}


def test_a_deadline_during_a_request_cancels_it_and_releases_its_numbers(place):
    check = place.check(numbers(3))
    place.api.fail(Fault(on="check", kind="delay", delay_s=30.0))

    (event,) = run(trigger(check, seconds=1.0))

    assert (event["state"], place.leased()) == ("expired", 0)


def test_a_restart_after_the_deadline_fires_immediately_without_a_request(place):
    check = place.check(numbers(3))

    first, second = run(trigger(check, seconds=-5))[0], run(trigger(check, seconds=-5))[0]

    assert first == second
    assert (first["state"], len(place.api.whatsapp.calls)) == ("expired", 1)


def test_failed_numbers_are_rechecked_recheck_failed_times(place):
    place.api.whatsapp.change(processing_share=0.0)
    place.api.whatsapp.put(numbers(1)[0], "failed")
    check = place.check(numbers(1))

    (event,) = run(trigger(check, recheck_failed=2))

    assert counts(event, "state", "failed") == ("resolved", 1)
    assert place.api.asked_numbers == {numbers(1)[0]: 3}


def test_failed_numbers_are_not_rechecked_past_the_budget(place, connect_api):
    place.api.whatsapp.change(processing_share=0.0)
    for number in numbers(2):
        place.api.whatsapp.put(number, "failed")
    connect_api(extra={"daily_checks": 3})
    check = place.check(numbers(2))

    (event,) = run(trigger(check, recheck_failed=5))

    assert counts(event, "state", "failed") == ("resolved", 2)
    assert place.api.asked_numbers.total() == 3


def test_numbers_leased_elsewhere_are_not_requested(place):
    check, other = place.check(numbers(2)), place.check(numbers(4, first=2), run="other")
    place.do("UPDATE wacontacts_number SET leased_by = 'x', leased_until = '2999-01-01T00:00:00.000000Z'")

    events = run(trigger(check, seconds=0.5), trigger(other, seconds=0.5))

    assert [event["state"] for event in events] == ["expired", "expired"]
    assert place.api.asked_numbers.total() == 6


@pytest.mark.parametrize(
    "fault",
    [
        Fault(on="check", kind="status", status=503, code=1016, times=3),
        Fault(on="check", kind="status", status=502, body="<html>", times=3),
        Fault(on="check", kind="drop", times=3),
        Fault(on="check", kind="cut", times=3),
        Fault(on="check", kind="html", times=3),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status or ''}",
)
def test_max_failures_in_a_row_are_allowed(place, fault):
    check = place.check(numbers(2))
    place.api.fail(fault)

    (event,) = run(trigger(check, max_failures=3))

    assert counts(event, "state", "valid") == ("resolved", 2)


def test_one_failure_too_many_ends_the_wait_and_releases_all_numbers(place):
    check = place.check(numbers(2))
    place.api.fail(Fault(on="check", kind="status", status=503, code=1016, times=100))

    (event,) = run(trigger(check, max_failures=2))

    assert counts(event, "check_id", "state", "error", "processing") == (check.check_id, "open", "ServerError", 2)
    assert place.api.requests.count("check", 503) == 3
    assert place.leased() == 0


def test_a_locked_store_counts_as_a_failed_poll(place, monkeypatch):
    check, tries = place.check(numbers(2)), []
    start_waiting = Check.start_waiting

    def locked_at_first(self, *given, **more):
        tries.append(1)
        if len(tries) < 3:
            raise LockTimeoutError("the store is locked by somebody else")
        return start_waiting(self, *given, **more)

    monkeypatch.setattr(Check, "start_waiting", locked_at_first)

    assert run(trigger(check))[0]["state"] == "resolved"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(on="check", kind="status", status=401, code=1005, times=9), "AuthError"),
        (Fault(on="check", kind="status", status=403, code=1031), "NotEnabledError"),
        (Fault(on="check", kind="status", status=400, code=1009), "RejectedError"),
    ],
    ids=["unauthorized", "banned", "rejected"],
)
def test_non_retryable_errors_end_the_wait_immediately(place, fault, error):
    check = place.check(numbers(2))
    place.api.fail(fault)

    (event,) = run(trigger(check))

    assert counts(event, "state", "error") == ("open", error)
    assert place.api.requests.count("check", 200) == 1
    assert place.leased() == 0


def test_an_unexpected_error_is_reported_without_its_text(place, monkeypatch):
    check = place.check(numbers(2))

    def break_down(self, *given):
        raise KeyError(numbers(1)[0])

    monkeypatch.setattr(Check, "lease_waiting", break_down)
    (event,) = run(trigger(check))

    assert event["error"] == "KeyError"
    assert event["message"].startswith("unexpected, in break_down, line ")
    assert numbers(1)[0] not in json.dumps(event)


@pytest.mark.parametrize(
    ("check_id", "settings", "message"),
    [
        ("0" * 32, {}, "check_id names no check of this store"),
        (None, {"batch_size": 0}, "batch_size is 0"),
        (None, {"batch_size": 1001}, "batch_size is 1001"),
        (None, {"recheck_failed": -1}, "recheck_failed is -1"),
        (None, {"whatsapp_business_conn_id": "nowhere"}, "Connection 'nowhere' is not defined"),
        (None, {"store_conn_id": "nowhere"}, "Connection 'nowhere' is not defined"),
    ],
)
def test_invalid_arguments_are_reported_without_a_request(place, check_id, settings, message):
    made = check_id or place.check(numbers(1))
    place.api.whatsapp.checks.clear_counts()

    (event,) = run(trigger(made, **settings))

    assert counts(event, "state", "error") == ("open", "ConfigError")
    assert message in event["message"]
    assert place.api.whatsapp.calls == []


def test_an_invalid_deadline_is_reported(place):
    (event,) = run(WhatsAppContactsTrigger(CHECK_ID, "2024-01-31T08:00:00"))

    assert counts(event, "check_id", "state", "error") == (CHECK_ID, "open", "ConfigError")
    assert event["message"].startswith("deadline must be a time with an offset")


def test_a_token_that_is_replaced_during_the_wait_is_read_again(place, connect_api):
    place.api.whatsapp.change(auth="bearer", resolved_by="never")
    check = place.check(numbers(3))

    async def replace_it_in_the_middle():
        waiting = asyncio.create_task(event_of(trigger(check)))
        await until(lambda: place.api.requests.count("check", 200) >= 3)
        connect_api(password="example-token-new")
        place.api.whatsapp.change(token="example-token-new", resolved_by="asking")
        return await waiting

    event = asyncio.run(replace_it_in_the_middle())

    assert counts(event, "state", "valid") == ("resolved", 3)
    assert place.api.requests.count("check", 401) == 1


def test_a_cancelled_trigger_releases_its_numbers_and_its_successor_continues(place):
    check = place.check(numbers(10))
    place.api.fail(Fault(on="check", kind="delay", delay_s=30.0, skip=2, every=3))

    async def cancel_in_the_middle():
        waiting = asyncio.create_task(event_of(trigger(check, batch_size=2)))
        await until(lambda: place.api.faults.to_json()[0]["seen"] == 3)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return place.leased(), sum(status == "valid" for status in place.statuses(check).values())

    leased, had = asyncio.run(cancel_in_the_middle())
    place.api.faults.clear()
    (event,) = run(trigger(check, batch_size=2))

    assert (leased, had, event["state"], event["valid"]) == (0, 4, "resolved", 10)
    assert place.api.asked_numbers.total() == 10 + 4 + 6


def test_the_successor_of_a_killed_trigger_requests_the_leased_numbers(place):
    check = place.check(numbers(10))
    killed = place.checks.find(check.check_id, waiter="one")
    (number_ids,) = killed.waiting(10)
    killed.lease_waiting(number_ids[:4])

    (event,) = run(trigger(check, waiter="one"))

    assert counts(event, "state", "valid") == ("resolved", 10)


def test_rate_limits_are_waited_for_and_do_not_count_as_failures(place, hasty):
    check = place.check(numbers(2))
    place.api.whatsapp.change(retry_after="integer")
    place.api.fail(Fault(on="check", kind="rate_limited", delay_s=1.0, times=2))

    (event,) = run(trigger(check, max_failures=0))

    assert event["state"] == "resolved"
    assert hasty.count(timedelta(seconds=1)) == 2


def test_no_personal_data_in_arguments_events_and_logs(place, caplog):
    caplog.set_level(logging.DEBUG)
    for logger in ("sqlalchemy.engine", "sqlalchemy.pool", "aiohttp.client", "asyncio"):
        logging.getLogger(logger).setLevel(logging.NOTSET)
    given = numbers(6)
    place.api.whatsapp.put(given[0], "failed")
    checks = [place.check(given[:3]), place.check(given[3:], run="other")]
    failed = json.dumps({"errors": [{"title": given[0]}]})
    unreadable = json.dumps({"contacts": [{"input": given[1], "status": given[2]}, given[3]]})
    rejected = json.dumps({"errors": [{"details": given[4]}]})
    place.api.fail(
        Fault(on="check", kind="status", status=503, body=failed),
        Fault(on="check", kind="body", body=unreadable),
        Fault(on="check", kind="rate_limited", delay_s=0.1),
        Fault(on="check", kind="status", status=400, code=1009, body=rejected, every=1),
    )
    triggers = [trigger(check, recheck_failed=1) for check in checks]

    events = run(*triggers)
    place.api.faults.clear()
    events += run(*(trigger(check) for check in checks))

    shown = json.dumps([one.serialize() for one in triggers]) + json.dumps(events) + caplog.text
    shown += repr([vars(record) for record in caplog.records])
    assert [event["state"] for event in events[2:]] == ["resolved", "resolved"]
    assert {event.get("error") for event in events[:2]} == {"RejectedError"}
    assert [number for number in given if number[1:] in shown] == []
    assert place.api.whatsapp.behaviour.token not in shown
