"""Errors of the store's database, without the rows, hosts and passwords that drivers quote in them."""

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
    "is_data_error",
    "reject_reason",
    "sqlstate_of",
]

#: Dropped connection, server starting or shutting down, too many connections.
LOST = ("08", "57P", "53300")
#: A value that its type cannot hold, is too large, or violates a constraint of its column.
DATA_ERRORS = ("22", "54", "23502", "23514", "SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT_NOTNULL")


class StoreError(LandingError):
    """The store's database failed."""


class RetryableStoreError(StoreError):
    """A deadlock, serialization failure or dropped connection: nothing was committed, and a retry may succeed."""


class PermissionDeniedError(StoreError):
    """The database user lacks a privilege, or the database is read-only."""


class LockTimeoutError(StoreError):
    """Another session held a lock for too long."""


#: SQLSTATE prefixes and SQLite's error names, with the exception and message of each.
KINDS: tuple[tuple[tuple[str, ...], type[StoreError], str], ...] = (
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


def failure(error: Exception, *, during_commit: bool = False) -> StoreError:
    """
    Make a :class:`StoreError` of a driver's error.

    :param during_commit: the transaction was committing when it failed.
    """
    code = sqlstate_of(error)
    if _is_lost(error, code):
        if during_commit:
            return StoreError("the connection to the store was lost while it committed")
        return RetryableStoreError("the connection to the store was lost, or cannot be made")
    for codes, kind, message in KINDS:
        if code.startswith(codes):
            return kind(f"{message} ({code})")
    return StoreError(f"the store's database failed ({code})")


def is_data_error(error: Exception) -> bool:
    """Return whether the database or driver rejects a value, so that a retry cannot help."""
    if isinstance(error, ValueError):
        return True
    return sqlstate_of(error).startswith(DATA_ERRORS) or type(_driver_error(error)).__name__ == "DataError"


def reject_reason(error: Exception) -> str:
    """Return the reason of a reject."""
    return f"refused by the database ({sqlstate_of(error)})"


def _driver_error(error: Exception) -> Any:
    return error.orig if isinstance(error, DBAPIError) else error


def sqlstate_of(error: Exception) -> str:
    """Return the SQLSTATE or SQLite's error name; the name of the exception's class if there is neither."""
    driver = _driver_error(error)
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(driver, name, None)
        if isinstance(code, str):
            return code
    return type(driver).__name__


def _is_lost(error: Exception, code: str) -> bool:
    if code.startswith(LOST) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return True
    # Drivers give no code if no server responded.
    return code in {"OperationalError", "InterfaceError", "ConnectionTimeout"}
