"""Workers that check numbers are killed at random points, or run concurrently."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wacontacts.pipelines.check_numbers import MAX_THREADS
from airflow_provider_wacontacts.sandbox import Fault, GreenApiBehaviour, Sandbox, WhatsAppBehaviour, World
from tests.conftest import plain_id

KILLS = 8
BATCH_SIZE = 5
SPENT = "SELECT spent FROM wacontacts_budget ORDER BY spent DESC LIMIT 1"
CLAIMED = "SELECT count(*) FROM wacontacts_number WHERE leased_until IS NOT NULL"

Ask = Callable[[str, str], list[tuple[Any, ...]]]


def numbers(count: int) -> list[str]:
    return [f"+1212555{number:04}" for number in range(count)]


@pytest.fixture(scope="module")
def checkers(tmp_path_factory: pytest.TempPathFactory, workers: Any) -> Iterator[Any]:
    """Workers that check by the job."""
    program = type(workers)(tmp_path_factory.mktemp("checkers"), "checks")
    yield program
    program.stop()


@pytest.fixture
def api(sandbox: Sandbox) -> Sandbox:
    """A client to which everybody is known, and who takes a moment for each request."""
    behaviour = WhatsAppBehaviour(on_whatsapp=1.0, processing_share=0.0)
    sandbox.load(World(), now=datetime.now(UTC).replace(microsecond=0), whatsapp=behaviour)
    sandbox.fail(Fault(on="check", kind="delay", delay_s=0.02, every=1))
    return sandbox


@pytest.fixture
def plan(api: Sandbox, either_url: str) -> dict[str, Any]:
    own = api.whatsapp.behaviour
    given = {"api": api.url, "token": own.token, "store": either_url, "sender": own.sender, "gate": None}
    return given | {"daily_checks": 100_000, "batch_size": BATCH_SIZE, "run_id": "run"}


def test_killed_workers_lose_no_number_and_only_leased_ones_are_re_requested(
    checkers: Any, api: Sandbox, plan: dict[str, Any], *, either_url: str, asking: Ask, until: Any
) -> None:
    plan |= {"numbers": numbers(500)}
    chance = random.Random(either_url.partition(":")[0])
    under_way = []
    for _ in range(KILLS):
        enough = api.requests.count("check") + chance.randint(1, 8)
        worker = checkers.start(**plan)
        until(lambda enough=enough: api.requests.count("check") >= enough)
        time.sleep(chance.uniform(0, 0.03))
        worker.kill()
        under_way += [claimed for (claimed,) in asking(either_url, CLAIMED)]
    summary = checkers.start(**plan).outcome()["summary"]

    assert (summary["given"], summary["asked"], summary["valid"], summary["state"]) == (500, 500, 500, "resolved")
    ((check_id,),) = asking(either_url, "SELECT check_id FROM wacontacts_check WHERE state = 'resolved'")
    assert plain_id(check_id) == summary["check_id"]
    assert set(api.asked_numbers) == set(numbers(500))
    assert 0 < max(under_way) <= MAX_THREADS * BATCH_SIZE
    # Of what was under way, all that was sent is asked again, and drawn again; so is what was drawn and never sent.
    again = sum(api.asked_numbers.values()) - 500
    (drawn_again,) = (spent - 500 for (spent,) in asking(either_url, SPENT))
    assert 0 < again <= drawn_again <= KILLS * MAX_THREADS * BATCH_SIZE


def test_ten_workers_spend_a_budget_exactly(
    checkers: Any, api: Sandbox, plan: dict[str, Any], *, either_url: str, asking: Ask, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    plan |= {"daily_checks": 1000, "batch_size": 10, "gate": str(gate)}
    started = [
        checkers.start(**plan | {"numbers": numbers(2000)[100 * place : 100 * place + 300], "run_id": f"run {place}"})
        for place in range(10)
    ]
    gate.touch()
    outcomes = [worker.outcome() for worker in started]

    assert [outcome for outcome in outcomes if "summary" not in outcome] == []
    assert sum(outcome["summary"]["asked"] for outcome in outcomes) == 1000
    assert (len(api.asked_numbers), set(api.asked_numbers.values())) == (1000, {1})
    assert asking(either_url, SPENT) == [(1000,)]


def test_concurrent_checks_and_revalidations_request_each_number_once(
    checkers: Any, api: Sandbox, plan: dict[str, Any], *, either_url: str, asking: Ask, tmp_path: Path
) -> None:
    now = api.clock.now()
    api.clock.set(now - timedelta(days=8))
    first = checkers.start(**plan | {"numbers": numbers(200), "run_id": "a week ago"}).outcome()
    assert first["summary"]["valid"] == 200
    api.clock.set(now)
    api.whatsapp.checks.clear_counts()
    gate = tmp_path / "gate"
    plan |= {"gate": str(gate)}
    wanted = [numbers(300), None, numbers(400)[100:], None]
    started = [checkers.start(**plan | {"numbers": some, "run_id": f"run {n}"}) for n, some in enumerate(wanted)]
    gate.touch()
    outcomes = [worker.outcome() for worker in started]

    assert [outcome for outcome in outcomes if "summary" not in outcome] == []
    assert api.asked_numbers == dict.fromkeys(numbers(400), 1)
    assert sum(outcome["summary"]["asked"] for outcome in outcomes) == 400
    for outcome in outcomes:
        assert outcome["summary"]["valid"] == outcome["summary"]["given"]
    assert asking(either_url, CLAIMED) == [(0,)]
    assert asking(either_url, SPENT) == [(600,)]


@pytest.fixture
def green_plan(sandbox: Sandbox, either_url: str) -> dict[str, Any]:
    """GREEN-API, where all numbers are on WhatsApp and each request takes a moment."""
    own = GreenApiBehaviour(on_whatsapp=1.0, check_rate_limit=None)
    sandbox.load(World(), now=datetime.now(UTC).replace(microsecond=0), green_api=own)
    sandbox.fail(Fault(on="whatsapp", kind="delay", delay_s=0.02, every=1))
    plan = {"api": sandbox.url, "token": own.token, "instance": own.id_instance, "store": either_url, "gate": None}
    return plan | {"sender": f"green_api:{own.id_instance}", "daily_checks": 100_000, "run_id": "run"}


def test_killed_workers_of_green_api_lose_no_number(
    checkers: Any, sandbox: Sandbox, green_plan: dict[str, Any], *, either_url: str, asking: Ask, until: Any
) -> None:
    kills = 3
    green_plan |= {"numbers": numbers(100)}
    for kill in range(1, kills + 1):
        worker = checkers.start(**green_plan)
        until(lambda kill=kill: sandbox.requests.count("whatsapp") >= kill * 20)
        worker.kill()
    summary = checkers.start(**green_plan).outcome()["summary"]

    assert (summary["given"], summary["asked"], summary["valid"], summary["state"]) == (100, 100, 100, "resolved")
    asked = sandbox.green_api.asked_numbers
    assert set(asked) == set(numbers(100))
    ((spent,),) = asking(either_url, SPENT)
    assert sum(asked.values()) <= spent <= 100 + kills * MAX_THREADS


def test_ten_workers_of_green_api_spend_a_months_budget_exactly(
    checkers: Any, sandbox: Sandbox, green_plan: dict[str, Any], *, either_url: str, asking: Ask, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    sandbox.green_api.change(check_quota=60)
    green_plan |= {"monthly_checks": 60, "gate": str(gate)}
    started = [
        checkers.start(**green_plan | {"numbers": numbers(100)[8 * place : 8 * place + 28], "run_id": f"run {place}"})
        for place in range(10)
    ]
    gate.touch()
    outcomes = [worker.outcome() for worker in started]

    assert [outcome for outcome in outcomes if "summary" not in outcome] == []
    asked = sandbox.green_api.asked_numbers
    assert (len(asked), set(asked.values()), asking(either_url, SPENT)) == (60, {1}, [(60,)])
    assert sandbox.requests.count("whatsapp") == 60
