"""
Everything this package raises.

WaContactsError
├─ ConfigError                nothing was sent; the message names the argument or the connection field
├─ BudgetExceededError        the sender may not be asked about more numbers today
├─ ApiError                   one of the three systems answered, or could not
│   ├─ TransientError         trying again later can help
│   │   ├─ RateLimitedError
│   │   ├─ ServerError
│   │   └─ NetworkError
│   ├─ PermanentError         trying again cannot help; somebody has to change something
│   │   ├─ AuthError
│   │   ├─ RejectedError
│   │   └─ NotEnabledError
│   ├─ CursorExpiredError     start again from the last position
│   └─ ContractError          a 2xx that is not what is documented
└─ LandingError               the answer could not be kept

No message carries a URL, a body, a token, a cursor, a name or a phone number: an error names its operation.
"""

from __future__ import annotations

from datetime import timedelta

__all__ = [
    "ApiError",
    "AuthError",
    "BudgetExceededError",
    "ConfigError",
    "ContractError",
    "CursorExpiredError",
    "LandingError",
    "NetworkError",
    "NotEnabledError",
    "PermanentError",
    "RateLimitedError",
    "RejectedError",
    "ServerError",
    "TransientError",
    "WaContactsError",
]


class WaContactsError(Exception):
    """The root of the tree."""


class ConfigError(WaContactsError):
    """An argument or a connection is wrong; nothing was sent."""


class BudgetExceededError(WaContactsError):
    """
    A sender's daily checks are spent.

    :param limit: checks allowed in the UTC day.
    :param used: checks drawn so far that day.
    :param asked: checks that were wanted now.
    """

    def __init__(self, message: str, *, limit: int, used: int, asked: int) -> None:
        super().__init__(message)
        self.limit = limit
        self.used = used
        self.asked = asked


class ApiError(WaContactsError):
    """
    A request did not bring what it was sent for.

    :param message: what happened and what to do about it, fit for a log.
    :param source: the feed, such as ``turn``.
    :param operation: what was asked, such as ``turn.contacts.page``; never a URL.
    :param status: HTTP status of the last answer; ``None`` where none came.
    :param attempts: how often the request was sent, 1 and up; 0 where that is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str,
        operation: str,
        status: int | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(message)
        self.source = source
        self.operation = operation
        self.status = status
        self.attempts = attempts

    def __str__(self) -> str:
        facts = [self.operation]
        if self.status is not None:
            facts.append(f"HTTP {self.status}")
        if self.attempts > 1:
            facts.append(f"{self.attempts} attempts")
        return f"{', '.join(facts)}: {self.args[0]}"


class TransientError(ApiError):
    """
    Trying again later can help.

    :param retry_after: how long the server wants to be left alone; ``None`` where it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str,
        operation: str,
        status: int | None = None,
        attempts: int = 0,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message, source=source, operation=operation, status=status, attempts=attempts)
        self.retry_after = retry_after


class RateLimitedError(TransientError):
    """The server asked for a longer pause than a worker may wait."""


class ServerError(TransientError):
    """The server failed (5xx) for as long as it was asked."""


class NetworkError(TransientError):
    """No whole answer arrived for as long as it was tried."""


class PermanentError(ApiError):
    """Trying again cannot help; somebody has to change something."""


class AuthError(PermanentError):
    """The token or the login is not accepted."""


class RejectedError(PermanentError):
    """The server refuses what was asked."""


class NotEnabledError(PermanentError):
    """The account has no access to this part of the API, or the host is wrong."""


class CursorExpiredError(ApiError):
    """The cursor is older than the server keeps it; start again from the last position."""


class ContractError(ApiError):
    """A successful answer that is not what is documented: HTML, an object for a list, a cursor seen before."""


class LandingError(WaContactsError):
    """Contacts were received and could not be kept."""


#: What neither a retry nor waiting mends.
NON_RETRYABLE = (ConfigError, BudgetExceededError, PermanentError)
