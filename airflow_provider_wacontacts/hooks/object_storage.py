"""Paths of object storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        found.exists  # noqa: B018 - a file system whose package is missing fails when it is first needed
    except (ImportError, ValueError):
        package = STORAGE_PACKAGES.get(scheme)
        remedy = f'Install it: pip install "{package}".' if package else "Correct it, or install its package."
        raise ConfigError(f"{argument} begins with {scheme}://, which no installed package reads. {remedy}") from None
    return found
