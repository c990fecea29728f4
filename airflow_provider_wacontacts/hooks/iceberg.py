"""Catalogs of Apache Iceberg, through the hook of Airflow's own provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.files.iceberg.errors import catalog_errors
from airflow_provider_wacontacts.files.iceberg.table import ContactTable

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

__all__ = ["open_catalog", "open_tables"]


def open_catalog(iceberg_conn_id: str) -> Catalog:
    """
    Return the catalog of a connection.

    :raises ConfigError: the extra ``iceberg`` is not installed, the connection is not defined, or its catalog cannot be
        reached.
    """
    try:
        from airflow.providers.apache.iceberg.hooks.iceberg import IcebergHook
    except ImportError:
        raise ConfigError(
            "The provider of Apache Iceberg is not installed. Install it: pip install"
            ' "airflow-provider-wacontacts[iceberg]".'
        ) from None
    with catalog_errors(f"The catalog of connection {iceberg_conn_id!r} cannot be opened"):
        try:
            catalog: Catalog = IcebergHook(iceberg_conn_id).catalog
        except AirflowNotFoundException:
            raise ConfigError(
                f"Connection {iceberg_conn_id!r} is not defined. Create it, or set `iceberg_conn_id`."
            ) from None
    return catalog


def open_tables(iceberg_conn_id: str, names: Sequence[str]) -> list[ContactTable]:
    """
    Return tables of contacts that exist. Without names, the catalog is not opened.

    :raises ConfigError: the catalog cannot be used, or one of them is missing or is not a table of contacts.
    """
    if not names:
        return []
    catalog = open_catalog(iceberg_conn_id)
    return [ContactTable.open(catalog, name, create=False) for name in names]
