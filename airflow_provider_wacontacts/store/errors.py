"""Database errors by cause. Messages name problem, database and remedy, without rows, values and passwords."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from airflow_provider_wacontacts.exceptions import (
    ConfigError,
    LockTimeoutError,
    PermissionDeniedError,
    RetryableStoreError,
    StoreError,
    WaContactsError,
)

__all__ = ["DatabaseName", "failure", "is_data_error", "is_unknown_host", "reject_reason", "sqlstate_of"]

#: A value is invalid for its type, too large, or violates a constraint of its column.
DATA_ERRORS = ("22", "54", "23502", "23514", "SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT_NOTNULL")
#: Dropped connection, server starting or shutting down, too many connections.
LOST = ("08", "57P", "53300")
#: Names that may be shown: identifiers, but not values in the wrong quotes. Excludes "no schema has been selected", the
#: error of an empty search path.
IDENTIFIER = re.compile(
    r'(?:column|relation|table|schema|function|column:|table:) "?(?!has been )([A-Za-z_][A-Za-z0-9_.]{0,62})\b'
)


class DatabaseName(NamedTuple):
    """
    How errors name a database.

    :param name: for example ``Connection 'wacontacts_store'``.
    :param url: URL of the database; its password is never shown.
    :param schema: schema of the store's tables; ``None`` for the connection's own.
    """

    name: str
    url: URL
    schema: str | None = None

    @property
    def address(self) -> str:
        """Host and port, or the path of the file."""
        if self.url.get_backend_name() == "sqlite":
            return str(self.url.database or "")
        return f"{self.url.host or 'the local socket'}:{self.url.port or 5432}"

    @property
    def grants(self) -> str:
        """The SQL that grants a worker its privileges."""
        role, schema = self.url.username or "the_role", self.schema or "public"
        return (
            f"GRANT USAGE ON SCHEMA {schema} TO {role};"
            f" GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};"
        )


ErrorClass: TypeAlias = type[WaContactsError]

UNKNOWN_HOST = "could not translate host name|failed to resolve host|name or service not known"

#: Patterns for the messages of failed connections, which have no SQLSTATE. The first match counts.
CONNECTION_CAUSES: Sequence[tuple[str, ErrorClass, str]] = (
    (
        "name resolution|errno -3",
        RetryableStoreError,
        "cannot reach {address}: the DNS server did not respond. It is retried.",
    ),
    (
        UNKNOWN_HOST,
        ConfigError,
        "cannot reach {address}: the host name is unknown. Correct the connection's host.",
    ),
    (
        "connection refused|no such file or directory.*socket|is the server running",
        RetryableStoreError,
        "cannot reach {address}: the connection was refused. Check host and port, and that PostgreSQL is running.",
    ),
    (
        "time-?out|timed out",
        RetryableStoreError,
        "cannot reach {address}: no response in time. Check host and port, and the firewalls on the way.",
    ),
    (
        "no route to host|network is unreachable",
        RetryableStoreError,
        "cannot reach {address}: there is no route to the host. Check host and network.",
    ),
    (
        "does not support ssl",
        ConfigError,
        "requires TLS, and the server at {address} has none. Change extra 'sslmode', or switch TLS on at the server.",
    ),
    (
        "ssl off|no encryption",
        ConfigError,
        "is refused by {address} without TLS. Set extra 'sslmode' to 'require', or correct the server's pg_hba.conf.",
    ),
    (
        "no pg_hba.conf entry",
        ConfigError,
        "is refused by the server at {address} for this user, database and client. Add it to the server's pg_hba.conf.",
    ),
    (
        "alert|(private key|certificate) file|load.*certificate",
        ConfigError,
        "has a client certificate that {address} refuses or that cannot be read. Check extras 'sslcert' and 'sslkey'.",
    ),
    (
        "certificate|ssl error",
        ConfigError,
        "does not trust the TLS certificate of {address}. Set extra 'sslrootcert' to its CA, and host to its name.",
    ),
    (
        "invalid response to ssl|expected authentication|expected ssl",
        ConfigError,
        "points to {address}, where a program other than PostgreSQL responds. Correct host and port.",
    ),
    (
        "password authentication|no password|authentication failed|pam auth|ldap auth|gssapi|scram",
        ConfigError,
        "cannot log in at {address} as {user!r}: user or password is wrong. Correct login and password.",
    ),
    (
        'role ".*" does not exist|not permitted to log in',
        ConfigError,
        "cannot log in at {address}: role {user!r} does not exist or may not log in. Correct the login, or create it.",
    ),
    (
        'database ".*" does not exist|no such database',
        ConfigError,
        "points to {address}, which has no database {database!r}. Correct the connection's schema, or create it.",
    ),
    (
        "permission denied for database",
        PermissionDeniedError,
        "may not use the database at {address}. Run: GRANT CONNECT ON DATABASE {database} TO {user};",
    ),
    (
        "invalid connection option|invalid uri|invalid sslmode|invalid port|invalid integer|unsupported startup",
        ConfigError,
        "has an extra that PostgreSQL's driver, or a pooler, does not accept: {option}. Correct it, or remove it.",
    ),
)

#: SQLSTATE prefixes and SQLite's error names.
CAUSES: Sequence[tuple[tuple[str, ...], ErrorClass, str]] = (
    (("40P01", "40001"), RetryableStoreError, "was in a deadlock with another worker"),
    (("23505",), RetryableStoreError, "got the same row from another worker at the same moment"),
    (
        ("55P03", "SQLITE_BUSY", "SQLITE_LOCKED"),
        LockTimeoutError,
        "is locked by another session for too long. End the long transaction that holds the lock",
    ),
    (("42501",), PermissionDeniedError, "lacks a privilege. Run as the owner: {grants}"),
    (
        ("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH"),
        PermissionDeniedError,
        "may not write the file {address}. Check the permissions of the file and its directory",
    ),
    (
        ("SQLITE_CANTOPEN",),
        ConfigError,
        "cannot open the file {address}: its directory is missing, or may not be written. Correct the path",
    ),
    (
        ("SQLITE_NOTADB", "SQLITE_CORRUPT"),
        ConfigError,
        "points to {address}, which is not an intact SQLite database. Correct the path, or restore a backup",
    ),
    (
        ("25006",),
        StoreError,
        "points to a read-only server, such as a standby, or default_transaction_read_only is on. Correct that",
    ),
    (("53100", "SQLITE_FULL"), StoreError, "has no disk space left. Free some on the database's disk"),
    (("53200",), StoreError, "ran out of memory on the server"),
    (("SQLITE_IOERR",), StoreError, "cannot read or write {address}: the disk failed"),
    (
        ("57014", "SQLITE_INTERRUPT"),
        StoreError,
        "canceled a statement: it ran into statement_timeout, or an administrator canceled it",
    ),
    (("28",), ConfigError, "cannot log in as {user!r}. Correct login and password"),
    (("3D000",), ConfigError, "has no database {database!r}. Correct the connection's schema, or create it"),
    (
        ("3F000",),
        ConfigError,
        "has no schema{identifier}. Correct extra 'table_schema', or create it",
    ),
    (("42P01",), ConfigError, "has no table or view{identifier}. Correct the name, or extra 'table_schema'"),
    (("42703",), ConfigError, "has no column{identifier} there. Correct the SQL"),
    (("42883", "42704"), ConfigError, "has no function or type that the SQL names. Correct the SQL"),
    (("42P07", "42710"), ConfigError, "has another object under a name that is needed. Use another schema"),
    (("42",), ConfigError, "does not accept the SQL. Correct it"),
)


def failure(
    error: Exception, database: DatabaseName, *, during_commit: bool = False, was_connected: bool = False
) -> WaContactsError:
    """
    Convert a driver's error to an error of this package.

    :param during_commit: whether it failed during COMMIT.
    :param was_connected: whether an earlier connection succeeded. Then a failed login may be temporary, for example
        after a password rotation or a failover.
    """
    code = sqlstate_of(error)
    if code in CODELESS and not _is_invalidated(error):
        return _connection_failure(error, database, was_connected=was_connected)
    if code.startswith(LOST) or _is_invalidated(error):
        if during_commit:
            return StoreError(f"{database.name}: the connection to the database was lost while it committed.")
        return _lost(database)
    code, kind, message = _find_cause(error, code)
    return kind(f"{database.name} {_fill(message, database, error)} ({code}).")


def is_unknown_host(error: BaseException) -> bool:
    """Return whether a connection failed because no DNS server knows the host's name."""
    return isinstance(error, Exception) and bool(re.search(UNKNOWN_HOST, str(_driver_error(error)).lower()))


