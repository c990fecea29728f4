"""Version 4: who was erased, by keyed hashes that tell nothing without the key."""

from __future__ import annotations

__all__ = ["STATEMENTS"]

STATEMENTS = (
    """
    CREATE TABLE {at}wacontacts_erased (
        erased_number {identity},
        key_id text NOT NULL,
        hash {bytes} NOT NULL,
        erased_at {time} NOT NULL,
        UNIQUE (key_id, hash)
    )
    """,
    """
    CREATE TABLE {at}wacontacts_erased_key (
        key_id text NOT NULL PRIMARY KEY,
        key {bytes} NOT NULL,
        made_at {time} NOT NULL
    )
    """,
)
