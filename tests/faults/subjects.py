"""The work that the campaign disturbs: one attempt of each kind, and a model of its results."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import requests
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from airflow_provider_wacontacts.clients import green_api
from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.retry import Clock, RetryLoop, RetryPolicy
from airflow_provider_wacontacts.clients.whatsapp_business import check_contacts
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse
from airflow_provider_wacontacts.exceptions import BudgetExceededError
from airflow_provider_wacontacts.files import read_contacts
from airflow_provider_wacontacts.pipelines.check_inputs import parse_inputs
from airflow_provider_wacontacts.pipelines.check_numbers import CheckRun
from airflow_provider_wacontacts.pipelines.erasure import erase_people, read_people
from airflow_provider_wacontacts.pipelines.green_api_snapshot import SnapshotSpec, fetch_snapshot, snapshot_to_store
from airflow_provider_wacontacts.pipelines.import_files import ImportSpec, import_files
from airflow_provider_wacontacts.pipelines.stop import StopSignal
from airflow_provider_wacontacts.pipelines.turn_sync import SyncSpec, sync_to_files, sync_to_store
from airflow_provider_wacontacts.pipelines.wait_for_results import PendingCheck, poll_results
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.sandbox import Event, Sandbox, TurnBehaviour, WhatsAppBehaviour, World
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.attempts import recorded
from airflow_provider_wacontacts.store.checks.model import CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["SUBJECTS", "Fault", "Found", "GreenToStore", "Subject"]

DAY = timedelta(days=1)
#: Who is erased, of a round's people.
ERASED = 2
#: Area codes whose numbers 555-0000 and up are people.
AREAS = (212, 213, 305, 310, 312, 404, 415, 512, 617, 702)
POLICY = RetryPolicy(budget=timedelta(seconds=20), max_pause=timedelta(seconds=10))
#: Seconds to connect, and between two packets.
TIMEOUT = (2.0, 0.5)


class Found(NamedTuple):
    """What a round left behind that it must not, as counts."""

    lost: int = 0
    double: int = 0
    over_budget: int = 0
    leaked: int = 0

    def plus(self, other: Found) -> Found:
        return Found(*map(sum, zip(self, other, strict=True)))


class Fault(NamedTuple):
    """
    A fault.

    :param strike: makes one attempt under it.
    :param fits: whether it can strike this kind of work on this database.
    """

    name: str
    strike: Callable[[Subject], None]
    fits: Callable[[type[Subject], str], bool]


class Subject:
    """
    One kind of work in one round, on an account of its own.

    :ivar prepare: is handed each engine before it is used, to break it.
    :ivar route: URL, proxies and certificate, where the server is reached in another way.
    """

    #: Requests that it makes.
    requests: ClassVar[tuple[str, ...]] = ()
    uses_store: ClassVar[bool] = True

    def __init__(self, sandbox: Sandbox, url: str, root: Path, chance: random.Random, number: int) -> None:
        self.sandbox = sandbox
        self.url = url
        self.chance = chance
        self.account = f"account {number}"
        self._first_person = 40 * number
        self.task = TaskInstanceKey("dag", f"run {number}", "task")
        self.root = root / self.account.replace(" ", "-")
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.stop = StopSignal()
        self.prepare: Callable[[Engine], None] = lambda _: None
        self.before_request: Callable[[], None] = lambda: None
        self.route: tuple[str, dict[str, str], str | bool] | None = None
        self.erased: str | None = None
        self.load()

    def load(self) -> None:
        """Put people into the sandbox."""

    def change(self) -> None:
        """Let something happen between two attempts, at the source."""

    def attempt(self) -> bool:
        """Make one attempt; return whether it is complete."""
        raise NotImplementedError

    def verify(self) -> Found:
        """Compare what is there with the model, after a complete attempt."""
        raise NotImplementedError

    @contextmanager
    def store(self, *, is_broken: bool = True) -> Iterator[Store]:
        """Open the store on connections of its own."""
        engine = create_engine(self.url, poolclass=NullPool)
        if is_broken:
            self.prepare(engine)
        try:
            store = Store(engine)
            store.prepare()
            yield store
        finally:
            engine.dispose()

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(text(sql), values)]
        engine.dispose()
        return found

    def driver(self, **headers: str) -> Driver:
        slept: list[float] = []
        session = requests.Session()
        session.trust_env = False
        session.headers.update(headers)
        url, session.proxies, session.verify = self.route or (self.sandbox.url, {}, True)
        clock = Clock(sleep=slept.append, monotonic=lambda: sum(slept))
        return Driver(session, url, RetryLoop(policy=POLICY, clock=clock), timeout=TIMEOUT)

    def person(self, n: int) -> str:
        """Return the WhatsApp ID of the round's n-th person."""
        area, line = divmod(self._first_person + n, 10_000)
        return f"1{AREAS[area % len(AREAS)]}555{line:04}"

    def erase(self) -> None:
        """Erase one person."""
        self.erased = self.person(ERASED)
        with self.store(is_broken=False) as store:
            erase_people(read_people([self.erased]), store=store)

    def _double(self) -> int:
        """Count the versions of the account that were logged as news more than once."""
        return len(
            self.rows(
                "SELECT version_id FROM wacontacts_change WHERE account = :account AND change_kind <> 'erased'"
                " GROUP BY version_id HAVING count(*) > 1",
                account=self.account,
            )
        )


