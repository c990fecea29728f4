"""Lower the day's budget of a sender that checks more numbers than it writes to, which gets senders banned."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.store.checks.budget import utc_day
from airflow_provider_wacontacts.store.checks.sender import SenderChecks

__all__ = ["limit_to_messages"]

log = logging.getLogger(__name__)

#: Days before today in which checks and messages are compared.
DAYS = 7


def limit_to_messages(checks: SenderChecks, rows: Iterable[Mapping[str, Any]]) -> None:
    """
    Lower today's budget to an average day's messages, and warn, if the last seven days have more checks than messages.

    :param rows: messages that the sender has sent, by ``day``; rows of one day are added up.
    :raises ConfigError: a row has no day, or no count.
    """
    today = utc_day(checks.context.now())
    first = today - timedelta(days=DAYS)
    counts = [_read_row(row) for row in rows]
    messages = sum(count for day, count in counts if first <= day < today)
    spent = checks.spent_between(first, today)
    if spent <= messages:
        return
    lowered = min(checks.daily_checks, math.ceil(messages / DAYS))
    log.warning(
        "Sender %r has sent %s messages in the last %s days, and checked %s numbers. WhatsApp bans senders that check"
        " more numbers than they write to. Today's budget is %s checks instead of %s (daily_checks)",
        *(checks.sender, messages, DAYS, spent, lowered, checks.daily_checks),
    )
    checks.lower_budget(lowered, "The sender's daily_checks, lowered by messages_sql")


def _read_row(row: Mapping[str, Any]) -> tuple[date, int]:
    day, count = _read_day(row.get("day")), row.get("messages")
    if day is None:
        raise ConfigError("messages_sql needs a column 'day' with dates, and one row for each day of messages.")
    if count is None:
        return day, 0
    if not isinstance(count, (int, float, Decimal)) or not Decimal(count).is_finite() or count < 0:
        raise ConfigError("messages_sql needs a column 'messages' with the number of messages of each day.")
    return day, int(count)


def _read_day(value: object) -> date | None:
    """Return the UTC day of a date, a time, or its ISO 8601 string; a time without an offset is UTC."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return utc_day(value) if value.tzinfo else value.date()
    return value if isinstance(value, date) else None
