"""Mistakes of users: each fails without retries, and its message names the mistake and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.exceptions import DOCUMENTATION, RetryableStoreError
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor
from airflow_provider_wacontacts.store import transactions

MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
SECRET = "example-secret-word"
TURN = {"conn_type": "turn", "host": "turn.example.org", "password": SECRET}
WABA = {"conn_type": "whatsapp_business", "host": "waba.example.org", "password": SECRET, "extra": {"auth": "bearer"}}
STORE = {"conn_type": "wacontacts_store", "host": "127.0.0.1", "port": 1, "login": "etl", "password": SECRET}
CRM = {"contacts_conn_id": "crm"}


class Mistake(NamedTuple):
    """
    A task with one mistake.

    :param connection: ID and fields of the wrong connection; of no fields where there is none.
    :param says: what the message has; ``{tmp}`` is a directory.
    :param is_retried: Airflow may retry it, because the same task may succeed later.
    """

    says: str
    arguments: dict[str, Any] = {}  # noqa: RUF012 - of a tuple, which copies nothing and changes nothing
    connection: tuple[str, dict[str, Any]] | None = None
    kind: Any = TurnContactsToSqlOperator
    is_retried: bool = False


def turn(says: str, **fields: Any) -> Mistake:
    return Mistake(says, connection=("turn_default", TURN | fields))


def store(says: str, *, is_retried: bool = False, **fields: Any) -> Mistake:
    return Mistake(says, connection=("wacontacts_store", STORE | fields), is_retried=is_retried)


def files(says: str, path: Any) -> Mistake:
    return Mistake(says, {"path": path}, kind=TurnContactsToObjectStorageOperator)


def check(says: str, connection: Any = None, **arguments: Any) -> Mistake:
    given = arguments or {"contacts": ["+12015550123"]}
    return Mistake(says, given, connection, kind=WhatsAppCheckContactsOperator)


def waba(says: str, **fields: Any) -> Mistake:
    return check(says, ("whatsapp_business_default", WABA | fields))


FILE = {"port": None, "login": None, "password": None}
MISTAKES = [
    Mistake("Connection 'nowhere' is not defined. Create it", {"turn_conn_id": "nowhere"}),
    turn("'turn_default' is of type 'green_api'. turn_conn_id needs", conn_type="green_api"),
    turn("'turn_default' is of type 'http'. turn_conn_id needs", conn_type="http"),
    turn("'turn_default' has no type. turn_conn_id needs", conn_type=""),
    turn("host is empty", host=""),
    turn("host is not a host name", host="turn.example.org/a b"),
    turn("over unencrypted http://. Set it to https://", host="http://turn.example.org"),
    turn("schema is neither https nor http", schema="postgres"),
    turn("password is empty. Set it to the API token", password=""),
    turn("password has spaces", password=f"Bearer {SECRET}"),
    turn("extra 'timeout' is not a number of seconds above 0", extra={"timeout": 0}),
    turn("extra 'verify' is neither true nor false", extra={"verify": 7}),
    turn("extra 'cert' is neither the path of a file", extra={"cert": 7}),
    turn("extra 'proxies' is neither a URL", extra={"proxies": 7}),
    turn("extra 'allow_http' is neither true nor false", extra={"allow_http": "perhaps"}),
    Mistake("account is of type int after rendering", {"account": 7}),
    Mistake("turn_conn_id is of type int after rendering", {"turn_conn_id": 7}),
    Mistake("start is empty after rendering", {"start": ""}),
    Mistake("start is not an ISO 8601 time", {"start": "yesterday"}),
    Mistake("has no time zone", {"start": datetime(2022, 9, 12)}),  # noqa: DTZ001 - that is the mistake
    Mistake("start is set without end", {"end": None}),
    Mistake("is not after start", {"end": "2022-09-11T00:00:00Z"}),
    Mistake("extra 'pseudonym_secret' is missing or empty", {"pseudonymize": ["details.name"]}),
    files("path is a relative path", "contacts"),
    # Before Airflow 3.2, paths find out when they are read.
    *([files("path begins with s4://", "s4://bucket/contacts")] if airflow.__version__ >= "3.2" else []),
    files("path begins with gs://, which no installed package reads. Install it", "gs://bucket/contacts"),
    files("path is of type int after rendering", 7),
    Mistake("Connection 'nowhere' is not defined", {"store_conn_id": "nowhere"}),
    store("is of type 'mysql'. The store needs a connection of type wacontacts_store", conn_type="mysql"),
    store("host is empty", **FILE, host=""),
    store("host is a relative path", **FILE, host="data/store.db"),
    store("whose|its directory is missing", **FILE, host="/nonexistent/store.db"),
    store("extra 'table_schema' is PostgreSQL's", **FILE, host="/srv/store.db", extra={"table_schema": "x"}),
    store("extra 'auto_upgrade' is neither true nor false", extra={"auto_upgrade": "perhaps"}),
    store("The pseudonym secret is shorter than 16 bytes", extra={"pseudonym_secret": "short"}),
    store("does not accept: 'sslmod'", extra={"sslmod": "require"}),
    store("cannot reach db.invalid:1: the host name is unknown", host="db.invalid"),
    store("cannot reach 127.0.0.1:1: the connection was refused", is_retried=True),
    check("Connection 'nowhere' is not defined", contacts_sql="SELECT 1 AS number", contacts_conn_id="nowhere"),
    check("Connection 'crm' has no table or view 'contcts'", contacts_sql="SELECT 1 AS number FROM contcts", **CRM),
    check("Connection 'crm' has no column 'numbr'", contacts_sql="SELECT numbr AS number", **CRM),
    check("does not accept the SQL", contacts_sql="SELEC 1", **CRM),
    check("The query has no column 'number'; it has phone", contacts_sql="SELECT 1 AS phone", **CRM),
    check("contacts is a single value", contacts="+12015550123"),
    check("2 of 2 inputs were rejected", contacts=["abc", "12"]),
    check("region 'XX'", contacts=["+12015550123"], default_region="XX"),
    waba("'whatsapp_business_default' is of type 'turn'", conn_type="turn"),
    waba("host is Meta's Cloud API", host="graph.facebook.com"),
    waba("extra 'auth' must be login, bearer or d360", extra={"auth": "oauth"}),
    waba("extra 'daily_checks'", extra={"auth": "bearer", "daily_checks": 0}),
    Mistake("check_id is the whole summary", {"check_id": {"check_id": "0"}}, kind=WhatsAppContactsSensor),
    Mistake("check_id is empty", {"check_id": ""}, kind=WhatsAppContactsSensor),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.says[:40])
def test_a_mistake_is_named_with_its_remedy_and_not_retried(
    mistake: Mistake,
    connect: Callable[..., None],
    context: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transactions, "UNKNOWN_HOST_S", 0)
    connect("turn_default", **TURN)
    connect("whatsapp_business_default", **WABA)
    for conn_id in ("wacontacts_store", "crm"):
        connect(conn_id, conn_type="sqlite", host=str(tmp_path / f"{conn_id}.db"))
    if mistake.connection:
        connect(mistake.connection[0], **mistake.connection[1])
    window = {"start": MONDAY, "end": TUESDAY} if issubclass(mistake.kind, TURN_OPERATORS) else {}

    task = mistake.kind(task_id="task", **window | mistake.arguments)
    with pytest.raises(RetryableStoreError if mistake.is_retried else AirflowFailException) as failed:
        task.execute(context(MONDAY, TUESDAY))

    message = str(failed.value)
    assert any(words in message for words in mistake.says.split("|"))
    assert DOCUMENTATION in message
    assert SECRET not in message


TURN_OPERATORS = (TurnContactsToSqlOperator, TurnContactsToObjectStorageOperator)
