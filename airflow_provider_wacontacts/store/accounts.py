"""The accounts of feeds. Each account has the contacts of one number, and pseudonyms made with one secret."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.store.tables import Tables, insert_into

__all__ = ["find_or_add_account", "pin_number_id", "pin_secret"]


def find_or_add_account(connection: Connection, tables: Tables, source: str, name: str) -> int:
    """Return the id of an account, which cannot be removed until the transaction ends."""
    account = tables.account.c
    query = select(account.account_id).where(account.source == source, account.account == name)
    query = query.with_for_update(read=True, key_share=True)
    found = connection.execute(query).scalar()
    if found is None:
        new = insert_into(connection, tables.account).values(source=source, account=name)
        connection.execute(new.on_conflict_do_nothing())
        found = connection.execute(query).scalar()
    return int(found)  # type: ignore[arg-type]


def pin_secret(connection: Connection, tables: Tables, account_id: int, secret_id: str) -> None:
    """
    Require that all pseudonyms of an account are made with one secret.

    :raises ConfigError: the account has pseudonyms of another secret.
    """
    account = tables.account.c
    is_account = account.account_id == account_id
    name, kept = connection.execute(select(account.account, account.secret_id).where(is_account)).one()
    if kept is None:
        connection.execute(update(tables.account).where(is_account).values(secret_id=secret_id))
    elif kept != secret_id:
        raise ConfigError(
            f"Account {name!r} has pseudonyms of another 'pseudonym_secret', so rows from before and after would not"
            " join. Set the old secret again, or run `wacontacts store repseudonymize`."
        )


def pin_number_id(connection: Connection, tables: Tables, account_id: int, number_ids: set[str]) -> None:
    """
    Require that all contacts of an account belong to one number.

    :raises ConfigError: the contacts belong to another number than before.
    """
    account = tables.account.c
    is_account = account.account_id == account_id
    known = connection.execute(select(account.number_id).where(is_account)).scalar()
    if known is None and len(number_ids) == 1:
        free = update(tables.account).where(is_account, account.number_id.is_(None))
        connection.execute(free.values(number_id=min(number_ids)))
        known = connection.execute(select(account.number_id).where(is_account)).scalar()
    if number_ids - {known}:
        raise ConfigError(
            "These contacts belong to another number than the account's earlier contacts: the connection has another"
            " token now. Set its extra 'account' to another name, to keep the two numbers apart."
        )
