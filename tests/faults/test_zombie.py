"""A worker is stopped during its attempt, and continues after its retry has completed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wacontacts.files import complete_prefixes, current
from airflow_provider_wacontacts.sandbox import Sandbox, TurnBehaviour

MONDAY, TUESDAY = "2022-09-12T00:00:00+00:00", "2022-09-13T00:00:00+00:00"
CONTACTS, PAGE_SIZE = 60, 10
PAGES = CONTACTS // PAGE_SIZE
#: So much time passes between two looks at the worker's clock that every page brings a commit.
TICK_S = 1000

TABLES = {
    "wacontacts_version": "contact_id, updated_at, first_seen_at, last_seen_at",
    "wacontacts_current": "contact_id, updated_at, first_seen_at, last_seen_at",
    "wacontacts_extraction": "extraction_id, state, position, pages, row_count, new_versions, rejected, extracted_at",
    "wacontacts_reject": "extraction_id, reason",
}


@pytest.mark.parametrize("stop_after", [1, 3, PAGES], ids=lambda number: f"after {number} responses")
@pytest.mark.parametrize("tick_s", [0, TICK_S], ids=["before the first commit", "after some commits"])
def test_a_worker_that_wakes_after_its_retry_commits_nothing_and_fails(
    workers: Any,
    turn: Sandbox,
    crowd: Any,
    *,
    either_url: str,
    asking: Callable[[str, str], list[tuple[Any, ...]]],
    stop_after: int,
    tick_s: int,
) -> None:
    turn.load(crowd(CONTACTS), now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=PAGE_SIZE))
    plan = {"turn": turn.url, "token": turn.token, "window": [MONDAY, TUESDAY], "run_id": "run", "store": either_url}
    zombie = workers.start(**plan, tick_s=tick_s, stop_after=stop_after)
    zombie.wait_until_stopped()
    turn.clock.advance(60)
    retry = workers.start(**plan, tick_s=tick_s).outcome()
    turn.clock.advance(60)
    before = {table: sorted(asking(either_url, f"SELECT {columns} FROM {table}")) for table, columns in TABLES.items()}

    zombie.wake()
    woken = zombie.outcome()

    after = {table: sorted(asking(either_url, f"SELECT {columns} FROM {table}")) for table, columns in TABLES.items()}
    assert (woken["error"], "Another attempt has taken over" in woken["message"]) == ("LandingError", True)
    assert after == before
    assert sorted(state for _, state, *_ in after["wacontacts_extraction"]) == ["abandoned", "complete"]
    assert (retry["summary"]["state"], len(after["wacontacts_current"])) == ("complete", CONTACTS)


def test_a_worker_that_wakes_after_its_retry_writes_only_its_own_prefix(
    workers: Any, turn: Sandbox, crowd: Any, tmp_path: Path
) -> None:
    turn.load(crowd(CONTACTS), now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=PAGE_SIZE))
    plan = {"turn": turn.url, "token": turn.token, "window": [MONDAY, TUESDAY], "run_id": "run", "path": str(tmp_path)}
    zombie = workers.start(**plan, stop_after=3)
    zombie.wait_until_stopped()
    retry = workers.start(**plan).outcome()["summary"]
    contacts = list(current(tmp_path))
    assert [complete.uri for complete in complete_prefixes(tmp_path)] == [retry["uri"]]

    zombie.wake()
    woken = zombie.outcome()["summary"]

    assert {complete.uri for complete in complete_prefixes(tmp_path)} == {retry["uri"], woken["uri"]}
    assert (list(current(tmp_path)), len(contacts)) == (contacts, CONTACTS)
