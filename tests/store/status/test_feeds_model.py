"""Gaps and lossy intervals of random ledgers equal those of an hourly model."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.coverage import gaps_between, lossy_among
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.status import Selection, read_accounts

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURS = range(24)
ACCOUNTS = 300
LATE_AFTER = 2


class SyncSpec(NamedTuple):
    """An extraction, in hours of Monday."""

    start: int
    end: int
    extracted: int
    state: str

    @property
    def reach(self):
        return min(self.end, self.extracted)


def pulls_of(chance):
    starts = [chance.randrange(20) for _ in range(chance.randrange(12))]
    states = ("complete", "complete", "complete", "abandoned", "running", "incomplete")
    return [
        SyncSpec(
            start,
            end := start + chance.randrange(1, 5),
            end + chance.choice((-2, 0, 0, 1, 2, 3, 6)),
            chance.choice(states),
        )
        for start in starts
    ]


def stretches(hours: Iterable[int]) -> list[Window]:
    """Merge consecutive hours."""
    runs = groupby(enumerate(sorted(hours)), key=lambda one: one[1] - one[0])
    found = [[hour for _, hour in run] for _, run in runs]
    return [Window(MONDAY + run[0] * HOUR, MONDAY + (run[-1] + 1) * HOUR) for run in found]


def expected(pulls):
    complete = [pull for pull in pulls if pull.state == "complete"]
    punctual = [pull for pull in complete if pull.extracted - pull.end <= LATE_AFTER]
    covered, in_time = ({hour for one in some for hour in range(one.start, one.reach)} for some in (complete, punctual))
    if not covered:
        return [], []
    first = min(pull.extracted for pull in complete)
    gaps = {hour for hour in HOURS if min(covered) < hour < max(covered)} - covered
    return stretches(gaps), stretches(hour for hour in covered - in_time if hour >= first)


def row(account_id, number, pull):
    moments = {name: MONDAY + getattr(pull, name) * HOUR for name in ("start", "end", "extracted")}
    return {
        "extraction_id": f"{account_id:016x}{number:016x}",
        "account_id": account_id,
        "source": "turn",
        "account": f"{account_id:03}",
        "window_start": moments["start"],
        "window_end": moments["end"],
        "started_at": moments["extracted"],
        "extracted_at": moments["extracted"],
        "finished_at": None if pull.state == "running" else moments["extracted"],
        "lateness_s": (moments["extracted"] - moments["end"]).total_seconds() if pull.state == "complete" else None,
        "state": pull.state,
        "covered_until": min(moments["end"], moments["extracted"]) if pull.state == "complete" else None,
        **dict.fromkeys(("resumes", "pages", "row_count", "new_versions", "rejected", "bytes", "map_index"), 0),
        **dict.fromkeys(("dag_id", "run_id", "task_id", "options_digest", "package_version"), ""),
    }


def test_gaps_and_lossy_intervals_equal_those_of_the_hours(store_engine):
    store = Store(store_engine)
    store.prepare()
    chance = random.Random("ledgers")
    ledgers = {account_id: pulls_of(chance) for account_id in range(1, ACCOUNTS + 1)}
    rows = [row(key, number, pull) for key, pulls in ledgers.items() for number, pull in enumerate(pulls)]
    accounts = [{"account_id": key, "source": "turn", "account": f"{key:03}"} for key in ledgers]
    with store_engine.begin() as connection:
        connection.execute(insert(store.context.tables.account), accounts)
        connection.execute(insert(store.context.tables.extraction), rows)

    with store.context.transactions.read() as connection:
        feeds = read_accounts(
            Database(connection, store.context.tables),
            Selection(),
            now=store.context.now(),
            late_after=LATE_AFTER * HOUR,
        )

    found = {int(feed.account): (feed.gaps, feed.lossy) for feed in feeds}
    assert {key: (list(gaps), list(lossy)) for key, (gaps, lossy) in found.items()} == {
        key: expected(pulls) for key, pulls in ledgers.items()
    }
    assert min(sum(bool(one[place]) for one in found.values()) for place in (0, 1)) > ACCOUNTS / 10


@given(st.sets(st.sampled_from(HOURS)), st.sets(st.sampled_from(HOURS)), st.sampled_from(HOURS))
def test_intervals_synced_in_time_and_the_baseline_are_not_lossy(covered, others, first):
    in_time = covered & others
    found = lossy_among(stretches(covered), stretches(in_time), baseline_until=MONDAY + first * HOUR)

    assert found == stretches(hour for hour in covered - in_time if hour >= first)


@given(st.sets(st.sampled_from(HOURS)))
def test_gaps_are_the_time_between_intervals(covered):
    between = {hour for one, other in pairwise(sorted(covered)) for hour in range(one + 1, other)}

    assert gaps_between(stretches(covered)) == stretches(between)
