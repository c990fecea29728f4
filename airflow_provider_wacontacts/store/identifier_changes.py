"""
Changed identifiers: new phone numbers or user IDs of users, as reported by callbacks.

Nothing is merged: callbacks may be forged, and numbers may be reassigned to other people. Erasures only report them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.suppression import SuppressionList
from airflow_provider_wacontacts.records.identities import IdentifierChange
from airflow_provider_wacontacts.records.windows import format_time
from airflow_provider_wacontacts.store.database import Database

__all__ = ["changed_identifiers", "delete_identifier_changes", "store_identifier_changes"]

INSERT = """
INSERT INTO {at}wacontacts_identifier_change AS kept
    (sender, kind, previous_value, current_value, changed_at, detected_at)
SELECT CAST(:sender AS text), given.kind, given.previous_value, given.current_value,
    CAST(given.changed_at AS {time}), CAST(:detected_at AS {time})
FROM {given} WHERE true ORDER BY given.kind, given.previous_value, given.current_value
ON CONFLICT (sender, kind, previous_value, current_value) DO UPDATE SET
    changed_at = CASE WHEN kept.changed_at IS NULL OR excluded.changed_at < kept.changed_at
        THEN excluded.changed_at ELSE kept.changed_at END,
    detected_at = CASE WHEN excluded.detected_at < kept.detected_at THEN excluded.detected_at ELSE kept.detected_at END
"""
#: Both directions, each by an index.
RELATED = """
SELECT c.kind, c.current_value AS value FROM {given}
JOIN {at}wacontacts_identifier_change c ON c.kind = given.kind AND c.previous_value = given.value
UNION
SELECT c.kind, c.previous_value FROM {given}
JOIN {at}wacontacts_identifier_change c ON c.kind = given.kind AND c.current_value = given.value
"""
DELETE = """
DELETE FROM {at}wacontacts_identifier_change WHERE change_number IN (
    SELECT c.change_number FROM {given} JOIN {at}wacontacts_identifier_change c
        ON c.kind = given.kind AND (c.previous_value = given.value OR c.current_value = given.value)
)
"""


def store_identifier_changes(
    db: Database,
    suppression_list: SuppressionList,
    sender: str,
    changes: Iterable[IdentifierChange],
    detected_at: datetime,
) -> None:
    """
    Store changed identifiers, except of erased people. It is idempotent and order-independent.

    :param suppression_list: the suppression list, which is locked.
    :param detected_at: when they were received.
    """
    rows: list[dict[str, Any]] = [
        {
            "kind": change.previous.kind,
            "previous_value": change.previous.value,
            "current_value": change.current.value,
            "changed_at": change.at and format_time(change.at),
        }
        for change in changes
        if not suppression_list.has(change.previous) and not suppression_list.has(change.current)
    ]
    if rows:
        given = db.given(**dict.fromkeys(rows[0], "text"))
        db.execute(INSERT.replace("{given}", given), rows=_distinct(rows), sender=sender, detected_at=detected_at)


def changed_identifiers(db: Database, identifiers: Collection[Identifier]) -> set[Identifier]:
    """Return the identifiers that directly precede or follow these ones in reported changes."""
    rows = _rows(identifiers)
    if not rows:
        return set()
    given = db.given(kind="text", value="text")
    return {Identifier(Kind(row.kind), row.value) for row in db.execute(RELATED.replace("{given}", given), rows=rows)}


def delete_identifier_changes(db: Database, identifiers: Collection[Identifier]) -> int:
    """Delete the changes of some identifiers; return the number of rows."""
    rows = _rows(identifiers)
    return db.execute(DELETE.replace("{given}", db.given(kind="text", value="text")), rows=rows).rowcount if rows else 0


def _rows(identifiers: Collection[Identifier]) -> list[dict[str, Any]]:
    kinds = {Kind.NUMBER: Kind.WA_ID}
    return [{"kind": kinds.get(each.kind, each.kind), "value": each.key} for each in sorted(identifiers)]


def _distinct(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each change once, with the earliest of its times."""
    latest_first = sorted(rows, key=lambda row: row["changed_at"] or "", reverse=True)
    return list({(row["kind"], row["previous_value"], row["current_value"]): row for row in latest_first}.values())
