"""
``make faults``: faults of every kind during every kind of work, on every database, compared with models.

A round is one kind of work on a separate account. A fault occurs in its first attempts, at a random point, while the
source changes and a person is erased. Then attempts without faults follow until one is complete, and the result is
compared with the model. A seed repeats the same rounds, except for the timing of threads.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg2
from sqlalchemy import Engine, event

from airflow_provider_wacontacts.exceptions import WaContactsError
from airflow_provider_wacontacts.sandbox import Fault as Answer
from airflow_provider_wacontacts.sandbox import Sandbox, World
from airflow_provider_wacontacts.store import context
from demo.postgres import NoPostgresError, PostgresServer
from tests.faults.processes import PROCESSES, HungError, KilledError
from tests.faults.proxies import PROXIES
from tests.faults.subjects import SUBJECTS, Fault, Found, GreenToStore, Subject

__all__ = ["Tally", "campaign", "read_options", "table"]

#: An attempt that takes longer hangs.
HUNG_S = 180
MAX_ATTEMPTS = 12
DAY = timedelta(days=1)


@dataclass
class Tally:
    """What rounds of one fault came to."""

    rounds: int = 0
    found: Found = field(default_factory=Found)
    hung: int = 0

    @property
    def is_clean(self) -> bool:
        return not any((*self.found, self.hung))


# Wire


def _wire(name: str, kind: Any, **more: Any) -> Fault:
    def strike(subject: Subject) -> None:
        on = subject.chance.choice(subject.requests)
        times, skip = subject.chance.choice([1, 1, 3, 30]), subject.chance.randint(0, 3)
        subject.sandbox.fail(Answer(kind=kind, on=on, times=times, skip=skip, **more))
        subject.attempt()

    return Fault(f"wire: {name}", strike, lambda subject, _: bool(subject.requests))


JUNE = (
    '{"data":[{"id":1,"uuid":"not-requested","number_id":1,"updated_at":"2020-06-01T08:00:00Z",'
    '"inserted_at":"2020-06-01T08:00:00Z","details":{}}],"paging":{"next":null}}'
)
WIRE = (
    _wire("500 Internal Server Error", "status", status=500),
    _wire("503 Service Unavailable, with Retry-After", "status", status=503, headers={"retry-after": "7"}),
    _wire("504 Gateway Timeout, as HTML", "html", status=504),
    _wire("200 OK, as HTML", "html"),
    _wire("200 OK, empty", "empty"),
    _wire("429 Too Many Requests", "rate_limited", delay_s=5),
    _wire("429 Too Many Requests, for a week", "rate_limited", delay_s=604_800),
    _wire("connection dropped", "drop"),
    _wire("response cut", "cut"),
    _wire("time-out", "delay", delay_s=0.8),
    _wire("truncated JSON", "body", body='{"data":[{"id":'),
    _wire("cursor expired", "expired"),
    _wire("cursor repeated", "repeat_cursor"),
    _wire("another export's page", "body", body=JUNE),
)

# Database


def _breaking(
    name: str, breaks: Callable[[Subject, Any, str], None], fits: Callable[[type[Subject], str], bool]
) -> Fault:
    def strike(subject: Subject) -> None:
        number, at = count(1), subject.chance.randint(1, 60)

        def prepare(engine: Engine) -> None:
            def before(connection: Any, *_: Any) -> None:
                if next(number) == at:
                    breaks(subject, connection)

            event.listen(engine, "before_cursor_execute", before)

        subject.prepare = prepare
        subject.attempt()

    return Fault(f"database: {name}", strike, fits)


def _on_postgres(subject: type[Subject], url: str) -> bool:
    return subject.uses_store and url.startswith("postgresql")


def _terminate(subject: Subject, connection: Any) -> None:
    own = connection.connection.dbapi_connection.info.backend_pid
    with _admin(subject.url) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", (own,))


def _refuse(_: Subject, connection: Any) -> None:
    raise connection.dialect.dbapi.OperationalError("database or disk is full")


def _lock(subject: Subject, _: Any) -> None:
    """Hold the store's tables for a moment, as VACUUM FULL does."""

    def hold() -> None:
        with suppress(psycopg2.Error), _admin(subject.url) as admin:
            admin.execute("SET lock_timeout = '1s'")
            admin.execute("BEGIN")
            for name in ("number", "contact_version", "extraction"):
                admin.execute(f"LOCK TABLE wacontacts_{name} IN ACCESS EXCLUSIVE MODE")
            admin.execute("SELECT pg_sleep(0.5)")

    Thread(target=hold, daemon=True).start()
    time.sleep(0.05)


def _vacuum(subject: Subject, _: Any) -> None:
    """Rewrite the store's tables, as an administrator does."""

    def rewrite() -> None:
        with suppress(psycopg2.Error), _admin(subject.url) as admin:
            admin.execute("VACUUM FULL")

    Thread(target=rewrite, daemon=True).start()


@contextmanager
def _admin(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url.replace("+psycopg2", "").replace("+psycopg", ""))
    connection.autocommit = True
    try:
        yield connection.cursor()
    finally:
        connection.close()


DATABASE = (
    _breaking("connection terminated", _terminate, _on_postgres),
    _breaking("disk full", _refuse, lambda subject, _: subject.uses_store),
    _breaking("tables locked for a moment", _lock, _on_postgres),
    _breaking("VACUUM FULL", _vacuum, _on_postgres),
)

# Clocks


