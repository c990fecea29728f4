"""What a database's errors mean, without the rows, addresses and passwords that they quote."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import DBAPIError

from airflow_provider_wacontacts.exceptions import LandingError

__all__ = [
    "LockTimeoutError",
    "PermissionDeniedError",
    "RetryableStoreError",
    "StoreError",
    "failure",
    "is_refusal",
    "refusal",
    "sqlstate_of",
]

#: The line broke, the server is shutting down or starting, or it has no place for another connection.
LOST = ("08", "57P", "53300")
#: A value that its type cannot hold, one that is too large, and one that a column does not take.
REFUSALS = ("22", "54", "23502", "23514", "SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT_NOTNULL")


class StoreError(LandingError):
    """The store's database did not do what it was asked."""


class RetryableStoreError(StoreError):
    """Workers were in each other's way; nothing was committed, and trying again can help."""


class PermissionDeniedError(StoreError):
    """There is no right to do it."""


class LockTimeoutError(StoreError):
    """Somebody else held a lock for too long."""


#: Of a deadlock, say, or of a transaction that cannot be put in order with another; what they mean, and how to say so.
MEANINGS: tuple[tuple[tuple[str, ...], type[StoreError], str], ...] = (
    (("40P01", "40001"), RetryableStoreError, "the store's workers were in each other's way"),
    (("55P03", "SQLITE_BUSY", "SQLITE_LOCKED"), LockTimeoutError, "the store is locked by somebody else"),
    (
        ("42501", "25006", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"),
        PermissionDeniedError,
        "the store's database does not allow it",
    ),
    (
        ("SQLITE_CANTOPEN",),
        StoreError,
        "the store's file cannot be opened: its directory is missing, or may not be written",
    ),
)


def failure(error: Exception, *, may_be_done: bool = False) -> StoreError:
    """
    Say what a database's error means.

    :param may_be_done: the transaction was committing when it failed.
    """
    code = sqlstate_of(error)
    if _is_lost(error, code):
        if may_be_done:
            return StoreError("the connection to the store was lost while it committed")
        return RetryableStoreError("the connection to the store was lost, or cannot be made")
    for codes, kind, what in MEANINGS:
        if code.startswith(codes):
            return kind(f"{what} ({code})")
    return StoreError(f"the store's database failed ({code})")


def is_refusal(error: Exception) -> bool:
    """Tell whether a database, or its driver, refuses a value, whoever writes it and however often."""
    if isinstance(error, ValueError):
        return True
    return sqlstate_of(error).startswith(REFUSALS) or type(_driver_error(error)).__name__ == "DataError"


def refusal(error: Exception) -> str:
    """Say in a few words why a row was refused."""
    return f"refused by the database ({sqlstate_of(error)})"


def _driver_error(error: Exception) -> Any:
    return error.orig if isinstance(error, DBAPIError) else error


def sqlstate_of(error: Exception) -> str:
    """Return what names a database's error and quotes nothing: its code, else its class."""
    driver = _driver_error(error)
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(driver, name, None)
        if isinstance(code, str):
            return code
    return type(driver).__name__


def _is_lost(error: Exception, code: str) -> bool:
    if code.startswith(LOST) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return True
    # Drivers give no code where no server answered.
    return code in {"OperationalError", "InterfaceError", "ConnectionTimeout"}
