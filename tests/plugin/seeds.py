"""A store for the page: generated people, and a year in which syncs were late, failed, and left gaps."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.turn import parse_record
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.sandbox.population import seeded_world
from airflow_provider_wacontacts.sandbox.turn.behaviour import TurnBehaviour
from airflow_provider_wacontacts.sandbox.turn.contacts import Renderer
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.tables import sqlite_time

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SENDER = "+12015550100"
COLUMNS = (
    *("extraction_id", "account_id", "source", "account", "window_start", "window_end", "covered_until"),
    *("started_at", "heartbeat_at", "extracted_at", "finished_at", "state", "error", "resumes", "pages", "row_count"),
    *("new_versions", "rejected", "bytes", "lateness_s", "lossy", "dag_id", "run_id", "task_id", "map_index"),
    *("options_digest", "package_version"),
)


class Seeds:
    """
    Writes rows of a store as tasks would have, many at a time.

    :ivar people: the invented people, whose contacts are in account ``helpline``.
    """

    def __init__(self, url, now=None):
        self.engine = create_engine(url)
        self.store = Store(self.engine)
        self.store.prepare()
        self.now = (now or datetime.now(UTC)).replace(minute=20, second=0, microsecond=0)
        self.midnight = self.now.replace(hour=0, minute=0)
        self.random = random.Random(7)
        self.people = []
        self.extraction_ids = []
        self.check_ids = []

    def everything(self):
        """Write a year of everything that the page shows."""
        self.contacts()
        self.windows(1, "turn", "helpline", DAY, self.midnight - 400 * DAY, trouble=0.04)
        maternity = self.account("turn", "maternity")
        self.windows(maternity, "turn", "maternity", HOUR, self.midnight - 60 * DAY, trouble=0.01)
        self.snapshots(self.account("green_api", "shop phone"), "shop phone", 120)
        self.failures(1, "helpline")
        self.checks()
        return self

    def account(self, source, account):
        with self.engine.begin() as connection:
            connection.execute(
                text("INSERT INTO wacontacts_account (source, account) VALUES (:source, :account)"),
                {"source": source, "account": account},
            )
            return connection.execute(
                text("SELECT account_id FROM wacontacts_account WHERE account = :account"), {"account": account}
            ).scalar_one()

    def contacts(self):
        """Load invented people and their changes, through the store itself."""
        world = seeded_world(7, contacts=12, start=self.midnight - 6 * DAY, days=5)
        task = TaskInstanceKey("turn_contacts_daily", "backfill__1", "to_store", -1)
        window = Window(self.midnight - 401 * DAY, self.midnight - 400 * DAY)
        extraction = self.store.begin(
            source="turn", account="helpline", window=window, task=task, options_digest="0", package_version="0.1.0"
        )
        renderer, behaviour = Renderer(world), TurnBehaviour()
        records = [parse_record(renderer.contact(event, behaviour)) for event in world if not event.deleted]
        self.people = records
        extraction.write(records, position=None, pages=1, size=1, extracted_at=window.end + HOUR / 4)
        self.extraction_ids.append(extraction.finish().extraction_id)

    def windows(self, account_id, source, account, length, start, *, trouble):
        rows, end = [], start + length
        while end + length / 8 < self.now:
            luck = self.random.random()
            if luck > trouble:
                late = 0.3 * HOUR if luck > 2 * trouble else 5 * HOUR
                rows.append(self._window(account_id, source, account, start, end, late))
            elif luck < trouble / 3:
                rows.append(self._window(account_id, source, account, start, end, HOUR / 3, state="failed"))
            start, end = end, end + length
        rows.append(self._window(account_id, source, account, start - length, start, HOUR / 3))
        self.write(rows)
        self.extraction_ids.append(UUID(rows[-1]["extraction_id"]).hex)

    def snapshots(self, account_id, account, days):
        rows = [
            self._window(account_id, "green_api", account, None, self.midnight - day * DAY + 3 * HOUR, timedelta())
            for day in range(days, 0, -1)
            if self.random.random() > 0.05
        ]
        rows[-9] |= {"state": "incomplete", "covered_until": None}
        self.write(rows)
        self.extraction_ids.append(UUID(rows[-1]["extraction_id"]).hex)

    def failures(self, account_id, account):
        end = self.midnight
        states = (("failed", "AuthError"), ("failed", "AuthError"), ("running", None))
        rows = [
            self._window(account_id, "turn", account, end - DAY / 24, end, HOUR / 3, state=state) | {"error": error}
            for state, error in states
        ]
        rows[-1] |= {"heartbeat_at": self.time(datetime.now(UTC)), "finished_at": None, "row_count": 340}
        self.write(rows)
        lost = self._window(account_id, "turn", account, end - DAY, end, HOUR, state="running")
        self.write([lost | {"heartbeat_at": self.time(self.now - 2 * HOUR), "finished_at": None}])
        self.extraction_ids += [UUID(rows[index]["extraction_id"]).hex for index in (0, 2)]
        self.rejects(self.extraction_ids[-2])
        self.drift(self.extraction_ids[-2])

    def drift(self, extraction_id):
        sql = """
        INSERT INTO wacontacts_field_change (
            account_id, source, account, extraction_id, field, change_kind, type_before, type_after, share, detected_at
        ) VALUES (1, 'turn', 'helpline', :id, :field, :kind, :before, :after, 0.5, :at)
        """
        own = {"id": extraction_id, "at": self.time(self.now)}
        rows = [
            {**own, "field": "details.savings", "kind": "gone", "before": "NUMBER", "after": None},
            {**own, "field": "details.current_savings", "kind": "new", "before": None, "after": "NUMBER"},
        ]
        with self.engine.begin() as connection:
            connection.execute(text(sql), rows)

    def rejects(self, extraction_id):
        sql = "INSERT INTO wacontacts_rejected_row (extraction_id, reason, body) VALUES (:id, :reason, :body)"
        with self.engine.begin() as connection:
            for reason, count in (("no uuid", 3), ("not an object", 1)):
                rows = [{"id": extraction_id, "reason": reason, "body": b"{}"}] * count
                connection.execute(text(sql), rows)

    def checks(self):
        """Write checks in every state, a month of budgets, and identity changes."""
        with self.engine.begin() as connection:
            for number, state in enumerate(("resolved", "resolved", "expired", "failed", "open", "open", "open")):
                self._check(connection, number, state)
            for day in range(30):
                spent = self.random.choice((120, 400, 640, 860, 1000)) if day else 940
                connection.execute(
                    text("INSERT INTO wacontacts_budget (sender, day, spent, daily_limit) VALUES (:s, :d, :n, :l)"),
                    {"s": SENDER, "d": (self.now - day * DAY).date().isoformat(), "n": spent, "l": 1000},
                )
            for index, person in enumerate(self._with_wa_ids()[:3]):
                connection.execute(
                    text(
                        "INSERT INTO wacontacts_identity (sender, wa_id, hash, created_at, detected_at, wa_id_key,"
                        " person_key) VALUES (:s, :w, :h, :t, :t, :w, :w)"
                    ),
                    {"s": SENDER, "w": person.wa_id, "h": f"h{index}", "t": self.time(self.now - index * DAY)},
                )

    @property
    def changed_person(self):
        """A version of a contact that has several, and a WhatsApp ID."""
        versions = Counter((person.contact_id, person.wa_id) for person in self.people)
        return next(person for person in self.people if person.wa_id and versions[person.contact_id, person.wa_id] > 1)

    def _with_wa_ids(self):
        return list({record.wa_id: record for record in self.people if record.wa_id}.values())

    def _check(self, connection, number, state):
        check_id = f"{number:032x}"
        began = self.now - (7 - number) * DAY
        deadline = self.now + (5 if number % 2 else -5) * HOUR if state == "open" else began + DAY
        connection.execute(
            text(
                "INSERT INTO wacontacts_check (check_id, sender, state, created_at, opened_at, filled_at, heartbeat_at,"
                " finished_at, deadline_at, resolved_at, fresh_after, force_check, dag_id, run_id, task_id, map_index,"
                " options_digest, package_version, spent) VALUES (:id, :s, :state, :t, :t, :t, :t, :f, :d, :r, :t,"
                " false, 'whatsapp_check_contacts', 'scheduled__1', 'check', -1, '0', '0.1.0', 50)"
            ),
            {
                "id": check_id,
                "s": SENDER,
                "state": state,
                "t": self.time(began),
                "f": None if number == 6 else self.time(began + HOUR),
                "d": self.time(deadline),
                "r": self.time(began + HOUR) if state == "resolved" else None,
            },
        )
        statuses = ["valid"] * 31 + ["invalid"] * 9 + ["failed", "missing", None, None]
        statuses += ["processing"] * (6 if state == "open" else 0) + ["rejected"] * 4 + ["not_asked"] * 2
        for ordinal, status in enumerate(statuses):
            connection.execute(
                text(
                    "INSERT INTO wacontacts_check_result (check_id, ordinal, input, number, status, reason, waiting,"
                    " from_store, duplicate) VALUES (:id, :o, 'x', :n, :status, :reason, :w, :store, false)"
                ),
                {
                    "id": check_id,
                    "o": ordinal,
                    "n": None if status == "rejected" else f"+1201555{ordinal:04d}",
                    "status": status,
                    "reason": {"rejected": "too short", "not_asked": "opted out"}.get(status),
                    "w": status == "processing",
                    "store": ordinal < 12,
                },
            )
        self.check_ids.append(check_id)

    def _window(self, account_id, source, account, start, end, late, state="complete"):  # noqa: PLR0917
        self.counter = getattr(self, "counter", 1000) + 1
        rows = self.random.randrange(20, 400) * (1 + (end.weekday() < 5))
        began = end + late
        is_complete = state == "complete"
        return {
            **dict.fromkeys(COLUMNS),
            "extraction_id": str(UUID(int=self.counter)) if not self.is_sqlite else UUID(int=self.counter).hex,
            "account_id": account_id,
            "source": source,
            "account": account,
            "state": state,
            "map_index": -1,
            "window_start": start and self.time(start),
            "window_end": end and start and self.time(end),
            "covered_until": self.time(end) if is_complete else None,
            **{name: self.time(began) for name in ("started_at", "heartbeat_at", "extracted_at", "finished_at")},
            "resumes": 0,
            "pages": 1,
            "row_count": rows,
            "new_versions": rows // 3,
            "rejected": 0,
            "bytes": rows * 900,
            "lateness_s": late.total_seconds() if start else None,
            "lossy": late > HOUR,
            "dag_id": f"{source}_contacts_daily",
            "run_id": f"scheduled__{end:%Y-%m-%d}",
            "task_id": "to_store",
            "options_digest": "0",
            "package_version": "0.1.0",
            "error": "NetworkError" if state == "failed" else None,
        }

    @property
    def is_sqlite(self):
        return self.engine.dialect.name == "sqlite"

    def time(self, moment):
        return sqlite_time(moment) if self.is_sqlite else moment

    def write(self, rows):
        names = ", ".join(COLUMNS)
        values = ", ".join(f":{name}" for name in COLUMNS)
        with self.engine.begin() as connection:
            connection.execute(text(f"INSERT INTO wacontacts_extraction ({names}) VALUES ({values})"), rows)