def is_data_error(error: Exception) -> bool:
    """Return whether the database or driver rejects a value, so that a retry cannot help."""
    if isinstance(error, ValueError):
        return True
    return sqlstate_of(error).startswith(DATA_ERRORS) or type(_driver_error(error)).__name__ == "DataError"


def reject_reason(error: Exception) -> str:
    """Return the reason to store with a reject."""
    return f"refused by the database ({sqlstate_of(error)})"


def sqlstate_of(error: Exception) -> str:
    """Return the SQLSTATE or SQLite's error name; the name of the exception's class if there is neither."""
    driver = _driver_error(error)
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(driver, name, None)
        if isinstance(code, str):
            return code
    return type(driver).__name__


#: Driver errors without a code, because no server responded.
CODELESS = {"OperationalError", "InterfaceError", "ConnectionTimeout", "ProgrammingError"}


def _connection_failure(error: Exception, database: DatabaseName, *, was_connected: bool) -> WaContactsError:
    text = str(_driver_error(error)).lower()
    for words, kind, message in CONNECTION_CAUSES:
        if re.search(words, text, re.DOTALL):
            chosen = RetryableStoreError if was_connected else kind
            return chosen(f"{database.name} {_fill(message, database, error)}")
    return _lost(database)


def _lost(database: DatabaseName) -> RetryableStoreError:
    return RetryableStoreError(f"{database.name}: the connection to {database.address} was lost, or cannot be made.")


