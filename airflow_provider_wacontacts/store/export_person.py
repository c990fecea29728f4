"""Export the stored rows of a person for subject access requests (GDPR)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.person_search import FoundRows, rows_by_keys

__all__ = ["export_rows"]

CONTACTS = """
SELECT v.* FROM {at}wacontacts_version v
WHERE (v.source, v.account, v.contact_id) IN (SELECT given.source, given.account, given.contact_id FROM {given})
ORDER BY v.source, v.account, v.contact_id, v.updated_at
"""
NUMBERS = """
SELECT sender, number, wa_id, lid, user_id, status, checked_at, client_version FROM {at}wacontacts_number
WHERE number_id IN (SELECT given.id FROM {given}) ORDER BY sender, number
"""
RESULTS = """
SELECT CAST(check_id AS text) AS check_id, contact_key, input, number, wa_id, status, reason, checked_at
FROM {at}wacontacts_check_result
WHERE (check_id, ordinal) IN (SELECT given.check_id, given.ordinal FROM {given}) ORDER BY 1, ordinal
"""
IDENTITIES = """
SELECT sender, wa_id, user_id, hash, created_at, acknowledged, detected_at FROM {at}wacontacts_identity
WHERE identity_id IN (SELECT given.id FROM {given}) ORDER BY identity_id
"""
REJECTS = """
SELECT reason, body, received_at FROM {at}wacontacts_rejected_row
WHERE reject_id IN (SELECT given.id FROM {given}) ORDER BY reject_id
"""


def export_rows(context: StoreContext, found: FoundRows) -> dict[str, list[dict[str, Any]]]:
    """
    Return all rows that a search has found, by table name.

    :raises LandingError: the database failed.
    """
    results = [{"check_id": check_id, "ordinal": ordinal} for check_id, ordinal in (*found.results, *found.keyed)]
    contacts = [contact.key._asdict() for contact in found.contacts]
    with context.read() as db:

        def rows(sql: str, given: Iterable[dict[str, Any]], **types: str) -> list[dict[str, Any]]:
            return [row._asdict() for row in rows_by_keys(db, sql, given, **types)]

        return {
            "wacontacts_version": rows(CONTACTS, contacts, source="text", account="text", contact_id="text"),
            "wacontacts_number": rows(NUMBERS, _ids(found.numbers), id="bigint"),
            "wacontacts_check_result": rows(RESULTS, results, check_id="uuid", ordinal="bigint"),
            "wacontacts_identity": rows(IDENTITIES, _ids(found.identities), id="bigint"),
            "wacontacts_reject": rows(REJECTS, _ids(found.rejects), id="bigint"),
        }


def _ids(ids: Iterable[int]) -> list[dict[str, Any]]:
    return [{"id": one} for one in ids]