class _Turn(Subject):
    requests = ("create", "page")

    def load(self) -> None:
        self.day = datetime(self.now.year, self.now.month, self.now.day, tzinfo=UTC) - DAY
        self.window = Window(self.day, self.day + DAY)
        contacts = self.chance.randint(7, 25)
        self.events = [
            Event(self.day + timedelta(minutes=40 * n), n, details={"whatsapp_id": self.person(n), "state": 0})
            for n in range(1, contacts + 1)
        ]
        self.seen: set[tuple[str, datetime]] = set()
        behaviour = TurnBehaviour(page_size=self.chance.choice([1, 3, 5]))
        self.sandbox.load(World.from_events(self.events), now=self.now, behaviour=behaviour)

    def change(self) -> None:
        """Let some contacts change today: the window does not hold them any more."""
        for event in self.chance.sample(self.events, 2):
            self.sandbox.upsert(event.id, state=self.chance.random())

    def spec(self) -> SyncSpec:
        return SyncSpec(self.account, self.window, self.task, "0", lookback=timedelta(0))

    def run_flow(self) -> Any:
        driver = self.driver(authorization=f"Bearer {self.sandbox.token}")

        def run(flow: Any, **given: Any) -> Any:
            self.before_request()
            page = driver.run(flow, **given)
            if page is not None:
                self.seen |= {(keys.contact_id, keys.updated_at) for keys in page.keys}
            return page

        return run

    def truth(self) -> set[str]:
        latest = {event.id: event for event in sorted(self.sandbox.truth(), key=lambda event: event.at)}
        return {event.uuid for event in latest.values() if event.at < self.window.end}

    def gone(self) -> set[str]:
        """Return the contact that was erased."""
        return {event.uuid for event in self.sandbox.truth() if self.erased and event.id == ERASED}


class TurnToStore(_Turn):
    """A window into the store: every version that was received, once."""

    def attempt(self) -> bool:
        with self.store() as store:
            sync_to_store(self.spec(), run=self.run_flow(), store=store, uri="x:", stop=self.stop)
        return True

    def verify(self) -> Found:
        kept = {
            (contact_id, _utc(moment))
            for contact_id, moment in self.rows(
                "SELECT contact_id, updated_at FROM wacontacts_version WHERE account = :account", account=self.account
            )
        }
        gone = self.gone()
        lost = {key for key in self.seen - kept if key[0] not in gone}
        lost |= {(uuid, None) for uuid in self.truth() - {uuid for uuid, _ in kept} - gone}
        return Found(len(lost), self._double(), leaked=sum(uuid in gone for uuid, _ in kept))


class TurnToFiles(_Turn):
    """A window into files: all of it below one complete prefix."""

    uses_store = False

    def change(self) -> None:
        """Leave the contacts alone: another attempt fetches all of them."""

    def attempt(self) -> bool:
        file_format = self.chance.choice(["jsonl.gz", "parquet"])
        sync_to_files(self.spec(), run=self.run_flow(), root=self.root, file_format=file_format, stop=self.stop)
        return True

    def verify(self) -> Found:
        return Found(len(self.truth() - {contact.record.contact_id for contact in read_contacts(self.root)}))


class FilesToStore(TurnToFiles):
    """Files into the store, which were written before anything goes wrong."""

    requests = ()
    uses_store = True

    def load(self) -> None:
        super().load()
        super().attempt()

    def attempt(self) -> bool:
        with self.store() as store:
            import_files(ImportSpec(self.task, "0"), root=self.root, store=store)
        return True

    def verify(self) -> Found:
        found = self.rows("SELECT contact_id FROM wacontacts_version WHERE account = :it", it=self.account)
        erased = self.gone()
        kept = {uuid for (uuid,) in found}
        return Found(len(self.truth() - kept - erased), self._double(), leaked=len(kept & erased))


