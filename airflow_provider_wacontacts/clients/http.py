"""
What travels between a flow and the driver that sends for it.

A flow is a generator: it yields a :class:`Request`, is sent the :class:`Response`, and returns a parsed value or raises
an error of :mod:`airflow_provider_wacontacts.exceptions`. A driver of :mod:`airflow_provider_wacontacts.transport`
answers 429, 5xx and a broken line itself; every other status comes back to the flow. Where the driver gives up it
throws its error into the flow.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias, TypeVar

__all__ = ["Flow", "Request", "Response"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """
    One thing to ask.

    :param operation: its name in logs and errors, such as ``turn.cursor.create``.
    :param method: ``GET``, ``POST``, …
    :param path: below the connection's host, starting with ``/``, already quoted. May hold a secret: never logged.
    :param headers: beside those that authenticate, which the driver adds.
    :param body: encoded body, or ``None``.
    :param is_counted: carrying it out twice counts twice. A driver sends it again only where it surely was not.
    """

    operation: str
    method: str
    path: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    is_counted: bool = False

    @property
    def source(self) -> str:
        """The feed: the part of the operation before its first dot."""
        return self.operation.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Response:
    """
    One whole answer.

    :param status: HTTP status.
    :param headers: names in lower case.
    :param body: decoded from its transfer and content encodings.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300

    @property
    def date(self) -> datetime | None:
        """The server's own time of answering, aware; ``None`` where it sent none that can be read."""
        try:
            moment = parsedate_to_datetime(self.headers.get("date", ""))
        except (TypeError, ValueError, OverflowError):
            return None
        return moment if moment.tzinfo is not None else None


Flow: TypeAlias = Generator[Request, Response, T]
