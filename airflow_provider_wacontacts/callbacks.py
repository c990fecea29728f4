"""Record the events that a WhatsApp Business API client posts to a webhook of your own. It needs no Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import InvalidIdentifierError
from airflow_provider_wacontacts.identifiers.numbers import read_sender
from airflow_provider_wacontacts.pipelines.callbacks import RecordedCallback, parse_delivery, record_delivery
from airflow_provider_wacontacts.store.store import Store

__all__ = ["RecordedCallback", "record_callback"]


def record_callback(
    store: Engine | URL | str,
    sender: str,
    body: bytes | str,
    *,
    table_schema: str | None = None,
    pseudonym_secret: str | None = None,
    verified: bool = False,
    received_at: datetime | None = None,
) -> RecordedCallback:
    """
    Record the check results, identity changes and changed numbers of a webhook delivery.

    Deliveries may be repeated, late and in any order: the store ends up the same. Sensors see the results at their next
    poll. Messages, receipts and profiles are ignored, without a connection to the store.

    :param store: SQLAlchemy engine of the store's database, PostgreSQL or SQLite, or its URL. Pass an engine if
        deliveries are frequent. Missing tables are created.
    :param sender: Name that the sender's numbers are stored under: extra ``sender`` of its connection. With a plus
        sign, it sets the region of numbers that have none.
    :param body: Body of the delivery, unchanged.
    :param table_schema: PostgreSQL schema of the store's tables. Default: the schema of the database connection.
    :param pseudonym_secret: Extra ``pseudonym_secret`` of the store's connection, if set. It identifies erased people,
        whose data is not recorded.
    :param verified: Whether you verified that the delivery comes from the client, for example by a secret in the URL of
        the webhook. Default: ``False``. Then WhatsApp IDs in results are ignored, and only statuses are recorded:
        otherwise anybody could link a number with the WhatsApp ID of another person.
    :param received_at: When the delivery arrived, timezone-aware. Default: now, by the database's clock.
    :raises ContractError: the body is not a JSON object. The error does not quote it.
    :raises ConfigError: an argument is invalid, or the store cannot be used.
    :raises LandingError: the database failed. Have the delivery repeated.
    """
    received_at = _parse_received_at(received_at)
    sender = _parse_sender(sender)
    delivery = parse_delivery(_bytes(body), sender)
    if not delivery.is_empty:
        secret = pseudonym_secret.encode() if pseudonym_secret else None
        with _opened(store, table_schema, secret) as opened:
            opened.prepare()
            record_delivery(opened, sender, delivery, verified=verified, received_at=received_at)
    return delivery.counts


def _bytes(body: object) -> bytes:
    if isinstance(body, str):
        return body.encode(errors="surrogatepass")
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise ConfigError("body must be bytes or a string, as delivered.")
    return bytes(body)


def _parse_sender(sender: object) -> str:
    if not isinstance(sender, str) or not sender.strip():
        raise ConfigError("sender is empty. Set it to the extra 'sender' of its connection, or to the connection ID.")
    try:
        return read_sender(sender)
    except InvalidIdentifierError as error:
        reason = error.reason
    raise ConfigError(f"sender is neither a name nor a phone number: {reason}. Set it to the number in E.164.")


def _parse_received_at(received_at: datetime | None) -> datetime | None:
    if received_at is None:
        return None
    if not isinstance(received_at, datetime) or received_at.tzinfo is None:
        raise ConfigError("received_at must be a timezone-aware datetime.")
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
    message = "store must be an SQLAlchemy engine, or its URL, for example postgresql+psycopg://…"
    try:
        if isinstance(url, (str, URL)):
            return create_engine(url, hide_parameters=True)
    except (ArgumentError, TypeError, ValueError):
        pass
    except ImportError:
        message = "The driver of the store's database is not installed."
    # Raised outside of the handlers: the URL in their exceptions may contain a password.
    raise ConfigError(message)
