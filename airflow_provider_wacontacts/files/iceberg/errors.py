"""Errors of Iceberg catalogs and of their storage. Messages contain no URI and no data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError, WaContactsError

__all__ = ["ConflictError", "catalog_errors", "table_errors"]

#: Error classes that a retry cannot fix, by remedy.
CAUSES = {
    "UnauthorizedError": "The catalog does not accept the credentials. Correct the connection.",
    "OAuthError": "The catalog does not accept the credentials. Correct the connection.",
    "ForbiddenError": "A permission is missing. Grant the connection's user access to the table and its files.",
    "PermissionError": "A permission is missing. Grant the connection's user access to the table and its files.",
    "NoSuchTableError": "The table does not exist.",
    "NotInstalledError": "pyiceberg needs another package for this catalog or table. Install its extra.",
    "ModuleNotFoundError": "pyiceberg needs another package for this catalog or table. Install its extra.",
}


class ConflictError(Exception):
    """Another writer has committed to the table first. Nothing was appended."""


@contextmanager
def catalog_errors(what: str) -> Iterator[None]:
    """
    Replace errors that occur before anything is written.

    :param what: what failed, such as ``The catalog of connection 'iceberg_default' cannot be read``.
    :raises ConfigError: instead of any other exception, except errors of the package.
    """
    try:
        yield
    except WaContactsError:
        raise
    except Exception as error:  # noqa: BLE001 - each catalog has errors of its own
        remedy = _remedy(error) or "Check the connection's host and extra, and that the catalog is running."
        raise ConfigError(f"{what} ({type(error).__name__}). {remedy}") from None


@contextmanager
def table_errors(what: str) -> Iterator[None]:
    """
    Replace errors of reading and writing a table.

    :raises ConflictError: another writer was first.
    :raises ConfigError: the credentials or permissions are wrong.
    :raises LandingError: instead of any other exception, except errors of the package.
    """
    try:
        yield
    except (ConflictError, WaContactsError):
        raise
    except Exception as error:  # noqa: BLE001 - each catalog and storage has errors of its own
        name = type(error).__name__
        if name == "CommitFailedException":
            raise ConflictError from None
        if remedy := _remedy(error):
            raise ConfigError(f"{what} ({name}). {remedy}") from None
        raise LandingError(f"{what} ({name}).") from None


def _remedy(error: Exception) -> str | None:
    return next((CAUSES[each.__name__] for each in type(error).__mro__ if each.__name__ in CAUSES), None)
