"""A Turn.io, stores and files to sync into, and a model of their contents in plain Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from airflow_provider_wacontacts import files as objects
from airflow_provider_wacontacts.clients.http import Flow, Response
from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.exceptions import ApiError
from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec, sync_to_files, sync_to_store
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.sandbox import Sandbox, World
from airflow_provider_wacontacts.store import Store

NUMBERS = count(1)
Key = tuple[str, datetime, bytes]
Row = dict[str, Any]
#: What a worker's clock shows when it is first looked at; it goes on by a minute with each look.
WORKER_TIME = datetime(2022, 9, 15, tzinfo=UTC)
#: A clock on which so much time passes between two looks that every page is committed by itself.
HASTY = 1_000.0


class Killed(BaseException):
    """What ends a try without any except clause taking it for an error."""


def overheard(flow: Flow[Any], answers: list[Response]) -> Flow[Any]:
    """Drive a flow in place of its driver's, and keep what it was answered."""
    try:
        request = next(flow)
        while True:
            try:
                answer = yield request
            except ApiError as error:
                request = flow.throw(error)
            else:
                answers.append(answer)
                request = flow.send(answer)
    except StopIteration as stop:
        return stop.value


@dataclass
class Model:
    """What was answered: each state once, and when it was seen."""

    account: str
    seen: dict[Key, Row] = field(default_factory=dict)

    def see(self, answers: list[Response]) -> None:
        """Take in the answers to one try, each of which is seen when the first one came."""
        for answer in answers:
            if answer.status == 200 and "data" in (page := json.loads(answer.body.decode(errors="replace"))):
                date = answers[0].headers.get("date")
                self.keep(page["data"], at=parsedate_to_datetime(date) if date else WORKER_TIME)

    def keep(self, contacts: list[dict[str, Any]], *, at: datetime) -> None:
        for contact in contacts:
            row = self._row(contact, at)
            known = self.seen.setdefault((row["contact_id"], row["updated_at"], row["row_hash"]), row)
            known["first_seen_at"] = min(known["first_seen_at"], at)
            known["last_seen_at"] = max(known["last_seen_at"], at)

    def tables(self) -> dict[str, list[Row]]:
        versions = sorted(self.seen.values(), key=lambda row: (row["contact_id"], *age(row)))
        newest = {row["contact_id"]: row for row in versions}
        followers = [*versions, {"contact_id": None}][1:]
        ends = [
            after["updated_at"] if after["contact_id"] == row["contact_id"] else None
            for row, after in zip(versions, followers, strict=True)
        ]
        history = [
            row | {"valid_from": row["updated_at"], "valid_to": end} for row, end in zip(versions, ends, strict=True)
        ]
        return {"version": versions, "current": list(newest.values()), "history": history}

    def _row(self, contact: dict[str, Any], at: datetime) -> Row:
        payload = bare(contact)
        canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return {
            "source": "turn",
            "account": self.account,
            "contact_id": contact["uuid"],
            "updated_at": datetime.fromisoformat(contact["updated_at"]),
            "row_hash": blake2b(canonical, digest_size=16).digest(),
            "state": "present",
            "first_seen_at": at,
            "last_seen_at": at,
            "wa_id": contact["details"].get("whatsapp_id"),
            "lid": None,
            "user_id": None,
            "repaired": False,
            "payload": payload,
        }


def dump(engine: Engine, account: str) -> dict[str, list[Row]]:
    """Read what a store promises of one account, in order and in Python's types."""
    return {name: rows_of(engine, name, account) for name in ("version", "current", "history")}


def rows_of(engine: Engine, name: str, account: str) -> list[Row]:
    columns = "source, account, contact_id, updated_at, row_hash, state, first_seen_at, last_seen_at, wa_id, lid,"
    columns += " user_id, repaired"
    columns += ", CAST(payload AS text) AS payload" + (", valid_from, valid_to" if name == "history" else "")
    query = text(f"SELECT {columns} FROM wacontacts_{name} WHERE account = :account")
    with engine.connect() as connection:
        found = [python_row(dict(row)) for row in connection.execute(query, {"account": account}).mappings()]
    return sorted(found, key=lambda row: (row["contact_id"], *age(row)))


def python_row(row: Row) -> Row:
    for name in row:
        if name.endswith("_at") or name.startswith("valid_"):
            moment = datetime.fromisoformat(row[name]) if isinstance(row[name], str) else row[name]
            row[name] = moment and moment.astimezone(UTC)
    return row | {
        "row_hash": bytes(row["row_hash"]),
        "repaired": bool(row["repaired"]),
        "payload": json.loads(row["payload"]),
    }


def age(row: Row) -> tuple[datetime, datetime, bytes]:
    return row["updated_at"], row["last_seen_at"], row["row_hash"]


def bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if item is not None}
    return [bare(item) for item in value] if isinstance(value, list) else value


