"""Paths of object storage, through Airflow's connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_wacontacts.exceptions import ConfigError

if TYPE_CHECKING:
    from airflow_provider_wacontacts.files import ObjectPath

__all__ = ["object_path"]


def object_path(path: str) -> ObjectPath:
    """
    Return a path that takes its keys from the Airflow connection it names.

    :param path: such as ``s3://aws_default@bucket/contacts``.
    :raises ConfigError: nothing installed here reads paths of its kind.
    """
    try:
        found: ObjectPath = ObjectStoragePath(path)
    except (ImportError, ValueError):
        scheme = path.partition("://")[0]
        raise ConfigError(f"a path begins with {scheme}://, which nothing installed here can read") from None
    return found
