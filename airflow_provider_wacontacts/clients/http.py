"""
Requests, responses, and the generators that exchange them.

A flow yields a :class:`Request`, is sent the :class:`Response`, and returns a parsed value or raises an error of
:mod:`airflow_provider_wacontacts.exceptions`. :class:`~.retry.RetryLoop` turns a flow into steps: it retries 429, 5xx
and network failures, and passes every other status to the flow. When it gives up, it throws its error into the flow. A
driver carries the steps out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias, TypeVar

from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = [
    "MAX_CLOCK_DIFFERENCE",
    "AuthFlow",
    "Call",
    "Flow",
    "Request",
    "Response",
    "Send",
    "Sleep",
    "Steps",
    "validate_request",
]

T = TypeVar("T")

#: Maximum trusted difference between the server's and the local time. Beyond it, one of the clocks is wrong.
MAX_CLOCK_DIFFERENCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Request:
    """
    One HTTP request.

    :param operation: its name in logs and errors, such as ``turn.cursor.create``.
    :param method: ``GET``, ``POST``, …
    :param path: below the connection's host, starting with ``/``, already quoted. May hold a secret: never logged.
    :param headers: without credentials, which the retry loop adds.
    :param body: encoded body, or ``None``.
    :param idempotent: whether sending it twice is harmless. If ``False``, it is retried only if the server certainly
        did not process it.
    """

    operation: str
    method: str
    path: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    idempotent: bool = True

    @property
    def source(self) -> str:
        """The feed: the part of the operation before its first dot."""
        return self.operation.partition(".")[0]


def validate_request(request: Request) -> None:
    """
    Check that a request can be sent unchanged, and only to the connection's host.

    :raises ConfigError: the path could change the host, or a header has characters that are not allowed.
    """
    if not request.path.startswith("/"):
        raise ConfigError(f"{request.operation}: the path does not start with a slash.")
    texts = [text for header in request.headers.items() for text in header]
    if not all(text.isascii() and text.isprintable() for text in texts):
        raise ConfigError(f"{request.operation}: a header has characters that are not allowed. Correct the password.")


@dataclass(frozen=True, slots=True)
class Response:
    """
    One complete HTTP response.

    :param status: HTTP status.
    :param headers: names in lower case.
    :param body: decoded from its transfer and content encodings.
    :param is_refusal: whether the API itself, not a gateway, says that it did not process the request.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    is_refusal: bool = False

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300

    @property
    def date(self) -> datetime | None:
        """The ``Date`` header, UTC; ``None`` if it is missing or unreadable, or has no offset."""
        try:
            moment = parsedate_to_datetime(self.headers.get("date", ""))
            return moment.astimezone(UTC) if moment.tzinfo is not None else None
        except (TypeError, ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request once. The driver sends back a :class:`Response` or a :class:`~.failures.Failure`."""

    request: Request


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """
    Call a function that may block, and send back its result. On an event loop it returns an awaitable.

    Authentication uses it to acquire a lock and to read a connection.
    """

    function: Callable[[], Any]


Flow: TypeAlias = Generator[Request, Response, T]
AuthFlow: TypeAlias = Generator[Request | Call, Any, T]
Steps: TypeAlias = Generator[Send | Sleep | Call, Any, T]
