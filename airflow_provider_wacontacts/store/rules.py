"""
Rules in SQL that queries share.

Views have the same rules, but a released migration is never edited, so migrations have their own copies.
"""

from __future__ import annotations

__all__ = ["IS_PENDING", "VALID_TO"]

#: Whether identity ``i`` is pending: a sender's latest identity of a user, not acknowledged, and not superseded by a
#: newer one from the API.
IS_PENDING = """
    NOT i.acknowledged AND NOT i.superseded AND NOT EXISTS (
        SELECT 1 FROM {at}wacontacts_identity o
        WHERE o.sender = i.sender AND o.wa_id = i.wa_id AND NOT o.superseded
            AND (coalesce(o.created_at, o.detected_at), o.detected_at, o.hash)
                > (coalesce(i.created_at, i.detected_at), i.detected_at, i.hash)
    )
"""
#: If two versions have the same time, the lower one has an empty validity.
VALID_TO = """
    (
        SELECT min(n.updated_at) FROM {at}wacontacts_contact_version n
        WHERE n.account_id = v.account_id AND n.contact_id = v.contact_id AND n.updated_at >= v.updated_at
            AND (n.updated_at, n.last_seen_at, n.row_hash) > (v.updated_at, v.last_seen_at, v.row_hash)
    )
"""
