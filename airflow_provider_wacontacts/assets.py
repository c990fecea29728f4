"""
Assets for the outlets of operators.

An operator adds its summary to the event of each asset among its outlets. A DAG that is scheduled on the asset reads it
from there.
"""

from __future__ import annotations

from urllib.parse import quote

from airflow.providers.common.compat.sdk import Asset

#: Longest name of an asset in Airflow.
MAX_NAME = 1_500

__all__ = ["prefix_asset", "store_asset", "store_uri"]


def store_asset(
    store_conn_id: str = "wacontacts_store", *, source: str | None = None, account: str | None = None
) -> Asset:
    """
    Return the asset of a store's contacts.

    :param store_conn_id: the store's connection.
    :param source: for example ``turn``. Default: all feeds.
    :param account: one account of that feed. Default: all accounts.
    """
    return _asset(store_uri(store_conn_id, source, account), store_conn_id, source, account)


def prefix_asset(path: str, *, source: str | None = None, account: str | None = None) -> Asset:
    """
    Return the asset of the contacts below a path.

    :param path: the operator's ``path``, for example ``s3://bucket/contacts``. Without a scheme it is a local path.
    :param source: for example ``turn``. Default: all feeds.
    :param account: one account of that feed. Default: all accounts.
    """
    root = (path if "://" in path else f"file://{path}").rstrip("/")
    return _asset("/".join([root, *_segments(source, account)]), root, source, account)


def store_uri(store_conn_id: str, source: str | None = None, account: str | None = None) -> str:
    """Return the URI of a store in assets and summaries: it contains the connection's ID, and none of its fields."""
    return "/".join(["x-wacontacts-store:/", *_segments(store_conn_id, source, account)])


def _asset(uri: str, place: str, source: str | None, account: str | None) -> Asset:
    """Return an asset that Airflow 3 lists by a name and in a group; Airflow 2 has neither."""
    if hasattr(Asset, "name"):
        name = " ".join(_segments(source, account))
        return Asset(name=f"contacts in {place}: {name or 'all'}"[:MAX_NAME], uri=uri, group="wacontacts")
    return Asset(uri=uri)


def _segments(*parts: str | None) -> list[str]:
    return [quote(part, safe="") for part in parts if part]
