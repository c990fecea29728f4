"""The work of a round, with separate days, numbers and connections, and models of its results."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from threading import Event as Signal
from threading import Thread
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_wacontacts.sandbox import Event
from demo.api import ApiRefusedError
from tests.faults.deployed.deployment import Deployment
from tests.faults.proxies import KINDS, Kind, Proxy
from tests.faults.subjects import AREAS, Found

__all__ = ["Follower", "Plan", "Work", "number_pattern"]

ZONE = ZoneInfo("Europe/Berlin")
DAYS, PEOPLE, LISTED, CHECKED, ERASED = 2, 36, 15, 40, 2
#: The share of requests that a proxy strikes.
STRUCK = 0.2
#: Before the first round; each has days of its own.
FIRST_DAY = date(2025, 5, 1)
COMPLETE = (
    "SELECT window_start, window_end FROM wacontacts_extraction"
    " WHERE dag_id = 'faults_windows' AND task_id = 'to_store' AND state = 'complete'"
    " AND window_start >= :first AND window_end <= :last ORDER BY 1"
)
RUNS = "SELECT dag_id, run_id FROM dag_run WHERE dag_id = 'faults_windows' AND logical_date BETWEEN :first AND :last"
CHANGES = "SELECT change_id FROM wacontacts_change WHERE change_id > :last"
DOUBLE = (
    "SELECT version_id FROM wacontacts_change WHERE change_kind <> 'erased' AND version_id IS NOT NULL"
    " GROUP BY version_id HAVING count(*) > 1"
)
SPENT = "SELECT coalesce(sum(spent), 0) FROM wacontacts_budget WHERE sender = :sender"
STATUSES = "SELECT number, status FROM wacontacts_number WHERE sender = :sender AND status IS NOT NULL"


def number_pattern() -> str:
    """Return a pattern, for Python and PostgreSQL, of the numbers of all people."""
    return f"1?({'|'.join(map(str, AREAS))})555[0-9]{{4}}"


def person(number: int) -> str:
    """Return the WhatsApp ID of a person."""
    area, line = divmod(number, 10_000)
    return f"1{AREAS[area % len(AREAS)]}555{line:04}"


@dataclass(frozen=True)
class Plan:
    """
    What is special about a round.

    :param day: the first of its days; ``None`` for one that no other round has.
    :param is_backwards: the backfill begins with the last window.
    :param is_twice: every window, list and check is done by two runs at once.
    :param proxy: how all requests go: through a proxy that fails now and then, by ``http`` or ``CONNECT``.
    """

    day: date | None = None
    is_backwards: bool = False
    is_twice: bool = False
    proxy: Literal["", "http", "CONNECT"] = ""


class Follower:
    """A consumer of the change log that asks for what is above the last ID it saw."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._is_over = Signal()
        self.seen: set[int] = set()
        self._thread = Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        last = 0
        while not self._is_over.wait(0.2):
            with suppress(SQLAlchemyError):
                found = self._deployment.rows(
                    "SELECT change_id FROM wacontacts_change WHERE change_id > :last", last=last
                )
                self.seen |= {number for (number,) in found}
                last = max([last, *self.seen])

    def missed(self) -> int:
        """Count the changes below one that it saw, that it did not see."""
        there = {number for (number,) in self._deployment.rows(CHANGES, last=0)}
        return len({number for number in there - self.seen if number < max(self.seen)})

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()


