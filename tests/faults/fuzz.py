"""
``make fuzz``: generated bodies of every feed, through all of their readers, and into a store.

Each body must end as contacts, results, rejects or an error of this package. No error, reason or log line may contain
any part of it. A seed repeats the same bodies.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import random
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from itertools import chain, count
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import StaticPool

from airflow_provider_wacontacts.callbacks import record_callback
from airflow_provider_wacontacts.clients import auth, green_api, turn, whatsapp_business
from airflow_provider_wacontacts.clients.green_api_checks import check_whatsapp
from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.clients.turn_export import Export
from airflow_provider_wacontacts.clients.whatsapp_business_errors import normalize_status
from airflow_provider_wacontacts.clients.whatsapp_business_login import login
from airflow_provider_wacontacts.clients.whatsapp_business_responses import parse_callback
from airflow_provider_wacontacts.exceptions import WaContactsError
from airflow_provider_wacontacts.files.layout import MANIFEST, REJECTS, FileEntry, Manifest, encode_manifest
from airflow_provider_wacontacts.files.parts import JSON_LINES, PARQUET
from airflow_provider_wacontacts.files.reader import CompletePrefix, read_manifest, read_prefix, read_rejects
from airflow_provider_wacontacts.pipelines.check_results import to_store_results
from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer
from airflow_provider_wacontacts.records.record import Record, Reject
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store
from demo.postgres import NoPostgresError, PostgresServer
from tests.faults.bodies import DOCUMENTS, PERSONAL, Bodies
from tests.faults.fuzz_receiver import post_bodies

__all__ = ["FEEDS", "fuzz"]

START, END = datetime(2022, 9, 12, tzinfo=UTC), datetime(2022, 9, 13, tzinfo=UTC)
USER, NUMBER, OTHER = PERSONAL[0], f"+{PERSONAL[0]}", f"+{PERSONAL[1]}"
INSTANCE = green_api.Instance("1101000001", "example-token")
PSEUDONYMS = Pseudonymizer(b"example-secret-1", ["details.whatsapp_id", "details.name", "id", "name", "phoneNumber"])
STATUSES = (*(200,) * 60, 201, 302, 400, 400, 403, 404, 466, 500, 503)
DATE = "Mon, 12 Sep 2022 08:30:00 GMT"
DATES = (
    *(DATE,) * 5, "", "soon", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -1400",
    "Fri, 31 Dec 9999 23:59:59 +1400", "Mon, 01 Jan 0100 00:00:00 GMT", "Mon, 12 Sep 2022 08:30:00 -9999",
)  # fmt: skip
#: Share of the bodies that also get pseudonyms, or are written, which takes as long as all the rest.
SHARE = 0.2
SHARE_RECORDED = 0.01
BATCH_ROWS = 2_000
#: Of the receiver, whose clients do not wait for each other.
POSTED_AT_ONCE = 100


class Fuzzer:
    """
    Has bodies read, and writes what they hold.

    :param engines: of databases that contacts and callbacks are written to.
    :ivar outcomes: how often reading ended how: with values, or an error of a class; and rows that were rejected.
    """

    def __init__(self, chance: random.Random, bodies: Bodies, engines: Sequence[Engine]) -> None:
        self.chance = chance
        self.bodies = bodies
        self.outcomes: Counter[str] = Counter()
        self._engines = engines
        self._stores = [Store(engine) for engine in engines]
        self._records: list[Record] = []
        self._rejects: list[Reject] = []
        self._tasks = (TaskInstanceKey("dag", f"run {number}", "task") for number in count(1))

    def response(self) -> Response:
        """Return a response with the next body, of any status and date."""
        return Response(self.chance.choice(STATUSES), {"date": self.chance.choice(DATES)}, self.bodies.next())

    def run(self, flow: Generator[Any, Any, Any], *first: Response) -> Any:
        """Send responses to a flow until it returns a value, three generated ones at most."""
        try:
            flow.send(None)
            for response in chain(first, (self.response() for _ in range(3))):
                normalize_status(response)
                flow.send(green_api.normalize_status(response))
        except StopIteration as stop:
            return stop.value
        finally:
            flow.close()
        return None

    def attempt(self, read: Callable[[Fuzzer], None]) -> None:
        """Have bodies read. An error of the package is right, too."""
        outcome = "read"
        try:
            read(self)
        except WaContactsError as error:
            outcome = type(error).__name__
            for each in _shown(error):
                expect_impersonal(str(each))
        self.outcomes[outcome] += 1

    def variants(self, page: Any) -> Iterator[Any]:
        """Yield a page, and sometimes the page with pseudonyms."""
        yield page
        if self.chance.random() < SHARE:
            yield page.pseudonymized(PSEUDONYMS)

    def keep(self, records: Sequence[Record], rejects: Sequence[Reject]) -> None:
        """Write some of the contacts and rejects, when there are enough of them."""
        for reject in rejects:
            expect_impersonal(reject.reason)
        self.outcomes["rejected rows"] += len(rejects)
        if self.chance.random() < SHARE:
            self._records += records
            self._rejects += rejects
        if len(self._records) + len(self._rejects) >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what was kept. The stores must take all of it, or reject it."""
        task = next(self._tasks)
        for store in self._stores:
            store.prepare()
            given = {"source": "turn", "account": "main", "window": Window(START, END), "task": task}
            extraction = store.begin(**given, options_digest="", package_version="0")
            extraction.write(self._records, self._rejects, position=None, pages=1, size=1, extracted_at=END)
            extraction.finish("complete")
        self._records, self._rejects = [], []

    def record_callback(self, body: bytes) -> None:
        """Record a callback in each store."""
        for engine in self._engines:
            record_callback(engine, OTHER, body, verified=True, received_at=END)


