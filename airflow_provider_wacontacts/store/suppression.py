"""The suppression list of a store: keyed hashes of people and contacts that were erased."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.suppression import NO_SUPPRESSIONS, SuppressionKey, SuppressionList
from airflow_provider_wacontacts.store.locks import Locks
from airflow_provider_wacontacts.store.tables import Tables, insert_into

__all__ = ["Dump", "StoredSuppressionList"]

KEY_BYTES = 32


class DumpedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A random key of hashes. It is secret: with it, numbers can be found by brute force."""

    key_id: str
    key: bytes
    made_at: datetime


class DumpedHash(msgspec.Struct, frozen=True, kw_only=True):
    """A hash of an identifier or a contact."""

    key_id: str
    hash: bytes
    erased_at: datetime


class Dump(msgspec.Struct, frozen=True, kw_only=True):
    """A suppression list in a file."""

    hashes: list[DumpedHash]
    keys: list[DumpedKey] = []


class StoredSuppressionList:
    """
    The suppression list of one store. Threads may share it.

    :param secret: the secret of pseudonyms, used as the key of the hashes; ``None`` for a key that the store keeps.
    """

    def __init__(self, tables: Tables, locks: Locks, secret: bytes | None) -> None:
        self._tables = tables
        self._locks = locks
        self._own = SuppressionKey.from_secret(secret) if secret else None
        last = func.coalesce(func.max(tables.erased.c.erased_number), 0)
        self._state = select(func.count(), last).select_from(tables.erased)
        self._read: tuple[tuple[int, int], SuppressionList] = ((0, 0), NO_SUPPRESSIONS)

    def locked(self, connection: Connection) -> SuppressionList:
        """
        Return the list for a transaction that writes people's rows. Erasures wait until it ends.

        It costs one query on a small table. The hashes are only reread after another erasure.

        :raises ConfigError: people were erased with another secret than this connection's.
        """
        self._locks.writer_lock(connection)
        return self.cached(connection)

    def cached(self, connection: Connection) -> SuppressionList:
        """Return the list without a lock; see :meth:`locked`."""
        count, last = connection.execute(self._state).one()
        state, found = self._read
        if state == (count, last):
            return found
        found = self.read(connection)
        self._read = (count, last), found
        return found

    def read(self, connection: Connection) -> SuppressionList:
        """Read the list, including the changes of this transaction."""
        return SuppressionList(self._hashes(connection))

    def key(self, connection: Connection, now: datetime) -> SuppressionKey:
        """Return the key of new hashes; create it if there is none."""
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
        rows = [{"key_id": key.key_id, "hash": digest, "erased_at": now} for digest in sorted(set(hashes))]
        if rows:
            connection.execute(insert_into(connection, self._tables.erased).on_conflict_do_nothing(), rows)

    def dump(self, connection: Connection) -> Dump:
        """
        Return the list and the keys that the store keeps, for a copy that survives the store.

        Hashes made with the secret of pseudonyms need the same secret. The dump does not contain it.
        """
        erased, keys = self._tables.erased.c, self._tables.erased_key.c
        hashes = connection.execute(select(erased.key_id, erased.hash, erased.erased_at).order_by(erased.erased_number))
        dumped = [DumpedHash(key_id=key_id, hash=digest, erased_at=at) for key_id, digest, at in hashes]
        kept = connection.execute(select(keys.key_id, keys.key, keys.made_at).order_by(keys.made_at, keys.key_id))
        return Dump(hashes=dumped, keys=[DumpedKey(key_id=key_id, key=key, made_at=at) for key_id, key, at in kept])

    def restore(self, connection: Connection, dump: Dump) -> int:
        """
        Add the missing hashes of a dump to the list.

        :returns: count of added hashes.
        :raises ConfigError: the dump was made with a secret other than the store's.
        """
        keys = [msgspec.structs.asdict(key) for key in dump.keys]
        if keys:
            connection.execute(insert_into(connection, self._tables.erased_key).on_conflict_do_nothing(), keys)
        before = self._count(connection)
        hashes = [msgspec.structs.asdict(digest) for digest in dump.hashes]
        if hashes:
            connection.execute(insert_into(connection, self._tables.erased).on_conflict_do_nothing(), hashes)
        self.read(connection)
        return self._count(connection) - before

    def _count(self, connection: Connection) -> int:
        return int(connection.execute(select(func.count()).select_from(self._tables.erased)).scalar_one())

    def _hashes(self, connection: Connection) -> dict[SuppressionKey, list[bytes]]:
        table = self._tables.erased_key
        rows = connection.execute(select(self._tables.erased.c.key_id, self._tables.erased.c.hash)).all()
        # Read the keys after the hashes, so that all hashes have their key.
        keys = [SuppressionKey(key) for (key,) in connection.execute(select(table.c.key))]
        by_id = {key.key_id: key for key in (*keys, *([self._own] if self._own else []))}
        hashes: dict[SuppressionKey, list[bytes]] = defaultdict(list)
        for key_id, digest in rows:
            if key_id not in by_id:
                raise ConfigError(
                    "People were erased from this store with another `pseudonym_secret` than its connection has now,"
                    " and could come back unnoticed. Set the one that the connection had then."
                )
            hashes[by_id[key_id]].append(digest)
        return dict(hashes)
