"""Remove an account: its contacts, their history and its extractions, for example after a typo in its name."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.store.changes import Changes
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.ledger import IS_SILENT, LOST_AFTER

__all__ = ["ForgottenRows", "forget_account"]

ACCOUNT = "SELECT account_id FROM {at}wacontacts_account WHERE source = :source AND account = :account"
#: A loading transaction holds the lock of its extraction's row, so an attempt that was taken for lost either ends
#: first, or fails because its row is gone.
EXTRACTIONS = """
SELECT e.extraction_id FROM {at}wacontacts_extraction e
JOIN {at}wacontacts_account a ON a.account_id = e.account_id
WHERE a.source = :source AND a.account = :account ORDER BY e.extraction_id
"""
RUNNING = f"""
SELECT count(*) FROM {{at}}wacontacts_extraction e
WHERE account_id = :account_id AND state = 'running' AND NOT {IS_SILENT}
"""
COUNTS = """
SELECT (SELECT count(*) FROM {at}wacontacts_contact_current WHERE account_id = :account_id) AS contacts,
    (SELECT count(*) FROM {at}wacontacts_contact_version WHERE account_id = :account_id) AS versions,
    (SELECT count(*) FROM {at}wacontacts_extraction WHERE account_id = :account_id) AS extractions,
    (SELECT count(*) FROM {at}wacontacts_rejected_row WHERE extraction_id IN (
        SELECT extraction_id FROM {at}wacontacts_extraction WHERE account_id = :account_id
    )) AS rejected
"""
VERSION_IDS = "SELECT version_id FROM {at}wacontacts_contact_version WHERE account_id = :account_id"
REJECTS = """
DELETE FROM {at}wacontacts_rejected_row WHERE extraction_id IN (
    SELECT extraction_id FROM {at}wacontacts_extraction WHERE account_id = :account_id
)
"""
TABLES = ("contact_current", "contact_payload", "contact_version", "field", "field_change", "extraction", "account")


class ForgottenRows(NamedTuple):
    """
    Counts of an account's removed rows.

    :param extractions: attempts at syncs.
    """

    contacts: int
    versions: int
    extractions: int
    rejected: int


def forget_account(context: StoreContext, source: str, account: str, *, dry_run: bool = False) -> ForgottenRows:
    """
    Remove an account with all of its rows. Followers of the change log see its versions as ``erased``.

    :param source: ``turn`` or ``green_api``.
    :param dry_run: only count.
    :raises ConfigError: the store has no such account, or an extraction of it is running.
    :raises LandingError: the database failed; nothing was removed.
    """

    def work(db: Database) -> ForgottenRows:
        context.locks.writer_lock(db.connection)
        if not db.is_sqlite:
            db.execute(f"{EXTRACTIONS} FOR UPDATE OF e", source=source, account=account)
        # An extraction that begins holds the lock of the account's row.
        account_id = _idle_account_id(db, context, source, account)
        counts = ForgottenRows(**db.execute(COUNTS, account_id=account_id).mappings().one())
        if not dry_run:
            _delete(db, context, account_id)
        return counts

    return context.run(work)


def _idle_account_id(db: Database, context: StoreContext, source: str, account: str) -> int:
    account_id = db.execute(ACCOUNT + db.locked, source=source, account=account).scalar()
    if account_id is None:
        raise ConfigError(f"The store has no {source} account {account!r}. `wacontacts store status` lists them.")
    silent_since = context.now(db.connection) - LOST_AFTER
    if db.execute(RUNNING, account_id=account_id, silent_since=silent_since).scalar():
        raise ConfigError(
            f"An extraction of {source} account {account!r} is running or deferred. Stop its task, wait until the"
            " extraction has failed, at most 15 minutes, and run this again."
        )
    return int(account_id)


def _delete(db: Database, context: StoreContext, account_id: int) -> None:
    changes = Changes(account_id)
    changes.extend("erased", (version_id for (version_id,) in db.execute(VERSION_IDS, account_id=account_id)))
    db.execute(REJECTS, account_id=account_id)
    for table in TABLES:
        db.execute(f"DELETE FROM {{at}}wacontacts_{table} WHERE account_id = :account_id", account_id=account_id)
    changes.write(db.connection, context)