def expect_impersonal(message: str) -> None:
    """Make sure that a message has nothing of a body in it, be it the beginning of a number."""
    if any(value[:7] in message for value in PERSONAL):
        raise AssertionError(f"personal data in a message: {message}")


def _shown(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that its traceback shows."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


class _Watch(logging.Handler):
    """Looks at each log line."""

    def emit(self, record: logging.LogRecord) -> None:
        expect_impersonal(record.getMessage())


# What reads the bodies of each feed


def _read_turn(fuzzer: Fuzzer) -> None:
    if fuzzer.chance.random() < 0.1:
        flows = turn.create_cursor(START, END, turn.ExportOptions()), turn.get_schemas()
        fuzzer.run(fuzzer.chance.choice(flows))
    else:
        fuzzer.run(_pages(fuzzer), Response(200, {"date": DATE}, b'{"cursor": "example"}'))


def _pages(fuzzer: Fuzzer) -> Generator[Any, Any, None]:
    export = Export(Window(START, END))
    while page := (yield from export.next_page()):
        for each in fuzzer.variants(page):
            fuzzer.keep(*each.records())


def _read_green_api(fuzzer: Fuzzer) -> None:
    if fuzzer.chance.random() < 0.1:
        flows = green_api.get_usable_state(INSTANCE), green_api.get_wa_settings(INSTANCE)
        fuzzer.run(fuzzer.chance.choice(flows))
        return
    snapshot = fuzzer.run(green_api.get_contacts(INSTANCE))
    for each in fuzzer.variants(snapshot):
        assert sum(len(page.keys) for page in each.pages(END)) == each.rows
        assert isinstance(each.rejected_ids, frozenset)
        fuzzer.keep(list(each.records(END)), each.rejects)


def _read_green_api_check(fuzzer: Fuzzer) -> None:
    to_store_results(fuzzer.run(check_whatsapp(INSTANCE, NUMBER)), [NUMBER], asked_at=END)


def _read_whatsapp(fuzzer: Fuzzer) -> None:
    if fuzzer.chance.random() < 0.8:
        response = fuzzer.run(whatsapp_business.check_contacts([NUMBER, OTHER]))
        to_store_results(response, [NUMBER, OTHER], asked_at=END)
        return
    flows = (
        whatsapp_business.probe_contacts(),
        login("example", "example"),
        whatsapp_business.get_identity(USER),
        whatsapp_business.acknowledge_identity(USER, "hash"),
    )
    value = fuzzer.run(fuzzer.chance.choice(flows))
    if isinstance(value, auth.Token):
        auth.TokenCache().keep(value, END)


def _read_callback(fuzzer: Fuzzer) -> None:
    parse_callback(body := fuzzer.bodies.next())
    if fuzzer.chance.random() < SHARE_RECORDED:
        fuzzer.record_callback(body)


class _Stored:
    """A prefix in memory, or a file of it."""

    def __init__(self, files: Mapping[str, bytes], name: str = "") -> None:
        self._files = files
        self._name = name

    def __truediv__(self, name: str) -> _Stored:
        return _Stored(self._files, name)

    def open(self, _: str) -> BytesIO:
        return BytesIO(self._files[self._name])


def _receive(fuzzer: Fuzzer) -> None:
    bodies = [_of_others(fuzzer.bodies.next(), number) for number in range(POSTED_AT_ONCE)]
    for status, times in post_bodies(fuzzer.chance, bodies).items():
        fuzzer.outcomes[f"status {status}"] += times


def _of_others(body: bytes, number: int) -> bytes:
    """Put other users into a body: a transaction records the results of different numbers."""
    for user in (USER, OTHER[1:]):
        body = body.replace(user.encode(), b"%s%02d" % (user[:-2].encode(), number))
    return body


def _read_files(fuzzer: Fuzzer) -> None:
    """Read a prefix whose part, rejects or manifest is generated."""
    prefix: Any = _Stored(_prefix(fuzzer))
    if manifest := read_manifest(prefix):
        complete, rejects = CompletePrefix(prefix, manifest), list[Reject]()
        fuzzer.keep(list(read_prefix(complete, on_reject=rejects.append)), rejects)
        list(read_rejects(complete))


def _prefix(fuzzer: Fuzzer) -> dict[str, bytes]:
    chance, bodies = fuzzer.chance, fuzzer.bodies
    file_format = PARQUET if chance.random() < 0.02 else JSON_LINES
    part = bodies.next() + b"\n" + bodies.next() + b"\n"
    rejects = _reject(bodies.next()) if chance.random() < 0.8 else bodies.next() + b"\n"
    stored = {f"part-00000.{file_format}": part if file_format == PARQUET else _compress(chance, part)}
    stored[REJECTS] = _compress(chance, rejects)
    entries = [
        FileEntry(name=name, rows=lines.count(b"\n"), bytes=len(data), sha256=sha256(data).hexdigest())
        for (name, data), lines in zip(stored.items(), (part, rejects), strict=True)
    ]
    is_true = chance.random() < 0.9
    return stored | {MANIFEST: _manifest(chance, file_format, *entries) if is_true else bodies.next() + b"\n"}


def _reject(body: bytes) -> bytes:
    return b'{"reason":"no id","body_base64":"%s"}\n' % b64encode(body)


def _compress(chance: random.Random, lines: bytes) -> bytes:
    data = gzip.compress(lines, 1)
    return data if chance.random() < 0.95 else data[: chance.randrange(len(data))]


def _manifest(chance: random.Random, file_format: str, part: FileEntry, rejects: FileEntry) -> bytes:
    return encode_manifest(
        Manifest(
            format_version=1,
            extraction_id="example",
            source=chance.choice(("turn", "green_api")),
            account="main",
            window_start=START,
            window_end=END,
            extracted_at=END,
            finished_at=END,
            file_format=file_format,
            parts=[part],
            rejects=rejects,
            pages=1,
            rows=2,
            rejected=1,
            bytes=1,
            lateness_s=0.0,
            lossy=False,
            number_id=None,
            package_version="0",
            dag_id="dag",
            run_id="run",
            task_id="task",
            map_index=-1,
        )
    )


#: What reads the bodies of each feed.
FEEDS: Mapping[str, Callable[[Fuzzer], None]] = {
    "turn": _read_turn,
    "green_api": _read_green_api,
    "check_whatsapp": _read_green_api_check,
    "whatsapp_business": _read_whatsapp,
    "callbacks": _read_callback,
    "receiver": _receive,
    "files": _read_files,
}


def fuzz(feed: str, seed: int, bodies: int, engines: Sequence[Engine]) -> Counter[str]:
    """
    Have generated bodies read.

    :param engines: of databases that contacts and callbacks are written to.
    :returns: see :class:`Fuzzer`.
    :raises AssertionError: personal data was in a message. Any other exception that no error of the package is, too.
    """
    chance, read = random.Random(seed), FEEDS[feed]
    generated = Bodies(chance, DOCUMENTS[feed])
    fuzzer = Fuzzer(chance, generated, engines)
    with _watched_logs():
        while generated.count < bodies:
            try:
                fuzzer.attempt(read)
            except BaseException:
                sys.stderr.write(f"{feed}, seed {seed}, body {generated.count}: {generated.last[:2_000]!r}\n")
                raise
        fuzzer.flush()
    return fuzzer.outcomes


@contextmanager
def _watched_logs() -> Iterator[None]:
    watch, logger = _Watch(), logging.getLogger("airflow_provider_wacontacts")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(watch)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(watch)
        logger.setLevel(level)
        logger.propagate = propagate


def in_memory() -> Engine:
    """Return a database that lasts as long as its engine."""
    return create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    options.add_argument("feeds", nargs="*", metavar="FEED", help=f"{', '.join(FEEDS)} (all)")
    options.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the bodies (random)")
    options.add_argument("--bodies", type=int, default=1_000_000, help="for each feed (1,000,000)")
    given = options.parse_args()
    for feed in given.feeds or FEEDS:
        began = time.monotonic()
        with ExitStack() as stack:
            outcomes = fuzz(feed, given.seed, given.bodies, [in_memory(), *_postgres(stack)])
        found = ", ".join(f"{name} {number:,}" for name, number in outcomes.most_common())
        sys.stdout.write(
            f"{feed}: {given.bodies:,} bodies, seed {given.seed}, {time.monotonic() - began:.0f} s: {found}\n"
        )
        sys.stdout.flush()


def _postgres(stack: ExitStack) -> Iterator[Engine]:
    """Give a database of PostgreSQL, where it is installed."""
    try:
        server = stack.enter_context(PostgresServer())
    except NoPostgresError:
        return
    engine = create_engine(server.url())
    stack.callback(engine.dispose)
    yield engine


if __name__ == "__main__":
    main()