@dataclass
class Place:
    """Somewhere to pull into, and what it should hold."""

    name: str
    model: Model
    sync: Callable[..., Any]
    read: Callable[[], dict[str, list[Row]]]

    def check(self) -> None:
        """Compare it with what was answered to those who pulled into it."""
        found, expected = self.read(), self.model.tables()
        assert found == {name: expected[name] for name in found}, self.name


class Bench:
    """
    One world, pulled into places that nobody else uses.

    :ivar where: the places, by name.
    """

    def __init__(self, lab: Lab, names: tuple[str, ...]) -> None:
        self.turn = lab.turn
        self.account = f"account {next(NUMBERS)}"
        self.where = {name: lab.place(name, self.account) for name in names}

    def pull(
        self,
        name: str,
        window: Window,
        *,
        run_id: str = "",
        lookback: timedelta = timedelta(0),
        page_size: int | None = None,
        ordering: str | None = None,
        cursor_per_page: bool = False,
        pages: int | None = None,
        hasty: bool = False,
        between: Callable[[], None] = lambda: None,
    ) -> Any:
        """
        Pull a window into a place, and let its model see what was answered.

        :param run_id: a new one by default; the same one again makes it a retry.
        :param pages: kill it when it wants to read more than so many.
        :param hasty: commit each page.
        :param between: is called before each page.
        :returns: the summary; ``None`` where it was killed.
        """
        place = self.where[name]
        spec = SyncSpec(
            account=self.account,
            window=window,
            task=TaskInstanceKey("dag", run_id or f"run {next(NUMBERS)}", "task"),
            package_version="0",
            ordering=ordering,
            page_size=page_size,
            lookback=lookback,
            cursor_per_page=cursor_per_page,
        )
        ticks = count(step=HASTY if hasty else 0.0)
        line = Line(self.turn, pages, between)
        try:
            summary = place.sync(spec, run=line.run, monotonic=lambda: next(ticks))
        except Killed:
            if name != "files":
                place.model.see(line.answers)
            return None
        place.model.see(line.answers)
        return summary


class Line:
    """Sends to a sandbox, and keeps what it answers."""

    def __init__(self, turn: Sandbox, pages: int | None, between: Callable[[], None]) -> None:
        self.answers: list[Response] = []
        session = requests.Session()
        session.trust_env = False
        session.headers["authorization"] = f"Bearer {turn.token}"
        self._driver = Driver(session, turn.url)
        self._pages = pages
        self._between = between
        self._asked = 0

    def run(self, flow: Any, **given: Any) -> Any:
        self._between()
        if self._asked == self._pages:
            raise Killed
        self._asked += 1
        return self._driver.run(overheard(flow, self.answers), **given)


class Lab:
    """The sandbox, the stores and the directory that all examples of a session share."""

    def __init__(self, turn: Sandbox, engines: dict[str, Engine], root: Path) -> None:
        self.turn = turn
        self._engines = engines
        self._root = root

    def bench(
        self, world: World, *, now: datetime, behaviour: Any = None, places: tuple[str, ...] = ("sqlite", "files")
    ) -> Bench:
        """Load a world, and give fresh places to pull it into: ``sqlite``, ``postgresql``, ``files``."""
        self.turn.load(world, now=now, behaviour=behaviour)
        return Bench(self, places)

    def place(self, name: str, account: str) -> Place:
        if name == "files":
            return self._files(account)
        engine = self._engines[name]
        sync = partial(sync_to_store, store=Store(engine, now=lambda: WORKER_TIME), uri="x:")
        return Place(name, Model(account), sync, lambda: dump(engine, account))

    def _files(self, account: str) -> Place:
        root, formats = self._root / account, iter(objects.FILE_FORMATS * 1000)

        def sync(spec: SyncSpec, **arguments: Any) -> Any:
            minutes = count()
            arguments["now"] = lambda: WORKER_TIME + timedelta(minutes=next(minutes))
            return sync_to_files(spec, root=root, file_format=next(formats), **arguments)

        def read() -> dict[str, list[Row]]:
            def rows(versions: Iterator[objects.Version]) -> list[Row]:
                found = [version._asdict() | {"payload": json.loads(version.payload)} for version in versions]
                return sorted(found, key=lambda row: (row["contact_id"], *age(row)))

            return {"version": rows(objects.versions(root)), "current": rows(objects.current(root))}

        return Place("files", Model(account), sync, read)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, postgres: Any) -> Iterator[Lab]:
    """A sandbox, a SQLite file, a PostgreSQL database and a directory."""
    root = tmp_path_factory.mktemp("pulls")
    url = postgres.url()
    with create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE pulls")
    engines = {
        "sqlite": create_engine(f"sqlite:///{root}/store.db"),
        "postgresql": create_engine(postgres.url(database="pulls")),
    }
    for engine in engines.values():
        Store(engine).prepare()
    with Sandbox(World(), now=datetime(2022, 9, 12, tzinfo=UTC)) as turn:
        yield Lab(turn, engines, root / "files")
    for engine in engines.values():
        engine.dispose()
