"""
Assets that DAG authors name as outlets.

An operator puts the summary of what it did into the event of every asset among its outlets, so that a DAG which is
scheduled on one can read what arrived.
"""

from __future__ import annotations

from urllib.parse import quote

from airflow.providers.common.compat.sdk import Asset

__all__ = ["prefix_asset", "store_asset", "store_uri"]


def store_asset(
    store_conn_id: str = "wacontacts_store", *, source: str | None = None, account: str | None = None
) -> Asset:
    """
    Name the contacts of a store.

    :param store_conn_id: connection of the store.
    :param source: feed such as ``turn``; all feeds by default.
    :param account: one account of that feed; all by default.
    """
    return Asset(uri=store_uri(store_conn_id, source, account))


def prefix_asset(path: str, *, source: str | None = None, account: str | None = None) -> Asset:
    """
    Name the contacts below a path of object storage.

    :param path: as the operator is given it, such as ``s3://bucket/contacts``; a path without a scheme is a local one.
    :param source: feed such as ``turn``; all feeds by default.
    :param account: one account of that feed; all by default.
    """
    root = path if "://" in path else f"file://{path}"
    return Asset(uri="/".join([root.rstrip("/"), *_segments(source, account)]))


def store_uri(store_conn_id: str, source: str | None = None, account: str | None = None) -> str:
    """Return the address by which assets and summaries call a store: it names the connection and nothing of it."""
    return "/".join(["x-wacontacts-store:/", *_segments(store_conn_id, source, account)])


def _segments(*parts: str | None) -> list[str]:
    return [quote(part, safe="") for part in parts if part]
