"""Erasure while other tasks load contacts: no task waits for it, and no row of the people remains."""

from __future__ import annotations

import threading
from datetime import timedelta

from airflow_provider_wacontacts.identifiers.reader import read_identifier
from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.records.windows import parse_time
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.erasure import erase, find

MONDAY = parse_time("2024-01-01T00:00:00Z")
DAY = timedelta(days=1)
BOB, EVE = "44623456700", "44623456799"


def who(value):
    return {read_identifier(value).as_wa_id()}


def left(landing):
    """Return the rows of Bob that a search finds."""
    found = find(landing.store.context, who(BOB))[1]
    return {name for name in found.__slots__ if getattr(found, name)}


def test_an_erasure_waits_for_a_running_batch_and_nothing_waits_for_the_erasure(postgres_landing):
    """The batch is committed, and its rows are erased. Later batches skip them without waiting."""
    landing, store = postgres_landing, postgres_landing.store
    extraction, other = landing.begin(), landing.begin("other")
    inside, erased, write = threading.Event(), threading.Event(), store.context.write_batch

    def slowly(connection, batch):
        store.context.write_batch = write
        inside.set()
        while not landing.rows("SELECT count(*) FROM wacontacts_erased")[0][0]:
            assert erasing.is_alive()
        landing.land(other, landing.record("bob", wa_id=BOB), landing.record("joe"))
        assert not erased.is_set()
        return write(connection, batch)

    def forget():
        inside.wait()
        erase(store.context, who(BOB))
        erased.set()

    store.context.write_batch = slowly
    erasing = threading.Thread(target=forget)
    erasing.start()
    landing.land(extraction, landing.record("bob", wa_id=BOB), landing.record("eve", wa_id=EVE))
    erasing.join()
    assert {row["contact_id"] for row in landing.dump()["version"]} == {"eve", "joe"}
    assert left(landing) == set()


def test_workers_that_load_the_person_concurrently_leave_no_rows(postgres_landing):
    landing, store = postgres_landing, postgres_landing.store
    rejects = [Reject("no id", f'{{"phone": "+4462345{n:05}"}}'.encode()) for n in range(2_000)]
    landing.land(landing.begin("rejects"), rejects=rejects)
    begun, erased = threading.Barrier(5), threading.Event()

    def work(worker):
        extraction = landing.begin(f"worker {worker}", account=f"account {worker}")
        for n in range(1_000):
            people = [landing.record(f"{name} {n}", MONDAY + n * DAY, wa_id=name) for name in (BOB, EVE)]
            landing.land(extraction, *people, rejects=[Reject("no id", BOB.encode())])
            if n == 0:
                begun.wait()
            if erased.is_set():
                return

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    begun.wait()
    erase(store.context, who(BOB))
    erased.set()
    for worker in workers:
        worker.join()
    assert left(landing) == set()
    assert {row[0] for row in landing.rows("SELECT wa_id FROM wacontacts_version")} == {EVE}


def test_the_writer_lock_is_the_same_for_a_named_and_a_default_schema(postgres_landing):
    name = postgres_landing.rows("SELECT current_schema()")[0][0]
    named = Store(postgres_landing.engine, table_schema=name)
    done = threading.Event()
    with postgres_landing.engine.begin() as connection:
        postgres_landing.store.context.locks.writer_lock(connection)
        waiting = threading.Thread(target=lambda: named.context.locks.wait_for_writers() or done.set())
        waiting.start()
        assert not done.wait(0.3)
    waiting.join()
    assert done.is_set()
