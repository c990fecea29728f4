"""
The exceptions of this package.

WaContactsError
├─ ConfigError                nothing was sent; the message names the argument or the connection field
│   └─ PermissionDeniedError   the database user lacks a privilege
├─ BudgetExceededError        the sender's check budget is spent
├─ ApiError                   a request to one of the three systems failed
│   ├─ TransientError         a retry can help
│   │   ├─ RateLimitedError
│   │   ├─ ServerError
│   │   └─ NetworkError
│   ├─ PermanentError         a retry cannot help: change the connection, the account or the request
│   │   ├─ AuthError
│   │   ├─ RejectedError
│   │   └─ NotEnabledError
│   ├─ CursorExpiredError     resume from the last checkpoint
│   └─ ContractError          a 2xx response that does not match the documentation, or exceeds a limit
├─ SchemaDriftError           contacts were written, and their fields have changed
└─ LandingError               contacts were received and could not be written
    └─ StoreError             the store's database failed
        ├─ RetryableStoreError   a deadlock, or no connection: nothing was committed, and a retry can help
        └─ LockTimeoutError      another session held a lock for too long

No message contains a URL, a body, a token, a cursor, a name or a phone number. An error names its operation.
"""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = [
    "DOCUMENTATION",
    "ApiError",
    "AuthError",
    "BudgetExceededError",
    "ConfigError",
    "ContractError",
    "CursorExpiredError",
    "LandingError",
    "LockTimeoutError",
    "NetworkError",
    "NotEnabledError",
    "PermanentError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RejectedError",
    "RetryableStoreError",
    "SchemaDriftError",
    "ServerError",
    "StoreError",
    "TransientError",
    "WaContactsError",
    "add_help",
]

#: Where the pages of the documentation are. It is the address in pyproject.toml, too.
DOCUMENTATION = "https://github.com/airflow-provider-wacontacts/airflow-provider-wacontacts/blob/main/docs"


class WaContactsError(Exception):
    """The base class of all exceptions of this package."""


class ConfigError(WaContactsError):
    """An argument or a connection is invalid. Nothing was sent."""


class PermissionDeniedError(ConfigError):
    """The database user lacks a privilege. The message has the GRANT that is missing."""


class BudgetExceededError(WaContactsError):
    """
    A sender's check budget is spent.

    :param limit: checks allowed in a UTC day, or month.
    :param used: checks spent so far in that time.
    :param asked: checks requested now.
    :param resets_at: when there is a new budget, timezone-aware.
    """

    def __init__(self, message: str, *, limit: int, used: int, asked: int, resets_at: datetime) -> None:
        super().__init__(message)
        self.limit = limit
        self.used = used
        self.asked = asked
        self.resets_at = resets_at


class ApiError(WaContactsError):
    """
    A request failed.

    :param message: what happened and what to do; safe to log.
    :param source: the feed, for example ``turn``.
    :param operation: for example ``turn.contacts.page``; never a URL.
    :param status: HTTP status of the last response; ``None`` if there was none.
    :param attempts: how often the request was sent; 0 if unknown.
    :ivar connection: the connection's ID, host and port; empty if unknown.
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
        self.connection = ""
        self.source = source
        self.operation = operation
        self.status = status
        self.attempts = attempts

    def __str__(self) -> str:
        facts = [self.operation, self.connection] if self.connection else [self.operation]
        if self.status is not None:
            facts.append(f"HTTP {self.status}")
        if self.attempts > 1:
            facts.append(f"{self.attempts} attempts")
        return f"{', '.join(facts)}: {self.args[0]}"


class TransientError(ApiError):
    """
    A retry can help.

    :param retry_after: the server's ``Retry-After``; ``None`` if it sent none.
    :ivar may_be_processed: whether the server may have processed the last attempt.
    """

    may_be_processed: bool = True

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
    """429 Too Many Requests: the required pause is longer than a worker may wait."""


class ServerError(TransientError):
    """Every attempt ended with a status of 5xx."""


class NetworkError(TransientError):
    """
    No attempt received a complete response.

    :ivar timed_out: the server had the request, and took too long to respond.
    """

    timed_out: bool = False


class PermanentError(ApiError):
    """A retry cannot help. Change the connection, the account or the request."""


class AuthError(PermanentError):
    """The token or the login is not accepted."""


class RejectedError(PermanentError):
    """The server refuses the request."""


class NotEnabledError(PermanentError):
    """The account has no access to this part of the API, or the host is wrong."""


class CursorExpiredError(ApiError):
    """The server no longer knows the cursor. Resume from the last checkpoint."""


class ContractError(ApiError):
    """A 2xx response that does not match the documentation, or is larger or takes longer than allowed."""


class SchemaDriftError(WaContactsError):
    """Contacts were written, and their fields have changed since the last extraction."""


class LandingError(WaContactsError):
    """Contacts were received and could not be written."""


class StoreError(LandingError):
    """The store's database failed."""


class RetryableStoreError(StoreError):
    """A deadlock, a serialization failure or no connection: nothing was committed, and a retry can help."""


class LockTimeoutError(StoreError):
    """Another session held a lock of the database for too long."""


def add_help(error: WaContactsError) -> str:
    """
    End an error's message with the page of the documentation that explains it; to be called where users meet it.

    :returns: the message as it is now.
    """
    page = f"{DOCUMENTATION}/how-to/troubleshooting.md#{type(error).__name__.lower()}"
    if page not in str(error):
        message = str(error.args[0]).rstrip(".")
        error.args = (f"{message}{'' if message.endswith('?') else '.'} See {page}", *error.args[1:])
    return str(error)


#: Errors that fail a task at once.
NON_RETRYABLE = (ConfigError, BudgetExceededError, PermanentError, SchemaDriftError)
