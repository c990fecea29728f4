"""The parameters of the page's views. A value out of range becomes the nearest valid one, and a note says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from airflow_provider_wacontacts.records.windows import Window

__all__ = ["MAX_ACCOUNT_ID", "Parameters"]

HEX_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
MAX_ACCOUNT_ID = 2**31
DAY = timedelta(days=1)
WEEKS = {53: "1 year", 105: "2 years"}


class Parameters:
    """
    The parameters of a request.

    :param path: values in the path.
    :param query: values in the query.
    :param today: the current UTC day.
    :ivar notes: corrections, as sentences for the user.
    """

    def __init__(self, path: Mapping[str, str], query: Mapping[str, str], today: date) -> None:
        self._path = path
        self._query = query
        self.today = today
        self.notes: list[str] = []

    @property
    def row_id(self) -> str | None:
        """The ID in the path, 32 hexadecimal digits; ``None`` if it cannot be one."""
        text = self._path.get("row_id", "").lower().replace("-", "")
        return text if HEX_ID.fullmatch(text) else None

    @property
    def account_id(self) -> int | None:
        """The account; ``None`` for all."""
        text = self._query.get("account", "")
        if not text:
            return None
        if text.isascii() and text.isdecimal() and len(text) < 10:
            return int(text)
        self.notes.append("There is no such account. All accounts are shown.")
        return None

    @property
    def weeks(self) -> int:
        """The number of weeks of the calendar."""
        text = self._query.get("weeks", "53")
        asked = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 53
        nearest = min(WEEKS, key=lambda weeks: abs(weeks - asked))
        if str(nearest) != text:
            self.notes.append(f"The calendar shows 1 or 2 years. This is {WEEKS[nearest]}.")
        return nearest

    @property
    def day(self) -> date | None:
        """The day whose hours are shown; ``None`` for days."""
        return self._date("day") if self._query.get("day") else None

    def calendar_span(self) -> Window:
        """Return whole weeks, Monday to Sunday, up to the one of parameter ``until``, in UTC."""
        until = self._date("until") if self._query.get("until") else self.today
        end = until + (7 - until.weekday()) * DAY
        return Window(_midnight(end - self.weeks * 7 * DAY), _midnight(end))

    def week_span(self, day: date) -> Window:
        """Return the week of a day, Monday to Sunday."""
        monday = day - day.weekday() * DAY
        return Window(_midnight(monday), _midnight(monday + 7 * DAY))

    def _date(self, name: str) -> date:
        try:
            asked = date.fromisoformat(self._query[name])
        except ValueError:
            self.notes.append(f"{name} is not a date such as {self.today}. Today is shown.")
            return self.today
        earliest = date(2009, 1, 1)
        if not earliest <= asked <= self.today:
            self.notes.append(
                f"{name} is {'before WhatsApp' if asked < earliest else 'in the future'}."
                f" {max(earliest, min(asked, self.today))} is shown."
            )
        return max(earliest, min(asked, self.today))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
