"""Six workers load into one store at once: all succeed, and the tables equal those of a single worker."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.records.json import canonical
from airflow_provider_wacontacts.records.record import Record, row_hash
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from tests.store.conftest import PROCESSES

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
WINDOW = Window(MONDAY, MONDAY + timedelta(days=1))
WORKERS = 6


def states(worker):
    """A worker's versions: the same contacts and versions as other workers', in its own order, with ties."""
    dice = Random(worker)
    drawn = [(dice.randrange(150), dice.randrange(3), dice.randrange(4)) for _ in range(1_200)]
    return [
        (f"contact {contact}", MONDAY + timedelta(hours=hour), {"savings": savings}) for contact, hour, savings in drawn
    ]


def record(contact_id, updated_at, fields):
    payload = canonical(json.dumps(fields).encode())
    return Record(contact_id, updated_at, row_hash(payload), payload)


def seen_at(worker):
    return WINDOW.end + timedelta(minutes=worker * 7 % 5, seconds=worker)


def begin(store, worker):
    task = TaskInstanceKey("dag", "run", "task", worker)
    return store.begin(
        source="turn", account="main", window=WINDOW, task=task, options_digest="", package_version="1.2.3"
    )


def work(url, worker):
    """Run a worker in its own process."""
    engine = create_engine(url)
    store = Store(engine)
    store.prepare()
    extraction = begin(store, worker)
    records = [record(*state) for state in states(worker)]
    new = sum(
        extraction.write(
            records[at : at + 100], position=None, pages=1, size=1, extracted_at=seen_at(worker), number_ids={"1"}
        )
        for at in range(0, len(records), 100)
    )
    finished = extraction.finish()
    engine.dispose()
    return new, finished.new_versions, finished.rows, finished.state


def expected():
    """The expected rows of the tables, in plain Python."""
    seen = {}
    for worker in range(WORKERS):
        for contact_id, updated_at, fields in states(worker):
            key = contact_id, updated_at, record(contact_id, updated_at, fields).row_hash
            seen.setdefault(key, []).append(seen_at(worker))
    versions = {key: (min(times), max(times)) for key, times in seen.items()}
    current = {}
    for (contact_id, updated_at, hash_), (_, last) in versions.items():
        current[contact_id] = max(current.get(contact_id, ()), (updated_at, last, hash_))
    return versions, current


def test_six_concurrent_workers_all_succeed(store_url, store_engine, dump_store):
    with ProcessPoolExecutor(WORKERS, PROCESSES) as workers:
        done = list(workers.map(work, [store_url] * WORKERS, range(WORKERS)))
    found = dump_store(store_engine, "main")
    versions, current = expected()

    assert [(rows, state) for _, _, rows, state in done] == [(1_200, "complete")] * WORKERS
    assert [counted for counted, *_ in done] == [kept for _, kept, *_ in done]
    assert sum(counted for counted, *_ in done) == len(versions)
    assert {
        (row["contact_id"], row["updated_at"], row["row_hash"]): (row["first_seen_at"], row["last_seen_at"])
        for row in found["version"]
    } == versions
    assert {
        row["contact_id"]: (row["updated_at"], row["last_seen_at"], row["row_hash"]) for row in found["current"]
    } == current


def take_over(url, _):
    engine = create_engine(url)
    extraction = begin(Store(engine), 0)
    engine.dispose()
    return extraction.resumes


def test_six_concurrent_retries_take_over_from_one_another(store_url, store_engine):
    Store(store_engine).prepare()
    with ProcessPoolExecutor(WORKERS, PROCESSES) as workers:
        resumes = list(workers.map(take_over, [store_url] * WORKERS, range(WORKERS)))
    with store_engine.connect() as connection:
        query = "SELECT state, count(*) FROM wacontacts_extraction GROUP BY state ORDER BY state"
        states_left = [tuple(row) for row in connection.execute(text(query))]

    assert sorted(resumes) == list(range(WORKERS))
    assert states_left == [("abandoned", WORKERS - 1), ("running", 1)]


def test_a_sqlite_transaction_waits_for_the_previous_one(sqlite_landing):
    landing = sqlite_landing
    first, second = landing.begin("first"), landing.begin("second")
    order = []

    def other(connection):
        order.append("second" if connection.in_transaction() else "")

    def work_meanwhile(_):
        worker.start()
        worker.join(0.3)
        order.append("first")

    from threading import Thread

    worker = Thread(target=landing.store.context.transactions.run, args=(other,))
    landing.store.context.transactions.run(work_meanwhile)
    worker.join()
    assert order == ["first", "second"]
    assert [one.finish().state for one in (first, second)] == ["complete", "complete"]


def test_only_one_of_an_old_attempt_and_its_retry_commits(landing):
    zombie = landing.begin()
    retry = landing.begin()
    landing.land(retry, landing.record("a"))
    with pytest.raises(LandingError):
        landing.land(zombie, landing.record("a"))
    assert retry.finish().new_versions == 1
