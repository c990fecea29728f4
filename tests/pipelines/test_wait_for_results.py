"""Waiting for results: pauses, tolerated failures, and one poll of a worker."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse, ContactResult
from airflow_provider_wacontacts.exceptions import (
    BudgetExceededError,
    ConfigError,
    ContractError,
    LandingError,
    NetworkError,
    NotEnabledError,
    PermanentError,
    RateLimitedError,
    ServerError,
)
from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
from airflow_provider_wacontacts.pipelines.wait_for_results import (
    PendingCheck,
    count_failure,
    pause_before_poll,
    poll_results,
    read_deadline,
    wait_for_results,
)
from airflow_provider_wacontacts.sandbox import Fault
from tests.triggers.waiting import client, numbers

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def api_error(kind, **more):
    return kind("message", source="whatsapp_business", operation="whatsapp_business.contacts.check", **more)


def pending_check(place, check, deadline=None, **more):
    return PendingCheck(place.checks, check.check_id, deadline or datetime.now(UTC) + HOUR, **more)


@pytest.mark.parametrize(("look", "seconds"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 80), (100, 80)])
def test_pauses_grow_to_two_minutes_with_jitter(look, seconds):
    assert pause_before_poll(look, HOUR, 0.0) == timedelta(seconds=seconds)
    assert pause_before_poll(look, HOUR, 1.0) == timedelta(seconds=seconds * 1.5)


def test_a_pause_ends_with_the_deadline():
    assert pause_before_poll(1, timedelta(seconds=2), 0.0) == timedelta(seconds=2)


def test_after_the_deadline_the_pause_is_the_usual_one():
    assert pause_before_poll(1, timedelta(seconds=-2), 0.0) == timedelta(seconds=5)


def test_retry_after_is_a_lower_bound_of_the_pause():
    assert pause_before_poll(1, HOUR, 0.0, timedelta(minutes=10)) == timedelta(minutes=10)
    assert pause_before_poll(1, HOUR, 0.5, timedelta(minutes=10)) == timedelta(minutes=10.5)


def test_a_check_is_overdue_from_the_deadline_on():
    times = [NOON + timedelta(seconds=delta) for delta in (-1, 0, 1)]

    checks = [PendingCheck(None, "check", NOON, now=lambda now=now: now) for now in times]

    assert [check.is_overdue for check in checks] == [False, True, True]


@pytest.mark.parametrize(
    "error",
    [api_error(ServerError), api_error(NetworkError), api_error(ContractError), LandingError("locked")],
    ids=lambda error: type(error).__name__,
)
def test_max_failures_in_a_row_are_allowed(error):
    assert count_failure(error, 1, 2) == 2
    with pytest.raises(type(error)):
        count_failure(error, 2, 2)


def test_a_rate_limit_does_not_count_as_a_failure():
    assert count_failure(api_error(RateLimitedError), 2, 2) == 2


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("no"),
        api_error(PermanentError),
        BudgetExceededError("spent", limit=1, used=1, asked=1, resets_at=NOON),
    ],
    ids=lambda error: type(error).__name__,
)
def test_non_retryable_errors_are_raised_immediately(error):
    with pytest.raises(type(error)):
        count_failure(error, 0, 10)


@pytest.mark.parametrize("value", ["2024-01-01T14:00:00+02:00", NOON.astimezone(timezone(2 * HOUR))])
def test_a_deadline_is_a_datetime_or_a_string(value):
    assert read_deadline(value) == NOON


@pytest.mark.parametrize("value", ["2024-01-01T14:00:00", NOON.replace(tzinfo=None), "soon", "", None, 5])
def test_a_deadline_has_an_offset(value):
    with pytest.raises(ConfigError, match="deadline must be a time with an offset"):
        read_deadline(value)


@pytest.mark.parametrize(
    "figures",
    [{"batch_size": 0}, {"batch_size": 1001}, {"batch_size": "7"}, {"recheck_failed": -1}, {"recheck_failed": 1.5}],
)
def test_invalid_arguments_are_config_errors(figures):
    with pytest.raises(ConfigError, match=next(iter(figures))):
        PendingCheck(None, "check", NOON, **figures)


def test_a_poll_requests_all_missing_results_once(place):
    place.api.whatsapp.change(processing_answers=2)
    place.api.whatsapp.put(numbers(1)[0])
    pending = pending_check(place, place.check(numbers(5)), batch_size=2)
    pending.begin()
    place.api.whatsapp.checks.clear_counts()

    first, second = (poll_results(pending, WhatsAppBusinessHook().check_contacts) for _ in range(2))

    assert (first.state, first.valid, first.processing) == ("open", 1, 4)
    assert (second.state, second.valid, second.processing) == ("resolved", 5, 0)
    assert [call.size for call in place.api.whatsapp.calls] == [2, 2, 2, 2]


def test_a_failed_poll_keeps_its_results_and_releases_the_rest(place):
    pending = pending_check(place, place.check(numbers(6)), batch_size=2)
    pending.begin()
    place.api.fail(Fault(on="check", kind="status", status=503, skip=1))

    with pytest.raises(ServerError):
        poll_results(pending, WhatsAppBusinessHook(policy=RetryPolicy(budget=timedelta(0))).check_contacts)

    totals = pending.count()
    assert (totals.state, totals.valid, totals.processing, place.leased()) == ("open", 2, 4, 0)


def test_a_poll_keeps_results_and_releases_refused_numbers(place):
    pending = pending_check(place, place.check(numbers(3)))
    pending.begin()

    def send_check(given):
        first, *others = given
        return CheckResponse({first: ContactResult(first, "valid")}, others, error=api_error(NotEnabledError))

    with pytest.raises(NotEnabledError):
        poll_results(pending, send_check)

    totals = pending.count()
    assert (totals.valid, totals.processing, totals.missing, place.leased()) == (1, 2, 0, 0)


def test_two_waiters_never_request_a_number_at_the_same_time(place):
    check = place.check(numbers(3))
    one, other = (pending_check(place, check, waiter=name) for name in ("one", "other"))
    one.begin()
    place.api.whatsapp.checks.clear_counts()
    send_check = WhatsAppBusinessHook().check_contacts

    def ask_while_the_other_begins(given):
        other.begin()
        assert poll_results(other, send_check).processing == 3
        return send_check(given)

    assert poll_results(one, ask_while_the_other_begins).state == "resolved"
    assert place.api.whatsapp.asked == dict.fromkeys(numbers(3), 1)
    assert place.leased() == 0


def test_the_next_attempt_of_a_waiter_takes_over_its_leases(place):
    check = place.check(numbers(2))
    first, again, other = (pending_check(place, check, waiter=name) for name in ("one", "one", "other"))
    first.begin()
    assert len(lease_first(first)) == 2

    other.begin()
    assert lease_first(other) == ()
    again.begin()
    assert len(lease_first(again)) == 2


def test_a_worker_that_exits_during_a_poll_releases_its_leases(place):
    pending = pending_check(place, place.check(numbers(2)))
    pending.begin()

    def die(given):
        raise SystemExit

    with pytest.raises(SystemExit):
        poll_results(pending, die)
    assert place.leased() == 0


def test_an_unknown_check_is_a_config_error(place):
    with pytest.raises(ConfigError, match="check_id names no check of this store"):
        PendingCheck(place.checks, "0" * 32, NOON).begin()
    assert place.api.whatsapp.calls == []


def test_on_a_loop_pauses_grow_until_the_check_is_resolved(place, clock):
    place.api.whatsapp.change(processing_answers=4)
    check = place.check(numbers(2))

    totals = wait_on_a_loop(place, check, clock, clock.now() + HOUR)

    assert (totals.state, totals.valid) == ("resolved", 2)
    assert clock.sleeps == [5.0, 10.0, 20.0, 40.0]
    assert place.api.asked_numbers.total() == 2 * 5


def test_on_a_loop_the_last_poll_is_at_the_deadline_without_a_request(place, clock):
    place.api.whatsapp.change(resolved_by="never")
    check = place.check(numbers(2))

    totals = wait_on_a_loop(place, check, clock, clock.now() + timedelta(seconds=20))

    assert (totals.state, totals.processing) == ("expired", 2)
    assert clock.sleeps == [5.0, 10.0, 5.0]
    assert place.api.asked_numbers.total() == 2 * 3


def test_on_a_loop_a_successful_poll_resets_the_failures(place, clock):
    place.api.whatsapp.change(processing_answers=2)
    check = place.check(numbers(2))
    broken = Fault(on="check", kind="status", status=503, times=2)
    place.api.fail(broken, Fault(on="check", kind="delay", delay_s=0.0), broken)

    totals = wait_on_a_loop(place, check, clock, clock.now() + HOUR, max_failures=2)

    assert totals.state == "resolved"
    assert place.api.requests.count("check", 503) == 4


def wait_on_a_loop(place, check, clock, deadline, max_failures=10):
    async def sleep(seconds):
        clock.sleep(seconds)

    async def wait():
        async with client() as shared:
            pending = PendingCheck(shared.checks, check.check_id, deadline, now=clock.now)
            return await wait_for_results(pending, shared, max_failures=max_failures, sleep=sleep, jitter=lambda: 0.0)

    return asyncio.run(wait())


def lease_first(pending):
    pending.start_round()
    return pending.lease_next()
