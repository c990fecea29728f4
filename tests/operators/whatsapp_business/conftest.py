"""A WhatsApp Business API client, a store, a team's database, and tasks that check numbers between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppCheckContactsOperator,
    WhatsAppRevalidateContactsOperator,
)
from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour, World
from tests.conftest import plain_id

SENDER = "+12015550100"
#: Everybody is on WhatsApp, and nobody's check takes a while, but for whom a test says otherwise.
PLAIN = WhatsAppBehaviour(sender=SENDER, on_whatsapp=1.0, processing_share=0.0)


@pytest.fixture(autouse=True)
def threads_may_execute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow 2 keeps who calls whom for the main thread alone, where tasks run; here some run beside each other."""
    if version("apache-airflow").startswith("2."):
        guard = import_module("airflow.models.baseoperator").ExecutorSafeguard
        monkeypatch.setattr(guard, "_sentinel", SimpleNamespace(callers={}))


class Database:
    """
    A database, and the connection that leads to it.

    :ivar fields: of the connection.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._url = parsed
        self.fields: dict[str, Any] = {"conn_type": "sqlite", "host": parsed.database}
        if parsed.host:
            self.fields = {"conn_type": "postgres", "host": parsed.host, "port": parsed.port}
            self.fields |= {"login": parsed.username, "schema": parsed.database}

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Ask for rows."""
        return [tuple(map(plain_id, row)) for row in self._run(query, parameters)]

    def do(self, statement: str, rows: list[dict[str, Any]] | None = None) -> None:
        """Change rows."""
        self._run(statement, rows)

    def _run(self, statement: str, parameters: Any) -> list[Any]:
        engine = create_engine(self._url, hide_parameters=True)
        with engine.begin() as connection:
            done = connection.execute(text(statement), parameters or {})
            found = done.fetchall() if done.returns_rows else []
        engine.dispose()
        return list(found)


class Tasks:
    """Runs tasks that check numbers, in this process."""

    def __init__(self) -> None:
        self.outlet_events: dict[Any, Any] = {}

    def check(self, contacts: Any = None, *, run_id: str = "run", **arguments: Any) -> dict[str, Any]:
        """Execute an operator that checks."""
        return self.operator(contacts, **arguments).execute(self.context(run_id))

    def go_on(self, event: Any, contacts: Any = None, *, run_id: str = "run", **arguments: Any) -> dict[str, Any]:
        """Execute what a trigger wakes."""
        return self.operator(contacts, **arguments).execute_after_wait(self.context(run_id), event)

    def revalidate(self, *, run_id: str = "run", run_after: datetime | None = None, **arguments: Any) -> dict[str, Any]:
        """Execute an operator that revalidates."""
        operator = WhatsAppRevalidateContactsOperator(task_id="revalidate", **arguments)
        return operator.execute(self.context(run_id, run_after, task_id="revalidate"))

    @staticmethod
    def operator(contacts: Any = None, **arguments: Any) -> WhatsAppCheckContactsOperator:
        return WhatsAppCheckContactsOperator(task_id="check", contacts=contacts, **arguments)

    def context(
        self, run_id: str = "run", run_after: datetime | None = None, task_id: str = "check"
    ) -> Mapping[str, Any]:
        """Give what Airflow hands to a task, as far as an operator may look at it."""
        ti = SimpleNamespace(dag_id="dag", run_id=run_id, task_id=task_id, map_index=-1)
        run = SimpleNamespace(run_after=run_after or datetime.now(UTC))
        return {"ti": ti, "dag_run": run, "outlet_events": self.outlet_events}


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(), now=datetime.now(UTC)) as running:
        yield running


@pytest.fixture
def api(sandbox: Sandbox) -> Sandbox:
    """A client that has never been asked, and whose clock stands still."""
    sandbox.load(World(), now=datetime.now(UTC).replace(microsecond=0), whatsapp=PLAIN)
    return sandbox


@pytest.fixture
def behave(api: Sandbox) -> Callable[..., None]:
    """Change how the client behaves."""

    def change(**fields: Any) -> None:
        api.whatsapp.change(**fields)

    return change


@pytest.fixture
def connect_api(api: Sandbox, connect: Callable[..., None]) -> Callable[..., None]:
    """Declare the client's connection: by its token, and with the sender's number."""

    def declare(*, extra: Mapping[str, Any] | None = None, **fields: Any) -> None:
        own = {"conn_type": "whatsapp_business", "host": api.url, "password": api.whatsapp.behaviour.token}
        extras = {"auth": "bearer", "sender": api.whatsapp.behaviour.sender} | dict(extra or {})
        connect("whatsapp_business_default", **own | fields, extra=extras)

    return declare


@pytest.fixture(params=["sqlite"])
def store(request: pytest.FixtureRequest) -> Database:
    """A store without tables; ``@on_both`` makes it one of either kind."""
    return Database(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def tasks(store: Database, connect: Callable[..., None], connect_api: Callable[..., None]) -> Tasks:
    """Tasks whose connections are all there."""
    connect_api()
    connect("wacontacts_store", **store.fields)
    return Tasks()


@pytest.fixture
def crm(tmp_path: Path, connect: Callable[..., None]) -> Callable[..., Database]:
    """Fill a team's own database, whose connection is ``crm``, with people: key, number, and whether they agreed."""

    def fill(*people: tuple[Any, Any, Any], url: str = "", kind: str = "text") -> Database:
        database = Database(url or f"sqlite:///{tmp_path}/crm.db")
        database.do(f"CREATE TABLE people (id text, phone {kind}, agreed boolean)")
        rows = [{"id": key, "phone": number, "agreed": agreed} for key, number, agreed in people]
        if rows:
            database.do("INSERT INTO people VALUES (:id, :phone, :agreed)", rows)
        connect("crm", **database.fields)
        return database

    return fill


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send every request once."""
    from airflow_provider_wacontacts.hooks import feed
    from airflow_provider_wacontacts.pipelines import check_numbers

    monkeypatch.setattr(feed, "DEFAULT_POLICY", feed.RetryPolicy(budget=timedelta(0)))
    monkeypatch.setattr(check_numbers, "MAX_ATTEMPTS", 1)


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Give all that was logged: Airflow 2 logs as the standard library does, Airflow 3 to its own places."""
    caplog.set_level("DEBUG")
    return lambda: "".join((*capfd.readouterr(), caplog.text))