def _clock(name: str, steps: Callable[[random.Random], timedelta], *, but_for: tuple[type[Subject], ...] = ()) -> Fault:
    def strike(subject: Subject) -> None:
        def turn() -> None:
            subject.sandbox.clock.set(subject.now + steps(subject.chance))

        subject.before_request = turn
        try:
            subject.attempt()
        finally:
            subject.sandbox.clock.set(datetime.now(UTC))

    return Fault(f"clock: {name}", strike, lambda subject, _: bool(subject.requests) and subject not in but_for)


def _wrong_worker(subject: Subject) -> None:
    """Let the worker's clock be a day ahead or behind: the database's decides."""
    by = subject.chance.choice([-DAY, DAY])

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + by

    right = context.datetime
    context.datetime = Wrong  # type: ignore[misc]
    try:
        subject.attempt()
    finally:
        context.datetime = right  # type: ignore[misc]


def _apart(chance: random.Random) -> timedelta:
    return timedelta(minutes=chance.choice([-20, 20]))


CLOCKS = (
    _clock("server a year ahead", lambda _: 365 * DAY),
    # Snapshots fail until the time of the newest has passed.
    _clock("two servers, 40 minutes apart", _apart, but_for=(GreenToStore,)),
    Fault("clock: worker a day ahead or behind", _wrong_worker, _on_postgres),
)

# All

FAULTS = (*WIRE, *PROXIES, *DATABASE, *CLOCKS, *PROCESSES)


def campaign(
    seed: int, seconds: float, urls: list[str], root: Path, faults: Sequence[Fault] = FAULTS
) -> dict[str, Tally]:
    """
    Run rounds until the time is up, at least one of each fault.

    :param urls: databases with or without the store's tables.
    :returns: by fault.
    """
    chance, ends_at, numbers = random.Random(seed), time.monotonic() + seconds, count(1)
    tallies: dict[str, Tally] = defaultdict(Tally)
    with Sandbox(World()) as sandbox, _limited():
        while True:
            for fault in chance.sample(faults, len(faults)):
                fitting = [(kind, url) for kind in SUBJECTS for url in urls if fault.fits(kind, url)]
                if fitting:
                    kind, url = chance.choice(fitting)
                    subject = kind(sandbox, url, root, random.Random(chance.random()), next(numbers))
                    _round(fault, subject, tallies[fault.name])
            if time.monotonic() >= ends_at:
                return dict(sorted(tallies.items()))


def _round(fault: Fault, subject: Subject, tally: Tally) -> None:
    tally.rounds += 1
    is_erased_between = subject.uses_store and subject.chance.random() < 0.3
    for number in range(MAX_ATTEMPTS):
        is_struck = number < subject.chance.choice([1, 1, 2, 3])
        try:
            with _deadline():
                if _attempt(fault if is_struck else None, subject) and not is_struck:
                    break
        except HungError:
            tally.hung += 1
            return
        subject.change()
        if number == 0 and is_erased_between:
            subject.erase()
    else:
        tally.hung += 1
        return
    found = subject.verify()
    if any(found):
        sys.stderr.write(f"{fault.name}: {type(subject).__name__} on {subject.url.partition(':')[0]}: {found}\n")
    tally.found = tally.found.plus(found)


def _attempt(fault: Fault | None, subject: Subject) -> bool:
    try:
        if fault:
            fault.strike(subject)
            return False
        return subject.attempt()
    except (WaContactsError, KilledError):
        return False
    finally:
        subject.prepare = subject.before_request = lambda *_: None  # type: ignore[assignment]
        subject.route = None
        subject.sandbox.faults.clear()


@contextmanager
def _limited() -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise HungError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _deadline() -> Iterator[None]:
    signal.alarm(HUNG_S)
    try:
        yield
    finally:
        signal.alarm(0)


def table(tallies: dict[str, Tally], counted: str = "rounds") -> str:
    """Return the table: what each fault left behind."""
    columns = (counted, "lost", "double", "over budget", "hung", "leaked")
    lines = [f"| fault | {' | '.join(columns)} |", f"| --- {'| ---: ' * len(columns)}|"]
    for name, tally in tallies.items():
        lost, double, over_budget, leaked = tally.found
        numbers = (tally.rounds, lost, double, over_budget, tally.hung, leaked)
        lines.append(f"| {name} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


@contextmanager
def databases(root: Path) -> Iterator[list[str]]:
    """Give a SQLite file, and PostgreSQL by both drivers where it is installed."""
    urls = [f"sqlite:///{root}/store.db"]
    try:
        with PostgresServer() as server:
            for driver in ("psycopg2", "psycopg"):
                with _admin(server.url()) as admin:
                    admin.execute(f"CREATE DATABASE campaign_{driver}")
                urls.append(server.url(driver=driver, database=f"campaign_{driver}"))
            yield urls
    except NoPostgresError:
        yield urls


def read_options(arguments: Sequence[str], *, prog: str, description: str | None, seconds: float) -> argparse.Namespace:
    """Read the options of a campaign."""
    options = argparse.ArgumentParser(prog=prog, description=description)
    options.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the rounds (random)")
    options.add_argument("--seconds", type=float, default=seconds, help=f"how long new rounds begin ({seconds:.0f})")
    options.add_argument("--only", default="", help="faults whose name has this pattern in it (all)")
    return options.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    given = read_options(arguments, prog="make faults ARGS=", description=__doc__, seconds=600)
    sys.stdout.write(f"seed {given.seed}, {given.seconds:.0f} s\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as directory, databases(Path(directory)) as urls:
        faults = [fault for fault in FAULTS if re.search(given.only, fault.name)]
        tallies = campaign(given.seed, given.seconds, urls, Path(directory), faults)
    sys.stdout.write(f"{table(tallies)}\n")
    return int(not all(tally.is_clean for tally in tallies.values()))
