"""Paths of object storage, through Airflow's connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_wacontacts.exceptions import ConfigError

if TYPE_CHECKING:
    from airflow_provider_wacontacts.files import ObjectPath

__all__ = ["object_path"]


def object_path(path: str, argument: str = "path") -> ObjectPath:
    """
    Return a path that takes its keys from the Airflow connection it names.

    :param path: such as ``s3://aws_default@bucket/contacts``.
    :param argument: the name the user knows it by, for the error.
    :raises ConfigError: no installed file system reads it.
    """
    try:
        found: ObjectPath = ObjectStoragePath(path)
    except (ImportError, ValueError):
        scheme, is_uri, _ = path.partition("://")
        reason = f"begins with '{scheme}://', which no installed file system reads" if is_uri else "is not a valid path"
        raise ConfigError(f"`{argument}` {reason}. Correct it, or install the provider of that storage.") from None
    return found
