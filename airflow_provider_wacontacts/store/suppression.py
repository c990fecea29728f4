"""The suppression list of a store: keyed hashes of people and contacts that were erased."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionKey, SuppressionList
from airflow_provider_wacontacts.store.locks import Locks
from airflow_provider_wacontacts.store.tables import Tables

__all__ = ["StoredSuppressionList"]

KEY_BYTES = 32


class StoredSuppressionList:
    """
    The suppression list of one store. Threads may share it.

    :param secret: the secret of pseudonyms, which keys the hashes; ``None`` for a key that the store keeps.
    """

    def __init__(self, tables: Tables, locks: Locks, secret: bytes | None) -> None:
        self._tables = tables
        self._locks = locks
        self._own = SuppressionKey.from_secret(secret) if secret else None
        self._read: tuple[tuple[int, int], SuppressionList] = ((0, 0), NO_SUPPRESSIONS)

    def locked(self, connection: Connection) -> SuppressionList:
        """
        Return the list, and keep erasures out until the transaction ends.

        It costs one query of a small table; the hashes are read again only after another erasure.

        :raises ConfigError: people were erased with another secret than this connection's.
        """
        self._locks.shared_lock(connection)
        return self.cached(connection)

    def cached(self, connection: Connection) -> SuppressionList:
        """Return the list without a lock; see :meth:`locked`."""
        erased = self._tables.erased.c
        count, last = connection.execute(
            select(func.count(), func.coalesce(func.max(erased.erased_number), 0)).select_from(self._tables.erased)
        ).one()
        state, found = self._read
        if state == (count, last):
            return found
        found = self.read(connection)
        self._read = (count, last), found
        return found

    def read(self, connection: Connection) -> SuppressionList:
        """Read the list, with the changes of this transaction."""
        return SuppressionList(self._hashes(connection))

    def key(self, connection: Connection, now: datetime) -> SuppressionKey:
        """Return the key of new hashes, under the exclusive lock; create it if there is none."""
        if self._own is not None:
            return self._own
        table = self._tables.erased_key
        kept = connection.execute(select(table.c.key).order_by(table.c.made_at, table.c.key_id).limit(1)).scalar()
        if kept is not None:
            return SuppressionKey(kept)
        made = secrets.token_bytes(KEY_BYTES)
        key = SuppressionKey(made)
        connection.execute(table.insert().values(key_id=key.key_id, key=made, made_at=now))
        return key

    def add(self, connection: Connection, key: SuppressionKey, hashes: Iterable[bytes], now: datetime) -> None:
        """Add hashes to the list."""
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        rows = [{"key_id": key.key_id, "hash": digest, "erased_at": now} for digest in sorted(set(hashes))]
        if rows:
            connection.execute(dialect.insert(self._tables.erased).on_conflict_do_nothing(), rows)

    def _hashes(self, connection: Connection) -> dict[SuppressionKey, list[bytes]]:
        table = self._tables.erased_key
        keys = [SuppressionKey(key) for (key,) in connection.execute(select(table.c.key))]
        by_id = {key.key_id: key for key in (*keys, *([self._own] if self._own else []))}
        hashes: dict[SuppressionKey, list[bytes]] = defaultdict(list)
        for key_id, digest in connection.execute(select(self._tables.erased.c.key_id, self._tables.erased.c.hash)):
            if key_id not in by_id:
                raise ConfigError(
                    "people were erased from this store with a 'pseudonym_secret' that is not the store's now, and "
                    "could come back unnoticed: put the one back that the store's connection had then"
                )
            hashes[by_id[key_id]].append(digest)
        return dict(hashes)
