"""What the webhook of a WhatsApp Business API client delivers about contacts, kept in the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TypeAlias

from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError

from airflow_provider_wacontacts.clients.whatsapp_business import (
    MAX_HASH_LENGTH,
    MAX_WA_ID_LENGTH,
    ContactResult,
    is_resolved,
    parse_callback,
)
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.numbers import NotANumberError, infer_region, normalize
from airflow_provider_wacontacts.pipelines.check_results import to_store_status
from airflow_provider_wacontacts.records.identities import IdentityChange
from airflow_provider_wacontacts.store.checks.model import CheckResults
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.identities import SenderIdentities
from airflow_provider_wacontacts.store.store import Store

__all__ = ["RecordedCallback", "record_callback"]

Results: TypeAlias = dict[str, tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class RecordedCallback:
    """
    What a delivery held. A number or an identity counts once, whether or not it was known before.

    :param results: numbers with a result of a check.
    :param identities: identities that users have changed to.
    :param ignored: entries about what cannot be a number, or an identity.
    """

    results: int = 0
    identities: int = 0
    ignored: int = 0


def record_callback(
    store: Engine | URL | str,
    sender: str,
    body: bytes | str,
    *,
    table_schema: str | None = None,
    pseudonym_secret: str | None = None,
    received_at: datetime | None = None,
) -> RecordedCallback:
    """
    Keep what a webhook delivery says about contacts: results of checks, and the news that users have changed.

    Deliveries may come twice, late, and in any order: the same rows end in the store. Whoever waits for a result is
    told by it. Messages, their receipts, and the profiles of those who wrote are left alone, and cost no connection.

    :param store: an SQLAlchemy engine on the store's database, PostgreSQL or SQLite, or its URL. An engine of one's own
        is cheaper where deliveries are many; the store's tables are made where they are missing.
    :param sender: what the sender's numbers are filed under: the same as extra ``sender`` of its connection. With a
        plus sign, it gives the region of numbers that have none.
    :param body: as it came, whatever else is in it.
    :param table_schema: PostgreSQL schema of the store's tables; the connection's own by default.
    :param pseudonym_secret: what the store's connection has as its extra of that name, where it has one: people who
        were erased are known by it, and nothing is kept about them.
    :param received_at: aware; now, by default. When a delivery waited elsewhere, the time at which it came in.
    :raises ContractError: the body is not a JSON object. Nothing of it is in the error.
    :raises ConfigError: an argument cannot be, or the store cannot be used.
    :raises LandingError: the database failed; let it be delivered again.
    """
    moment = _moment(received_at)
    sender = sender.strip() if isinstance(sender, str) else ""
    if not sender:
        raise ConfigError("sender is empty; it is what the sender's connection has as its extra 'sender', or its id")
    callback = parse_callback(_bytes(body))
    results, strange = _by_number(callback.results, sender)
    changes = [change for change in callback.identities if _is_plausible(change)]
    if results or changes:
        secret = pseudonym_secret.encode() if pseudonym_secret else None
        with _opened(store, table_schema, secret) as opened:
            opened.prepare()
            for some in _in_parts(results):
                SenderChecks(opened.context, sender).record_delivered(
                    CheckResults(some, moment, moment, callback.client_version)
                )
            SenderIdentities(opened.context, sender).record_changes(changes, detected_at=moment)
    return RecordedCallback(
        results=len(results),
        identities=len({(change.wa_id, change.hash) for change in changes}),
        ignored=strange + len(callback.identities) - len(changes),
    )


def _by_number(said: Iterable[ContactResult], sender: str) -> tuple[Results, int]:
    """Return what is said by number, what is final before what is not, and how often it is about no number."""
    found: Results = {}
    strange, region = 0, infer_region(sender)
    for one in said:
        try:
            number = normalize(one.input, region).e164
        except NotANumberError:
            strange += 1
            continue
        if number not in found or is_resolved(one.status):
            found[number] = (to_store_status(one), one.wa_id)
    return found, strange


def _in_parts(results: Results, size: int = 1_000) -> Iterator[Results]:
    items = iter(results.items())
    while some := dict(islice(items, size)):
        yield some


def _is_plausible(change: IdentityChange) -> bool:
    return len(change.wa_id) <= MAX_WA_ID_LENGTH and len(change.hash) <= MAX_HASH_LENGTH


def _bytes(body: object) -> bytes:
    if isinstance(body, str):
        return body.encode(errors="surrogatepass")
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise ConfigError("body is neither bytes nor text; give it as it came")
    return bytes(body)


def _moment(received_at: datetime | None) -> datetime:
    if received_at is None:
        return datetime.now(UTC)
    if not isinstance(received_at, datetime) or received_at.tzinfo is None:
        raise ConfigError("received_at is no time with a time zone; give an aware time")
    return received_at.astimezone(UTC)


@contextmanager
def _opened(store: Engine | URL | str, table_schema: str | None, secret: bytes | None) -> Iterator[Store]:
    if isinstance(store, Engine):
        yield Store(store, table_schema=table_schema, secret=secret)
        return
    engine = _engine(store)
    try:
        yield Store(engine, table_schema=table_schema, secret=secret)
    finally:
        engine.dispose()


def _engine(url: URL | str) -> Engine:
    wrong = "store is neither an SQLAlchemy engine nor the URL of one, such as postgresql+psycopg://…"
    try:
        if isinstance(url, (str, URL)):
            return create_engine(url, hide_parameters=True)
    except (ArgumentError, TypeError, ValueError):
        pass
    except ImportError:
        wrong = "store leads to a database whose driver is not installed"
    # Raised here, so that the URL, which may hold a password, is not in its context.
    raise ConfigError(wrong)
