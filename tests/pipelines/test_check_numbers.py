"""The run of a check: concurrency, progress, stops and errors."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse, ContactResult
from airflow_provider_wacontacts.exceptions import BudgetExceededError, NetworkError, NotEnabledError, ServerError
from airflow_provider_wacontacts.pipelines import check_numbers
from airflow_provider_wacontacts.pipelines.check_numbers import MAX_THREADS, CheckRun
from airflow_provider_wacontacts.pipelines.check_results import to_store_results
from airflow_provider_wacontacts.pipelines.stop import Stopped, StopSignal
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.checks.lifecycle import Check
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks

SENDER = "+12015550100"
BROKEN = ServerError("the server failed", source="whatsapp_business", operation="whatsapp_business.contacts.check")
CLAIMED = "SELECT count(*) FROM wacontacts_number WHERE leased_until IS NOT NULL"


def numbers(count: int) -> list[str]:
    return [f"+1212555{number:04}" for number in range(count)]


class Server:
    """A client for which every number is valid. It counts its requests, and how many of them were concurrent."""

    requests_a_second = 1000.0
    batch_size = 10

    def __init__(self, meanwhile: Callable[[int], None] = lambda _: None) -> None:
        self.asked: Counter[str] = Counter()
        self.sizes: list[int] = []
        self.most_at_once = 0
        self._meanwhile = meanwhile
        self._now = 0
        self._lock = threading.Lock()

    def check_numbers(self, inputs: Sequence[str]) -> CheckResponse:
        with self._lock:
            self.asked.update(inputs)
            self.sizes.append(len(inputs))
            number = len(self.sizes)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            self._meanwhile(number)
        finally:
            with self._lock:
                self._now -= 1
        return CheckResponse({text: ContactResult(text, "valid", text.strip("+")) for text in inputs})


class Setting:
    """A store, and checks in it."""

    def __init__(self, path: Path) -> None:
        self.engine = create_engine(f"sqlite:///{path}")
        self.store = Store(self.engine)
        self.store.prepare()
        self.reports: list[int] = []
        self.stop = StopSignal()
        self.monotonic = time.monotonic

    def checks(self, daily_checks: int = 100_000) -> SenderChecks:
        return SenderChecks(self.store.context, SENDER, daily_checks=daily_checks)

    def check(self, checks: SenderChecks, count: int, run_id: str = "run") -> Check:
        rules = CheckSpec(TaskInstanceKey("dag", run_id, "task"), "0", "0", datetime.now(UTC) - timedelta(days=7))
        check = checks.open(rules)
        if not check.is_filled:
            check.fill(CheckInput(number, number) for number in numbers(count))
        return check

    def ask(self, server: Any, count: int, *, batch_size: int = 10, daily_checks: int = 100_000) -> Check:
        checks = self.checks(daily_checks)
        check = self.check(checks, count)
        server.batch_size = batch_size
        self.run(check, checks, server)
        return check

    def run(self, check: Check, checks: SenderChecks, server: Any) -> None:
        self.running = CheckRun(
            check=check,
            checks=checks,
            client=server,
            on_progress=self.reports.append,
            stop=self.stop,
            monotonic=self.monotonic,
        )
        self.running.run()

    def one(self, sql: str) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(sql)).scalar()


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    setting = Setting(tmp_path / "store.db")
    yield setting
    setting.engine.dispose()


def test_a_fast_server_gets_one_request_at_a_time(setting: Setting) -> None:
    setting.monotonic = lambda: 0.0
    server = Server(lambda _: time.sleep(0.002))

    setting.ask(server, 200)

    assert (server.asked, server.most_at_once) == (dict.fromkeys(numbers(200), 1), 1)


def test_a_slow_server_gets_a_few_full_batches_concurrently(
    setting: Setting,
) -> None:
    everybody = threading.Barrier(MAX_THREADS, timeout=300)
    seconds = [0.0]
    setting.monotonic = lambda: seconds[0]

    def take_a_second(number: int) -> None:
        seconds[0] += 1
        if 1 < number <= 1 + MAX_THREADS:
            everybody.wait()

    server = Server(take_a_second)

    totals = setting.ask(server, 95).finish()

    assert server.asked == dict.fromkeys(numbers(95), 1)
    assert sorted(server.sizes) == [5, *[10] * 9]
    assert server.most_at_once == MAX_THREADS
    assert (totals.valid, totals.queued, totals.state) == (95, 0, "resolved")


def test_after_an_error_results_in_flight_are_recorded_and_all_leases_released(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_numbers, "MAX_ATTEMPTS", 1)

    def third_fails(number: int) -> None:
        if number == 3:
            raise BROKEN
        time.sleep(0.05)
        while number > 3 and not setting.running._failed:
            time.sleep(0.005)

    server = Server(third_fails)

    with pytest.raises(ServerError):
        setting.ask(server, 200)

    recorded = setting.one("SELECT count(*) FROM wacontacts_number WHERE status = 'valid'")
    assert recorded == sum(server.asked.values()) - 10
    assert len(server.sizes) <= 3 + MAX_THREADS
    assert setting.one(CLAIMED) == 0

    setting.ask(Server(), 200)
    assert setting.one("SELECT count(*) FROM wacontacts_number WHERE status = 'valid'") == 200


def test_a_stop_ends_the_run_with_a_slow_server(setting: Setting) -> None:
    everybody = threading.Barrier(MAX_THREADS, action=setting.stop.set, timeout=300)

    def tell(number: int) -> None:
        if number == 1:
            time.sleep(0.05)
        else:
            everybody.wait()

    server = Server(tell)

    with pytest.raises(Stopped):
        setting.ask(server, 500)

    assert len(server.sizes) == 1 + MAX_THREADS
    assert setting.one("SELECT count(*) FROM wacontacts_number WHERE status = 'valid'") == (1 + MAX_THREADS) * 10
    assert setting.one(CLAIMED) == 0


def test_a_stop_ends_reading_the_source(setting: Setting) -> None:
    def source() -> Iterator[int]:
        yield 1
        setting.stop.set()
        yield 2

    through = setting.stop.interruptible(source())

    assert next(through) == 1
    with pytest.raises(Stopped):
        next(through)


def test_a_stop_ends_a_sleep(setting: Setting) -> None:
    threading.Timer(0.05, setting.stop.set).start()

    with pytest.raises(Stopped):
        setting.stop.sleep(60)


def test_the_first_batch_past_the_budget_ends_the_run(setting: Setting) -> None:
    server = Server()

    with pytest.raises(BudgetExceededError) as raised:
        setting.ask(server, 100, daily_checks=25)

    assert (raised.value.limit, raised.value.used, raised.value.asked) == (25, 25, 75)
    assert sum(server.asked.values()) == 25
    assert setting.one(CLAIMED) == 0


def test_results_of_numbers_leased_elsewhere_are_read_from_the_store(setting: Setting) -> None:
    checks = setting.checks()
    other = setting.check(checks, 20, run_id="other")
    leased = other.lease(next(other.queued(20)))
    assert len(leased.numbers) == 20

    def answer() -> None:
        other.record(
            to_store_results(
                Server().check_numbers(leased.numbers), leased.numbers, asked_at=setting.store.context.now()
            )
        )

    threading.Timer(0.3, answer).start()
    server = Server()
    totals = setting.ask(server, 30).finish()

    assert server.asked == dict.fromkeys(numbers(30)[20:], 1)
    assert (totals.asked, totals.from_store, totals.valid) == (10, 20, 30)


def test_progress_is_reported_every_ten_seconds(setting: Setting) -> None:
    passed = itertools.count(step=4)
    seconds = [0]

    def pass_time(_: int) -> None:
        seconds[0] = next(passed)

    setting.monotonic = lambda: float(seconds[0])

    setting.ask(Server(pass_time), 200)

    assert 3 <= len(setting.reports) <= 76 / 10
    assert setting.reports == sorted(set(setting.reports))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no pause before asking again."""
    monkeypatch.setattr(check_numbers, "RETRY_POLICY", RetryPolicy(first_backoff=timedelta(0)))


