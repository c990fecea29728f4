"""Errors of file systems and object storage, with their cause and the remedy. Messages contain no URI and no data."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError, WaContactsError

__all__ = ["storage_errors"]


class _Cause(NamedTuple):
    """
    A cause of errors, with its remedy.

    :param signs: error classes, error numbers or codes of S3, any of which identifies the cause.
    :param error: class of the error to raise. A retry does not fix a :class:`ConfigError`.
    """

    signs: frozenset[object]
    message: str
    error: type[WaContactsError] = ConfigError


CAUSES = (
    _Cause(frozenset({"NoSuchBucket"}), "The bucket does not exist. Create it, or correct the path."),
    _Cause(
        frozenset({"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}),
        "There are no credentials for the storage. Name a connection in the path, as in s3://aws_default@bucket/contacts.",
    ),
    _Cause(
        frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ClientAuthenticationError"}),
        "The storage does not accept the credentials. Correct the connection in the path.",
    ),
    _Cause(frozenset({"ExpiredToken"}), "The credentials for the storage have expired.", LandingError),
    _Cause(frozenset({errno.EROFS}), "The file system is read-only."),
    _Cause(
        frozenset({"PermissionError"}),
        "A permission is missing. Grant the connection in the path, or the worker's user, access to the path.",
    ),
    _Cause(
        frozenset({"NotADirectoryError", "FileExistsError"}),
        "Part of the path is a file, not a folder. Correct the path, or move the file.",
    ),
    _Cause(frozenset({errno.ENOSPC, errno.EDQUOT}), "The disk is full.", LandingError),
    _Cause(
        frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError", "ConnectionError"}),
        "The storage cannot be reached. Check the endpoint of the connection in the path, and the network.",
        LandingError,
    ),
)


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """
    Replace errors of the storage with one that names the cause.

    :param what: what failed, such as ``part-00000.jsonl.gz could not be written``.
    :raises ConfigError: the path, the credentials or their permissions are wrong.
    :raises LandingError: instead of any other exception, except errors of the package.
    """
    try:
        yield
    except (ConfigError, LandingError):
        raise
    except Exception as error:  # noqa: BLE001 - each storage has errors of its own
        raise _named(what, error) from None


def _named(what: str, error: Exception) -> WaContactsError:
    signs = set(_signs(error))
    for cause in CAUSES:
        if cause.signs & signs:
            return cause.error(f"{what}: {cause.message}")
    return LandingError(f"{what} ({_describe(error)})")


def _signs(error: BaseException | None) -> Iterator[object]:
    """Yield the classes, numbers and codes of an error and of its causes."""
    while error is not None:
        yield from (each.__name__ for each in type(error).__mro__)
        yield getattr(error, "errno", None)
        response = getattr(error, "response", None)
        if isinstance(response, dict) and isinstance(found := response.get("Error"), dict):
            yield found.get("Code")
        error = error.__cause__ or error.__context__


def _describe(error: Exception) -> str:
    name = type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    return f"{name}: {os.strerror(number)}" if isinstance(number, int) else name
