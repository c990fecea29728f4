"""Version 3: what the ledger tells of snapshots."""

from __future__ import annotations

__all__ = ["STATEMENTS"]

STATEMENTS = (
    "ALTER TABLE {at}wacontacts_extraction ADD COLUMN groups_seen bigint",
    "ALTER TABLE {at}wacontacts_extraction ADD COLUMN others_seen bigint",
    "ALTER TABLE {at}wacontacts_extraction ADD COLUMN gone bigint",
    "ALTER TABLE {at}wacontacts_extraction ADD COLUMN back bigint",
    "ALTER TABLE {at}wacontacts_extraction ADD COLUMN reason text",
)