class Work:
    """
    The work of one round.

    :ivar runs: the runs that have to succeed.
    :ivar struck: the requests that a proxy struck.
    """

    def __init__(self, deployment: Deployment, number: int, chance: random.Random, plan: Plan) -> None:
        self.deployment = deployment
        self.number = number
        self.chance = chance
        self.plan = plan
        self.table = f"people_{number}"
        self.budget = chance.choice([45, 1000])
        first = plan.day or FIRST_DAY + timedelta(days=3 * number)
        self.days = [first + timedelta(days=each) for each in range(DAYS)]
        self.start, self.end = (self._at(day) for day in (first, first + timedelta(days=DAYS)))
        self.began = datetime.now(UTC)
        self.runs: set[tuple[str, str]] = set()
        self.people = [person(100 * number + each) for each in range(PEOPLE)]
        self.erased = {self.people[ERASED]}
        self.events: list[Event] = []
        self.struck = 0
        self._proxies = ExitStack()
        self._green_spent = self._spent(self._green_sender)

    def close(self) -> None:
        """End the proxies."""
        self._proxies.close()

    @staticmethod
    def _at(day: date) -> datetime:
        return datetime(day.year, day.month, day.day, 1, 30, tzinfo=ZONE).astimezone(UTC)

    # The source

    def load(self) -> None:
        """Put people into the mock servers, the CRM and the connections."""
        sandbox = self.deployment.sandbox
        span = (self.end - self.start).total_seconds()
        for n, whatsapp_id in enumerate(self.people):
            # Half of the contacts in the first hours, which are the short windows.
            within = self.chance.uniform(0, 7200 if n % 2 else span)
            moment = (self.start + timedelta(seconds=within)).replace(microsecond=0)
            event = Event(moment, 1000 * self.number + n + 1, details={"whatsapp_id": whatsapp_id, "state": 0})
            with sandbox.lock:
                self.events.append(sandbox.world.add(event))
            if n < LISTED:
                sandbox.green_api.put(f"{whatsapp_id}@c.us", name="example")
        self._fill_crm()
        self._connect()

    def change(self) -> None:
        """Let contacts change at the source: the windows do not hold one of them any more."""
        sandbox = self.deployment.sandbox
        event = self.chance.choice(self.events)
        sandbox.upsert(event.id, state=self.chance.random())
        sandbox.green_api.rename(f"{self.chance.choice(self.people[:LISTED])}@c.us", name=str(self.chance.random()))

    def _fill_crm(self) -> None:
        checked = [person(100 * self.number + each) for each in range(CHECKED)]
        values = ", ".join(f"('{n}', '+{each}')" for n, each in enumerate(checked))
        with self.deployment.crm.begin() as crm:
            crm.exec_driver_sql(f"CREATE TABLE {self.table} (contact_key text, number text)")
            crm.exec_driver_sql(f"INSERT INTO {self.table} VALUES {values}")
            erased = " OR ".join(f"number = '+{each}'" for each in self.erased)
            crm.exec_driver_sql(f"CREATE TABLE {self.table}_erased AS SELECT number FROM {self.table} WHERE {erased}")

    def _connect(self) -> None:
        sandbox, late, connect = self.deployment.sandbox, self.deployment.late, self.deployment.connect

        routes = {server.url: self._route(server.url) for server in (sandbox, late)}

        def declare(name: str, conn_type: str, server: Any, own: dict[str, Any], **more: Any) -> None:
            host, way = routes[server.url]
            extra = json.dumps({"allow_http": True, **more, **way})
            connect(f"{name}_{self.number}", conn_type=conn_type, host=host, extra=extra, **own)

        own = sandbox.green_api.behaviour
        user = sandbox.whatsapp.behaviour
        login = {"login": user.username, "password": user.password}
        declare("turn", "turn", sandbox, {"password": sandbox.token})
        declare("green_api", "green_api", sandbox, {"login": own.id_instance, "password": own.token}, daily_checks=5000)
        declare("prompt", "whatsapp_business", sandbox, login, sender=self._sender("prompt"), daily_checks=self.budget)
        declare("late", "whatsapp_business", late, login, sender=self._sender("late"), daily_checks=1000)

    def _route(self, url: str) -> tuple[str, dict[str, Any]]:
        """Return the host of a connection, and its extras for the proxy."""
        if not self.plan.proxy:
            return url, {}
        proxy = self._proxies.enter_context(Proxy(url, self._strikes, is_tunnel=self.plan.proxy == "CONNECT"))
        host, proxies, verify = proxy.route
        return host, {"proxies": proxies, "verify": verify, "trust_env": False}

    def _strikes(self) -> Kind | None:
        if self.chance.random() > STRUCK:
            return None
        self.struck += 1
        return self.chance.choice([*KINDS])

    def _sender(self, name: str) -> str:
        return f"+1201555{self.number + (5000 if name == 'late' else 0):04}"

    @property
    def _green_sender(self) -> str:
        return f"green_api:{self.deployment.sandbox.green_api.behaviour.id_instance}"

    # Runs

    def begin(self) -> None:
        """Start everything at once."""
        self.load()
        self._backfill()
        for _ in range(2 if self.plan.is_twice else 1):
            self._trigger("snapshot")
            self._trigger("check", whatsapp=f"prompt_{self.number}", table=self.table)
            self._trigger("check", whatsapp=f"late_{self.number}", table=self.table)
            self._trigger("green_check", table=self.table)
        if self.plan.is_twice:
            middle = self.start + (self.end - self.start) / 2
            for _ in range(2):
                self._trigger("window", start=self.start.isoformat(), end=middle.isoformat())

    def erase(self) -> None:
        """Erase a person, recheck stale numbers and import files, beside everything else."""
        self._trigger("erase", table=self.table)
        self._trigger("revalidate", whatsapp=f"late_{self.number}")
        self._trigger("files")

    def conclude(self) -> None:
        """Sync what has changed since, and erase once more: a file that was open meanwhile is complete by now."""
        self._trigger("window", start=self.began.isoformat(), end=datetime.now(UTC).isoformat())
        self._trigger("snapshot")
        self._trigger("erase", table=self.table)

    def failed(self) -> bool:
        """Return whether a run has failed, for all its retries."""
        query = "SELECT dag_id, run_id FROM dag_run WHERE state = 'failed'"
        return not self.runs.isdisjoint(tuple(row) for row in self.deployment.rows(query, self.deployment.metadata))

    def unfinished(self) -> set[tuple[str, str]]:
        """Return the runs that have not succeeded."""
        query = "SELECT dag_id, run_id FROM dag_run WHERE state <> 'success'"
        return {tuple(row) for row in self.deployment.rows(query, self.deployment.metadata)} & self.runs  # type: ignore[misc]

    def _trigger(self, name: str, **conf: str) -> None:
        conf = {"turn": f"turn_{self.number}", "green_api": f"green_api_{self.number}", **conf}
        self.runs.add(self.deployment.trigger(f"faults_{name}", **conf))

    def _backfill(self) -> None:
        order = {
            "dag_id": "faults_windows",
            "from_date": datetime(*self.days[0].timetuple()[:3], tzinfo=ZONE).isoformat(),
            "to_date": datetime(*self.days[-1].timetuple()[:3], 23, 59, tzinfo=ZONE).isoformat(),
            "run_backwards": self.plan.is_backwards,
            "max_active_runs": 8,
            "dag_run_conf": {"turn": f"turn_{self.number}"},
        }
        made = self.deployment.wait(lambda: self._ordered(order), 120)
        assert made, "the last backfill is not closed"
        query = (
            "SELECT dag_id, run_id FROM dag_run WHERE dag_id = 'faults_windows' AND logical_date BETWEEN :one AND :two"
        )
        span = {"one": order["from_date"], "two": order["to_date"]}
        found = self.deployment.rows(query, self.deployment.metadata, **span)
        self.runs |= {(dag_id, run_id) for dag_id, run_id in found}

    def _ordered(self, order: dict[str, Any]) -> bool:
        try:
            self.deployment.call("POST", "backfills", json=order)
        except ApiRefusedError:
            return False
        return True

    # Models

    def verify(self, follower: Follower) -> tuple[Found, list[str]]:
        """Compare what is there with the models; return what is wrong, too, in words."""
        wrong = {
            "lost": [*self._lost_versions(), *self._lost_windows(), *self._lost_in_files(), *self._lost_contacts()],
            "double": [f"version {version_id}" for (version_id,) in self.deployment.rows(DOUBLE)],
            "over": [],
            "leaked": [*self._leaked()],
        }
        wrong["lost"] += [f"{missed} changes" for missed in [follower.missed()] if missed]
        wrong["over"] = self._check_results(wrong["lost"])
        found = Found(*(len(each) for each in wrong.values()))
        return found, [f"{kind}: {what}" for kind, each in wrong.items() for what in each]

    def _latest(self) -> dict[str, Event]:
        """Return the latest version of each contact that is not erased."""
        own = {event.id for event in self.events}
        latest = {event.uuid: event for event in self.deployment.sandbox.truth() if event.id in own}
        return {uuid: event for uuid, event in latest.items() if event.details["whatsapp_id"] not in self.erased}

    def _lost_versions(self) -> Iterator[str]:
        known = "SELECT contact_id, updated_at FROM wacontacts_{} WHERE source = 'turn' AND account = 'line'"
        versions, current = ({*self.deployment.rows(known.format(each))} for each in ("version", "current"))
        for uuid, event in self._latest().items():
            key = (uuid, _to_milliseconds(event.at))
            kept = {(contact_id, _to_milliseconds(at)) for contact_id, at in versions}
            if key not in kept:
                yield f"version of contact {event.id} at {event.at}"
            elif key not in {(contact_id, _to_milliseconds(at)) for contact_id, at in current}:
                yield f"contact {event.id} is current, but not at {event.at}"

    def _lost_windows(self) -> Iterator[str]:
        reached = self.start
        for start, end in self.deployment.rows(COMPLETE, first=self.start, last=self.end):
            if start > reached:
                yield f"window from {reached} to {start}"
            reached = max(reached, end)
        if reached < self.end:
            yield f"window from {reached} to {self.end}"

    def _lost_in_files(self) -> Iterator[str]:
        kept = {record.contact_id for record in self.deployment.contacts_of_files()}
        for uuid, event in self._latest().items():
            if event.at < self.end and uuid not in kept:
                yield f"contact {event.id} in files"

    def _lost_contacts(self) -> Iterator[str]:
        query = "SELECT contact_id FROM wacontacts_current WHERE account = 'instance' AND state = 'present'"
        kept = {contact_id for (contact_id,) in self.deployment.rows(query)}
        listed = {str(row["id"]) for row in self.deployment.sandbox.green_api.rows()}
        own = {f"{each}@c.us" for each in self.people[:LISTED] if each not in self.erased}
        return (f"contact {each} of the list" for each in own & listed - kept)

    def _check_results(self, lost: list[str]) -> list[str]:
        numbers = {f"+{person(100 * self.number + each)}" for each in range(CHECKED)}
        sandbox, late = self.deployment.sandbox, self.deployment.late
        over = []
        prompt, green = self._sender("prompt"), self._green_sender
        given = [
            (prompt, sandbox.whatsapp.truth, sandbox.asked_numbers, self.budget, self._spent(prompt)),
            (green, None, sandbox.green_api.asked_numbers, 5000, self._spent(green) - self._green_spent),
            (self._sender("late"), late.whatsapp.truth, None, 1000, self._spent(self._sender("late"))),
        ]
        for sender, truth, asked, budget, spent in given:
            looks = sum(asked[number] for number in numbers) if asked is not None else 0
            if not looks <= spent <= budget:
                over.append(f"{sender}: {looks} looks, {spent} spent, budget {budget}")
            found = dict(self.deployment.rows(STATUSES, sender=sender))
            expected = numbers - {f"+{each}" for each in self.erased}
            missing = expected - found.keys() if spent < budget else set()
            wrong = {n for n in expected & found.keys() if truth and found[n] != truth(n).status}
            lost += [f"result of {number} by {sender}" for number in missing | wrong]
        return over

    def _spent(self, sender: str) -> int:
        return int(self.deployment.rows(SPENT, sender=sender)[0][0])

    def _leaked(self) -> Iterator[str]:
        gone = {event.uuid for event in self.events if event.details["whatsapp_id"] in self.erased}
        gone |= {f"{each}@c.us" for each in self.erased}
        for name in ("version", "current", "change"):
            query = f"SELECT contact_id FROM wacontacts_{name} WHERE contact_id IS NOT NULL"
            yield from (f"{each} in {name}" for each in _among(gone, self.deployment.rows(query)))
        numbers = {f"+{each}" for each in self.erased}
        query = "SELECT number FROM wacontacts_number WHERE number IS NOT NULL"
        yield from (f"{each} in number" for each in _among(numbers, self.deployment.rows(query)))
        in_files = [(record.contact_id,) for record in self.deployment.contacts_of_files()]
        yield from (f"{each} in files" for each in _among(gone, in_files))


def _among(gone: set[str], rows: Iterable[tuple[Any, ...]]) -> set[str]:
    return gone & {row[0] for row in rows}


def _to_milliseconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)
