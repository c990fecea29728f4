"""Identity changes as a client reports them."""

from __future__ import annotations

from airflow_provider_wacontacts.store.checks.model import CheckResults
from airflow_provider_wacontacts.store.checks.sender import SenderChecks


def record_changes(identities, changes, *, detected_at=None):
    """
    Record changes of identity as a delivery does.

    :param identities: the ``SenderIdentities`` of the sender.
    :param detected_at: when the delivery arrived; now by default.
    """
    at = detected_at or identities.context.now()
    checks = SenderChecks(identities.context, identities.sender)
    checks.record_delivered(CheckResults({}, at, at), verified=True, identities=changes)
