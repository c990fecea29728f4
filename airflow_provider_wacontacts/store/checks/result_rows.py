"""The rows of a check, ordered by contact, and the rows of the table that they are written to."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.store.batched import batched
from airflow_provider_wacontacts.store.checks.sender import UNKNOWN_CHECK, read_check_id
from airflow_provider_wacontacts.store.context import StoreContext

__all__ = ["COLUMNS", "ResultRow", "TargetRow", "read_result_rows"]

STATE = "SELECT state FROM {at}wacontacts_check WHERE check_id = :check_id"
#: Rows without a contact are ordered by number.
ORDINALS = """
SELECT ordinal FROM {at}wacontacts_check_result WHERE check_id = :check_id ORDER BY contact_key, number, ordinal
"""
ROWS = """
SELECT ordinal, contact_key, number, wa_id, status, reason FROM {at}wacontacts_check_result
WHERE check_id = :check_id AND ordinal IN :ordinals
"""
BATCH_SIZE = 1_000


class ResultRow(NamedTuple):
    """
    A row of a check.

    :param number: E.164; ``None`` for an input that is not a number.
    :param status: ``None`` before the number is checked.
    """

    contact_key: str | None
    number: str | None
    wa_id: str | None
    status: str | None
    reason: str | None


class TargetRow(NamedTuple):
    """A row of the table that results are written to; columns that the table lacks are ``None``."""

    contact_key: str | None
    number: str | None
    wa_id: str | None
    status: str | None = None


COLUMNS = TargetRow._fields


def read_result_rows(context: StoreContext, check_id: str) -> Iterator[ResultRow]:
    """
    Yield the rows of a check, grouped by contact, or by number if they have no contact.

    No transaction is open between two rows.

    :raises ConfigError: the store has no such check.
    :raises LandingError: the database failed.
    """
    key: dict[str, Any] = {"check_id": read_check_id(check_id)}
    with context.read() as db:
        if db.execute(STATE, **key).first() is None:
            raise ConfigError(UNKNOWN_CHECK)
        ordinals = array("q", (ordinal for (ordinal,) in db.execute(ORDINALS, **key)))
    for batch in batched(ordinals, BATCH_SIZE):
        with context.read() as db:
            rows = {row.ordinal: row for row in db.execute(ROWS, ordinals=batch, **key)}
        yield from (ResultRow._make(rows[ordinal][1:]) for ordinal in batch if ordinal in rows)
