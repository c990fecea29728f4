"""Paths of object storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.exceptions import ConfigError

if TYPE_CHECKING:
    from airflow_provider_wacontacts.files import ObjectPath

__all__ = ["object_path"]

#: What to install for a scheme. Quotes keep shells from reading the brackets.
STORAGE_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "s3a": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "gcs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
    "abfss": "apache-airflow-providers-microsoft-azure",
    "adl": "apache-airflow-providers-microsoft-azure",
    "wasb": "apache-airflow-providers-microsoft-azure",
}

#: In Airflow's error for a scheme without a file system.
UNREGISTERED = "No filesystem registered"


def object_path(path: str, argument: str = "path") -> ObjectPath:
    """
    Return a path whose credentials come from the Airflow connection in it.

    :param path: such as ``s3://aws_default@bucket/contacts``.
    :param argument: name of the user's argument, for errors.
    :raises ConfigError: no installed file system reads it.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    scheme, is_uri, _ = path.partition("://")
    if not is_uri and not path.startswith("/"):
        # Files below the worker's working directory would be lost.
        raise ConfigError(
            f"{argument} is a relative path. Set it to a URI such as s3://bucket/contacts, or to /a/path."
        )
    try:
        found: ObjectPath = ObjectStoragePath(path)
        is_readable = _has_file_system(found)
    except (ImportError, ValueError):
        is_readable = False
    if not is_readable:
        package = STORAGE_PACKAGES.get(scheme)
        remedy = f'Install it: pip install "{package}".' if package else "Correct it, or install its package."
        raise ConfigError(f"{argument} begins with {scheme}://, which no installed package reads. {remedy}")
    return found


def _has_file_system(path: Any) -> bool:
    """
    Return whether a path's file system is installed, which Airflow finds out when it is first needed.

    :raises ImportError: a package of it is missing.
    """
    path.exists  # noqa: B018 - fails before Airflow 3.2
    try:
        path.fs  # noqa: B018
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001 - its connection may be wrong, which the first read reports
        return UNREGISTERED not in str(error)
    return True
