"""
Diagnosis of a deployment: connections, the store, Airflow's pools and triggerer, installed packages.

Each check returns findings, whose messages have a remedy. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

import requests
from airflow.configuration import conf
from airflow.providers.common.compat.sdk import Connection
from airflow.utils.session import create_session
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from sqlalchemy import bindparam, select, text
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_wacontacts.exceptions import DOCUMENTATION, WaContactsError
from airflow_provider_wacontacts.hooks.connections import (
    describe_unknown_extras,
    extras_of_form,
    read_connection,
    read_extras,
)
from airflow_provider_wacontacts.hooks.feed import HTTP_EXTRAS, FeedHook
from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
from airflow_provider_wacontacts.hooks.store import StoreHook, open_store
from airflow_provider_wacontacts.hooks.store_connection import STORE_EXTRAS
from airflow_provider_wacontacts.hooks.turn import TurnHook
from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
from airflow_provider_wacontacts.hooks.whatsapp_business_webhook import parse_webhook
from airflow_provider_wacontacts.pipelines.store_status import read_status
from airflow_provider_wacontacts.records.windows import format_minute
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.pseudonym_keys import require_same_secret
from airflow_provider_wacontacts.store.status import Selection

__all__ = ["POOLS", "Finding", "diagnose"]

FEEDS: dict[str, Callable[[str], FeedHook]] = {
    "turn": TurnHook,
    "green_api": GreenApiHook,
    "whatsapp_business": WhatsAppBusinessHook,
}
#: The pools of the example DAGs, by the connection type whose tasks they limit.
POOLS = {"turn": "turn", "green_api": "green_api", "whatsapp_business": "whatsapp_business"}
#: A connection with one of these has a webhook.
WEBHOOK_EXTRAS = {"webhook_secret", "webhook_path"}
#: Executors whose workers share no file with one another.
DISTRIBUTED = ("Celery", "Kubernetes", "ECS", "Batch", "Edge", "Lambda")
#: Installed packages that do not work together, and the remedy.
CONFLICTS = (
    ("universal-pathlib>=0.3", "apache-airflow<3.2", "Airflow's ObjectStoragePath fails with it"),
    ("celery>=5.7", "apache-airflow-providers-celery<=3.26", "the Celery executor cannot be imported with it"),
)
CONNECTIONS = text("SELECT conn_id FROM connection WHERE conn_type IN :conn_types ORDER BY conn_id").bindparams(
    bindparam("conn_types", expanding=True)
)
DISTRIBUTION = "airflow-provider-wacontacts"
BLOAT = r"""
SELECT relname FROM pg_stat_user_tables
WHERE schemaname = coalesce(CAST(:schema AS text), current_schema()) AND relname LIKE 'wacontacts\_%'
    AND n_dead_tup > 100000 AND n_dead_tup > n_live_tup ORDER BY relname
