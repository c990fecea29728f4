"""The store that the connection points to now: its password or host may change while the receiver runs."""

from __future__ import annotations

import logging

from airflow_provider_wacontacts.hooks.connections import read_connection
from airflow_provider_wacontacts.hooks.store import create_store
from airflow_provider_wacontacts.hooks.store_connection import StoreConnection, parse_store_connection
from airflow_provider_wacontacts.receiver.recorder import MAX_WAIT
from airflow_provider_wacontacts.store import Store

__all__ = ["CurrentStore"]

log = logging.getLogger(__name__)


class CurrentStore:
    """
    The store of a connection.

    :ivar store: the opened store.
    :raises ConfigError: the connection is not defined or invalid.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        connection = read_connection(conn_id)
        self._uri = connection.get_uri()
        self._open(parse_store_connection(connection))

    def reopen(self, *, anyway: bool) -> bool:
        """
        Open the store again if its connection has changed; return whether it was opened.

        :param anyway: open it also if its connection is the same, for example because its file was replaced.
        """
        try:
            connection = read_connection(self._conn_id)
            uri = connection.get_uri()
            if uri == self._uri and not anyway:
                return False
            opened = parse_store_connection(connection)
        except Exception as error:  # noqa: BLE001 - backends of secrets raise what they like, and may quote it
            log.warning("Connection %r cannot be read (%s).", self._conn_id, type(error).__name__)
            return False
        self._engine.dispose()
        self._uri = uri
        self._open(opened)
        return True

    def _open(self, connection: StoreConnection) -> None:
        self._engine = connection.engine
        self.store: Store = create_store(connection, max_wait=MAX_WAIT)