def _find_cause(error: Exception, code: str) -> tuple[str, ErrorClass, str]:
    if code == "SQLITE_ERROR":  # SQLite's generic code for errors in a statement
        text = str(_driver_error(error))
        code = next((state for words, state in SQLITE_STATES.items() if words in text), code)
    for codes, kind, message in CAUSES:
        if code.startswith(codes):
            return code, kind, message
    return code, StoreError, "failed"


SQLITE_STATES = {
    "no such table": "42P01",
    "no such column": "42703",
    "no such function": "42883",
    "syntax error": "42601",
}


def _fill(message: str, database: DatabaseName, error: Exception) -> str:
    url = database.url
    return message.format(
        address=database.address,
        user=url.username or "the user that runs Airflow",
        database=url.database or "that the connection means",
        grants=database.grants,
        identifier=_identifier(error),
        option=_option(error),
    )


def _identifier(error: Exception) -> str:
    """Return the unknown name, quoted; empty if there is none, or if it may be a value."""
    driver = _driver_error(error)
    text = str(getattr(getattr(driver, "diag", None), "message_primary", None) or driver)
    found = IDENTIFIER.search(text)
    return f" {found[1]!r}" if found else ""


def _option(error: Exception) -> str:
    found = re.search(r'(?:option|parameter:?|uri query parameter:?) "?([a-z_]{2,40})', str(_driver_error(error)))
    return f"{found[1]!r}" if found else "its value is invalid"


def _is_invalidated(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and bool(error.connection_invalidated)


def _driver_error(error: Exception) -> Any:
    return error.orig if isinstance(error, DBAPIError) else error