LOST = [
    ServerError("it failed", source="whatsapp_business", operation="check", status=504),
    NetworkError("it took too long", source="whatsapp_business", operation="check"),
]
SPENT = "SELECT spent FROM wacontacts_budget"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", LOST)
def test_a_retry_without_a_response_spends_the_budget_again(setting: Setting, error: Exception) -> None:
    def twice(number: int) -> None:
        if number <= 2:
            raise error

    server = Server(twice)
    setting.ask(server, 10)

    assert server.sizes == [10, 10, 10]
    assert (setting.one(SPENT), setting.one(CLAIMED)) == (30, 0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("error", LOST)
def test_retries_end_with_the_budget_or_after_max_attempts(setting: Setting, error: Exception) -> None:
    def always(_: int) -> None:
        raise error

    server = Server(always)
    with pytest.raises(BudgetExceededError):
        setting.ask(server, 10, daily_checks=25)
    assert (server.sizes, setting.one(SPENT)) == ([10, 10, 5], 25)

    with pytest.raises(type(error)):
        setting.ask(server, 10, daily_checks=1_000)
    assert (server.sizes[3:], setting.one(CLAIMED)) == ([10] * check_numbers.MAX_ATTEMPTS, 0)


@pytest.mark.usefixtures("quick")
def test_every_request_that_a_gateway_may_have_forwarded_counts_against_the_budget(setting: Setting) -> None:
    def unavailable(_: int) -> None:
        raise ServerError("it is down", source="whatsapp_business", operation="check", status=503)

    server = Server(unavailable)
    with pytest.raises(ServerError):
        setting.ask(server, 10)

    assert (server.sizes, setting.one(SPENT)) == ([10] * 4, 40)


def test_results_in_a_response_with_an_error_are_recorded(setting: Setting) -> None:
    locked = NotEnabledError("locked", source="whatsapp_business", operation="check")

    class Refusing(Server):
        def check_numbers(self, inputs: Sequence[str]) -> CheckResponse:
            first, *others = inputs
            return CheckResponse({first: ContactResult(first, "valid")}, others, error=locked)

    with pytest.raises(NotEnabledError):
        setting.ask(Refusing(), 30)

    assert setting.one("SELECT count(*) FROM wacontacts_number WHERE status = 'valid'") == 1
    assert setting.one("SELECT count(*) FROM wacontacts_number WHERE asked_at IS NULL") == 29
    assert (setting.one(SPENT), setting.one(CLAIMED)) == (10, 0)


@pytest.mark.parametrize("is_answered", [True, False])
def test_past_the_budget_numbers_leased_elsewhere_are_waited_for(setting: Setting, *, is_answered: bool) -> None:
    checks = setting.checks(daily_checks=10)
    other = setting.check(checks, 10, run_id="other")
    leased = other.lease(next(iter(other.queued(10))))
    check = setting.check(checks, 20)
    asking = threading.Thread(target=_ask_past_the_budget, args=(check, checks, setting))
    asking.start()
    time.sleep(0.4)
    assert asking.is_alive()
    if is_answered:
        said = {number: ("valid", number[1:]) for number in leased.numbers}
        now = setting.store.context.now()
        other.record(CheckResults(said, now, now))
    else:
        other.release(leased.numbers)
    asking.join(120)

    assert not asking.is_alive()
    totals = check.finish()
    assert (totals.valid, totals.not_asked) == ((10, 10) if is_answered else (0, 20))


def _ask_past_the_budget(check: Check, checks: SenderChecks, setting: Setting) -> None:
    with pytest.raises(BudgetExceededError):
        setting.run(check, checks, Server())