class GreenToStore(Subject):
    """A snapshot into the store: the contacts of the last list are there, and all others are gone."""

    requests = ("contacts", "wa_settings")

    def load(self) -> None:
        self.sandbox.load(World(), now=self.now)
        self.people = [f"{self.person(n)}@c.us" for n in range(self.chance.randint(3, 12))]
        for person in self.people:
            self.sandbox.green_api.put(person, name="example", at=self.now - DAY)

    def change(self) -> None:
        self.sandbox.green_api.rename(self.chance.choice(self.people), name=str(self.chance.random()))

    def attempt(self) -> bool:
        behaviour = self.sandbox.green_api.behaviour
        instance, driver = green_api.Instance(behaviour.id_instance, behaviour.token), self.driver()
        spec = SnapshotSpec(self.account, self.task, "0")

        def get_contacts(**given: Any) -> Any:
            self.before_request()
            return driver.run(green_api.get_contacts(instance, **given))

        api = SimpleNamespace(
            get_wa_settings=lambda: driver.run(green_api.get_wa_settings(instance)), get_contacts=get_contacts
        )
        with self.store() as store:
            fetched = fetch_snapshot(spec, api)
            return bool(fetched.snapshot.rows) and snapshot_to_store(spec, fetched, store=store, uri="x:").rows > 0

    def verify(self) -> Found:
        kept = {
            uuid
            for (uuid,) in self.rows(
                "SELECT contact_id FROM wacontacts_current WHERE account = :it AND state = 'present'", it=self.account
            )
        }
        truth = {str(row["id"]) for row in self.sandbox.green_api.rows() if "id" in row}
        erased = {f"{self.erased}@c.us"}
        return Found(len((truth & {*self.people}) - kept - erased), self._double(), leaked=len(kept & erased))


class Check(Subject):
    """A check and the wait for its results: never more looks than were spent, nor more spent than the budget."""

    requests = ("check",)

    def load(self) -> None:
        self.numbers = [f"+{self.person(n)}" for n in range(self.chance.randint(5, 20))]
        self.budget = self.chance.choice([8, 40, 1_000])
        self.is_waited_for = self.chance.random() < 0.5
        behaviour = WhatsAppBehaviour(on_whatsapp=0.8, processing_share=0.5 if self.is_waited_for else 0.0)
        self.sandbox.load(World(), now=self.now, whatsapp=behaviour)

    def attempt(self) -> bool:
        driver = self.driver(authorization=f"Bearer {self.sandbox.whatsapp.behaviour.token}")

        def ask(numbers: Any) -> CheckResponse:
            self.before_request()
            return driver.run(check_contacts(numbers, idempotent=False))

        client = SimpleNamespace(requests_a_second=500.0, batch_size=4, check_numbers=ask)
        with self.store() as store:
            checks = SenderChecks(store.context, self.account, daily_checks=self.budget)
            check = checks.open(CheckSpec(self.task, "0", "0", self.now - 7 * DAY))
            with recorded(check):
                if not check.is_filled:
                    check.fill(parse_inputs(self.numbers, None))
                with suppress(BudgetExceededError):
                    CheckRun(check=check, checks=checks, client=client, stop=self.stop).run()
                check.finish()
            return self._wait(checks, check.check_id, ask)

    def _wait(self, checks: SenderChecks, check_id: str, ask: Any) -> bool:
        pending = PendingCheck(checks, check_id, datetime.now(UTC) + DAY, batch_size=4)
        totals = pending.begin()
        for _ in range(20):
            if totals.state == "resolved":
                return True
            totals = poll_results(pending, ask)
        return totals.state == "resolved"

    def verify(self) -> Found:
        spent = sum(n for (n,) in self.rows("SELECT spent FROM wacontacts_budget WHERE sender = :it", it=self.account))
        found = self.rows("SELECT number, status FROM wacontacts_number WHERE sender = :it", it=self.account)
        answered = {number for number, status in found if status is not None}
        erased = {f"+{self.erased}"}
        # Where the budget was spent on requests without a response, nothing is left for the other numbers.
        lost = set(self.numbers) - answered - erased if spent < self.budget else ()
        looks = 0 if self.is_waited_for else sum(self.sandbox.asked_numbers.values())
        over_budget = max(0, looks - spent) + max(0, spent - self.budget)
        return Found(len(lost), over_budget=over_budget, leaked=len(answered & erased))


SUBJECTS: tuple[type[Subject], ...] = (TurnToStore, TurnToFiles, FilesToStore, GreenToStore, Check)


def _utc(moment: Any) -> datetime:
    return (datetime.fromisoformat(moment) if isinstance(moment, str) else moment).astimezone(UTC)
