"""Workers that are killed at random points, and the retries of their task."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wacontacts.files import complete_prefixes, read_contacts
from airflow_provider_wacontacts.records.windows import parse_time
from airflow_provider_wacontacts.sandbox import Sandbox, TurnBehaviour, World

MONDAY, TUESDAY = "2022-09-12T00:00:00+00:00", "2022-09-13T00:00:00+00:00"
KILLS = 20
PAGE_SIZE = 4
#: So much time passes between two looks at the worker's clock that every second page brings a commit.
TICK_S = 4.0

Ask = Callable[[str, str], list[tuple[Any, ...]]]
Until = Callable[[Callable[[], bool]], None]


def read_moment(moment: Any) -> datetime | None:
    return parse_time(moment) if isinstance(moment, str) else moment and moment.astimezone(UTC)


def started_at(position: datetime | None) -> str:
    return (
        (position - timedelta(milliseconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        if position
        else "2022-09-12T00:00:00.000Z"
    )


def states(world: World) -> list[tuple[str, datetime]]:
    return sorted((event.uuid, event.at) for event in world)


def test_killed_workers_lose_and_duplicate_nothing_and_resume_from_the_checkpoint(
    workers: Any, turn: Sandbox, crowd: Any, *, either_url: str, asking: Ask, until: Until
) -> None:
    world = crowd(600)
    turn.load(world, now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=PAGE_SIZE))
    plan = {"turn": turn.url, "token": turn.token, "window": [MONDAY, TUESDAY], "run_id": "run", "store": either_url}
    chance = random.Random(either_url.partition(":")[0])
    for _ in range(KILLS):
        worker = workers.start(**plan, tick_s=TICK_S)
        enough = turn.requests.count("page") + chance.randint(1, 6)
        until(lambda enough=enough: turn.requests.count("page") >= enough)
        time.sleep(chance.uniform(0, 0.01))
        worker.kill()
    asked_before = turn.requests.count("page")
    summary = workers.start(**plan, tick_s=TICK_S).outcome()["summary"]

    kept = asking(either_url, "SELECT contact_id, updated_at FROM wacontacts_version ORDER BY 1, 2")
    assert [(contact_id, read_moment(moment)) for contact_id, moment in kept] == states(world)
    current = asking(either_url, "SELECT contact_id, updated_at FROM wacontacts_current ORDER BY 1, 2")
    assert current == kept

    ledger = asking(
        either_url, "SELECT state, resumes, position, new_versions FROM wacontacts_extraction ORDER BY resumes"
    )
    tries = [(state, resumes) for state, resumes, _, _ in ledger]
    assert tries == [*(("abandoned", number) for number in range(KILLS)), ("complete", KILLS)]
    assert sum(new for _, _, _, new in ledger) == len(kept)
    positions = [read_moment(position) for _, _, position, _ in ledger]
    assert [asked["from"] for asked in turn.requests.asked] == [started_at(at) for at in [None, *positions[:-1]]]
    assert positions[KILLS - 1] is not None
    left = sum(event.at >= positions[KILLS - 1] - timedelta(milliseconds=1) for event in world)
    pages = math.ceil(left / PAGE_SIZE)
    assert summary["pages"] == pages
    # The server may count the page that the last of the killed was waiting for after it is dead.
    assert turn.requests.count("page") - asked_before in {pages, pages + 1}


@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_killed_workers_leave_no_complete_extraction_and_the_retry_writes_its_own(
    workers: Any, turn: Sandbox, crowd: Any, *, tmp_path: Path, until: Until, file_format: str
) -> None:
    world = crowd(200)
    turn.load(world, now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=PAGE_SIZE))
    plan = {"turn": turn.url, "token": turn.token, "window": [MONDAY, TUESDAY], "run_id": "run"}
    plan |= {"path": str(tmp_path), "file_format": file_format}
    chance = random.Random(file_format)
    for _ in range(KILLS):
        worker = workers.start(**plan)
        enough = turn.requests.count("page") + chance.randint(0, 25)
        until(lambda enough=enough: turn.requests.count("page") >= enough)
        time.sleep(chance.uniform(0, 0.01))
        worker.kill()
        assert list(complete_prefixes(tmp_path)) == []
    summary = workers.start(**plan).outcome()["summary"]

    assert [complete.uri for complete in complete_prefixes(tmp_path)] == [summary["uri"]]
    contacts = [contact.record for contact in read_contacts(tmp_path)]
    assert sorted((record.contact_id, record.updated_at) for record in contacts) == states(world)
    assert len(list(tmp_path.glob("turn/main/2022-09-12/*"))) > 1, "no try was killed while it wrote"