"""


class Finding(NamedTuple):
    """
    The outcome of a check.

    :param subject: checked object, for example ``connection turn_default``.
    :param message: finding; if something is wrong, with a remedy.
    """

    subject: str
    is_ok: bool
    message: str


def diagnose(
    conn_ids: Sequence[str] = (),
    store_conn_id: str | None = "wacontacts_store",
    receiver_url: str | None = None,
) -> list[Finding]:
    """
    Check a deployment.

    :param conn_ids: connections of feeds that must be there. Default: the default IDs that are defined, and all of
        their types in Airflow's database.
    :param store_conn_id: ``None`` for a deployment without a store.
    :param receiver_url: where the receiver is reached from here; ``None`` for a deployment without one.
    """
    feeds = {conn_id: _conn_type(conn_id) for conn_id in conn_ids or _defined_feeds()}
    return [
        *(finding for conn_id in feeds for finding in _check_feed(conn_id)),
        *([] if feeds else [_no_feed()]),
        *(_check_store(store_conn_id) if store_conn_id else ()),
        *([_check_receiver(receiver_url)] if receiver_url else []),
        *_check_airflow(set(feeds.values())),
        *_check_packages(),
    ]


def _defined_feeds() -> list[str]:
    """Return the connections of feeds, including ones of a default ID and another type."""
    defaults = [f"{conn_type}_default" for conn_type in FEEDS]
    found = [conn_id for conn_id in defaults if _conn_type(conn_id) is not None]
    try:
        with create_session() as session:
            found += session.execute(CONNECTIONS, {"conn_types": [*FEEDS]}).scalars()
    except SQLAlchemyError:
        pass  # reported with the pools
    return list(dict.fromkeys(found))


def _conn_type(conn_id: str) -> str | None:
    try:
        return str(read_connection(conn_id).conn_type)
    except WaContactsError:
        return None


def _no_feed() -> Finding:
    message = (
        "No connection of type turn, green_api or whatsapp_business is defined. Create one. See"
        f" {DOCUMENTATION}/reference/connections.md"
    )
    return Finding("connections", is_ok=False, message=message)


def _check_feed(conn_id: str) -> Iterator[Finding]:
    subject = f"connection {conn_id}"
    default_type = conn_id.removesuffix("_default")
    conn_type = _conn_type(conn_id)
    expected = default_type if default_type in FEEDS else conn_type if conn_type in FEEDS else None
    try:
        connection = read_connection(conn_id, expected)
        if expected is None:
            message = f"It is of type {conn_type!r}, which is none of {', '.join(FEEDS)}. Correct its type."
            yield Finding(subject, is_ok=False, message=message)
            return
        unknown = describe_unknown_extras(connection, HTTP_EXTRAS | extras_of_form(expected))
    except WaContactsError as error:
        yield Finding(subject, is_ok=False, message=str(error))
        return
    for description in unknown:
        yield Finding(subject, is_ok=False, message=f"{description} Correct or remove it.")
    if expected == "whatsapp_business" and WEBHOOK_EXTRAS & read_extras(connection).keys():
        yield _check_webhook(connection)
    is_ok, message = FEEDS[expected](conn_id).test_connection()
    yield Finding(subject, is_ok, message)


def _check_webhook(connection: Connection) -> Finding:
    subject = f"webhook of {connection.conn_id}"
    try:
        parse_webhook(connection)
    except WaContactsError as error:
        return Finding(subject, is_ok=False, message=str(error))
    return Finding(subject, is_ok=True, message="The receiver accepts deliveries with its secret.")


def _check_receiver(url: str) -> Finding:
    subject = "receiver"
    try:
        response = requests.get(f"{url.rstrip('/')}/health", timeout=10, allow_redirects=False)
        state = response.json()["store"]
    except (requests.RequestException, ValueError, KeyError, TypeError):
        message = "It does not respond. Start `wacontacts receiver`, or correct --receiver-url."
        return Finding(subject, is_ok=False, message=message)
    if state == "available":
        return Finding(subject, is_ok=True, message="It is running, and reaches the store.")
    return Finding(subject, is_ok=False, message="It cannot reach the store. Its log has the cause.")


def _check_store(conn_id: str) -> Iterator[Finding]:
    subject = f"store {conn_id}"
    is_ok, message = StoreHook(conn_id).test_connection()
    yield Finding(subject, is_ok, message)
    if not is_ok:
        return
    for description in describe_unknown_extras(read_connection(conn_id), STORE_EXTRAS, only_typos=True):
        yield Finding(subject, is_ok=False, message=f"{description} Correct or remove it.")
    store = open_store(conn_id)
    executor = conf.get("core", "executor")
    if store.context.transactions.is_sqlite and any(name in executor for name in DISTRIBUTED):
        message = f"It is a SQLite file, and the workers of {executor} share no files. Use PostgreSQL."
        yield Finding(subject, is_ok=False, message=message)
    if store.context.transactions.has_database():
        yield from _check_contents(store, subject)


def _check_contents(store: Store, subject: str) -> Iterator[Finding]:
    try:
        status = read_status(store, Selection())
        if status.problem:
            return  # the first task creates or upgrades the tables
        with store.context.read() as db:
            store.context.suppression_list.cached(db.connection)
            require_same_secret(db)
            schema = store.context.tables.table_schema
            bloated = [] if db.is_sqlite else db.execute(BLOAT, schema=schema).scalars().all()
    except WaContactsError as error:
        yield Finding(subject, is_ok=False, message=str(error))
        return
    lost = [attempt for feed in status.feeds for attempt in feed.unfinished if attempt.state == "lost"]
    checks = sum(sender.lost_checks for sender in status.senders)
    if lost or checks:
        oldest = f" The oldest began {format_minute(min(attempt.first_at for attempt in lost))}." if lost else ""
        message = (
            f"{sum(attempt.tries for attempt in lost)} extractions and {checks} checks are lost: their workers were"
            f" killed.{oldest} Clear their tasks; `wacontacts store status` lists them."
        )
        yield Finding(subject, is_ok=False, message=message)
    if bloated:
        message = f"{', '.join(bloated)} consist mostly of dead rows. Check that autovacuum runs, or run VACUUM."
        yield Finding(subject, is_ok=False, message=message)


def _check_airflow(conn_types: set[str | None]) -> Iterator[Finding]:
    from airflow.jobs.job import most_recent_job
    from airflow.models import Pool

    try:
        with create_session() as session:
            slots = dict(session.execute(select(Pool.pool, Pool.slots)).tuples().all())
            triggerer = most_recent_job("TriggererJob", session=session)
            is_alive = triggerer is not None and triggerer.is_alive()
    except SQLAlchemyError:
        message = "Airflow's database cannot be read. Check [database] sql_alchemy_conn, and run `airflow db migrate`."
        yield Finding("airflow database", is_ok=False, message=message)
        return
    for pool in sorted({POOLS[conn_type] for conn_type in conn_types if conn_type in POOLS}):
        yield _check_pool(pool, slots.get(pool))
    lacking = "No triggerer is running: deferred tasks never resume. Start `airflow triggerer`."
    yield Finding("triggerer", is_alive, "It is running." if is_alive else lacking)


def _check_pool(pool: str, slots: int | None) -> Finding:
    subject = f"pool {pool}"
    if slots:
        return Finding(subject, is_ok=True, message=f"It has {slots} slots.")
    lacking = "It does not exist" if slots is None else "It has no slots"
    message = f"{lacking}: tasks of the example DAGs never start. Run `airflow pools set {pool} 1 wacontacts`."
    return Finding(subject, is_ok=False, message=message)


def _check_packages() -> Iterator[Finding]:
    required = [Requirement(line) for line in requires(DISTRIBUTION) or () if "extra ==" not in line]
    wrong = [
        f"{each.name} {_version(each.name) or 'is missing'}, needed is {each.specifier}"
        for each in required
        if not _is_installed(each)
    ]
    for problem in wrong:
        yield Finding("packages", is_ok=False, message=f"{problem}. Run pip install '{DISTRIBUTION}'.")
    for package, other, why in CONFLICTS:
        if _is_installed(Requirement(package)) and _is_installed(Requirement(other)):
            message = f"{package} is installed with {other}: {why}. Install with Airflow's constraints file."
            wrong.append(message)
            yield Finding("packages", is_ok=False, message=message)
    if not wrong:
        yield Finding("packages", is_ok=True, message=f"{DISTRIBUTION} {_version(DISTRIBUTION)} has what it needs.")


def _is_installed(requirement: Requirement) -> bool:
    found = _version(requirement.name)
    return found is not None and SpecifierSet(str(requirement.specifier), prereleases=True).contains(found)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
