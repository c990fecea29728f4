"""The status of a store: watermarks, gaps, unfinished extractions and rejects of accounts; budgets of senders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from airflow_provider_wacontacts.exceptions import ConfigError, PermissionDeniedError
from airflow_provider_wacontacts.records.windows import Window, format_duration, format_minute, format_time
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.fields import FieldChange, read_field_changes
from airflow_provider_wacontacts.store.migrations import LATEST
from airflow_provider_wacontacts.store.schema import version_of
from airflow_provider_wacontacts.store.status import (
    SENDERS,
    AccountStatus,
    Selection,
    SenderStatus,
    read_accounts,
    read_senders,
    read_watermarks,
)

__all__ = [
    "FEEDS",
    "SENDERS",
    "Freshness",
    "StoreStatus",
    "check_freshness",
    "find_loss",
    "read_ages",
    "read_status",
    "read_store",
]

T = TypeVar("T")

#: How far back schema drift is shown.
DRIFT_SHOWN = timedelta(days=7)
#: Sources of contacts, and the source of senders.
FEEDS = ("turn", "green_api")


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """
    The status of a store: names of accounts and senders, counts and times.

    :param as_of: time, by the database's clock.
    :param schema_version: version of the tables; 0 if there are none.
    :param writes_version: version that this package writes.
    :param problem: why the rest was not read; ``None`` if it was.
    :param field_changes: schema drift of the last seven days, the newest first.
    """

    as_of: datetime
    schema_version: int
    writes_version: int
    problem: str | None
    feeds: Sequence[AccountStatus] = ()
    senders: Sequence[SenderStatus] = ()
    field_changes: Sequence[FieldChange] = ()

    def age_of(self, account: AccountStatus) -> timedelta | None:
        """Return the time since an account's watermark; ``None`` if it was never synced."""
        return self.as_of - account.newest.reached_at if account.newest else None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values: times as ISO 8601 strings of fixed width, UTC, and durations in seconds."""
        status: dict[str, Any] = _to_json(self)
        for account, fields_of_account in zip(self.feeds, status["feeds"], strict=True):
            fields_of_account["age_s"] = _to_json(self.age_of(account))
        for sender, fields_of_sender in zip(self.senders, status["senders"], strict=True):
            fields_of_sender["left"] = None if sender.limit is None else max(0, sender.limit - sender.spent)
        return status


class Freshness(NamedTuple):
    """
    Whether all accounts are fresh.

    :param stale: source and account of each stale account, with its age; ``None`` if it was never synced.
    :param oldest: the greatest age; ``None`` if no account was ever synced.
    """

    stale: Sequence[tuple[str, timedelta | None]]
    oldest: timedelta | None

    @property
    def is_fresh(self) -> bool:
        """Whether there is an account and none is stale."""
        return self.oldest is not None and not self.stale

    def describe_stale(self) -> list[str]:
        """Return one phrase with the age of each stale account; empty if all are fresh."""
        if self.is_fresh:
            return []
        stale = [
            f"{name} {'was never synced' if age is None else f'is {format_duration(age)} old'}"
            for name, age in self.stale
        ]
        return stale or ["no account was ever synced"]


def read_ages(store: Store, selection: Selection) -> StoreStatus:
    """
    Read only the age of each account's newest complete extraction.

    It needs SELECT on ``wacontacts_schema_version``, ``wacontacts_account`` and ``wacontacts_extraction``.

    :raises ConfigError: the user lacks this privilege, or there is no store.
    :raises LandingError: the database failed.
    """
    return _read(store, lambda db: _Found(read_watermarks(db, selection, now=store.context.now(db.connection))))


def read_status(
    store: Store, selection: Selection, *, limits: Mapping[str, int] | None = None, with_contacts: bool = False
) -> StoreStatus:
    """
    Read the status of a store. It writes nothing and creates nothing.

    :param limits: daily checks of the senders, where known.
    :param with_contacts: count each account's contacts, which scans all of them.
    :raises ConfigError: the user may not read the tables, or there is no store.
    :raises LandingError: the database failed.
    """

    def work(db: Database) -> _Found:
        now, late_after = store.context.now(db.connection), store.context.late_after
        accounts = read_accounts(db, selection, now=now, late_after=late_after, with_contacts=with_contacts)
        drift = read_field_changes(db, since=now - DRIFT_SHOWN)
        of_selection = [change for change in drift if selection.takes(change.source, change.account)]
        if SENDERS not in (selection.sources or {SENDERS}):
            return _Found(accounts, (), of_selection)
        return _Found(accounts, read_senders(db, selection, now=now, limits=limits), of_selection)

    return _read(store, work)


def read_store(store: Store, work: Callable[[Database, datetime], T]) -> T:
    """
    Read from a store whose tables have this package's version.

    :param work: called with the database and its current time.
    :raises ConfigError: the tables have another version, the user may not read them, or there is no store.
    :raises LandingError: the database failed.
    """
    found: list[T] = []

    def read(db: Database) -> _Found:
        found.append(work(db, store.context.now(db.connection)))
        return _Found(())

    status = _read(store, read)
    if status.problem:
        raise ConfigError(status.problem)
    return found[0]


def check_freshness(status: StoreStatus, max_age: timedelta, selection: Selection) -> Freshness:
    """
    Find the accounts that are older than ``max_age``.

    An account counts from its first complete extraction, or if ``selection`` names it.

    :param selection: the selection that the status was read for. A source or account in it that was never synced is
        stale.
    """
    counted = [account for account in status.feeds if account.newest or account.account in selection.accounts]
    ages = [(f"{account.source} {account.account}", status.age_of(account)) for account in counted]
    found = {name for account in counted for name in (account.source, account.account)}
    missing = sorted({*selection.accounts, *selection.sources} - found - {SENDERS})
    stale = [(name, age) for name, age in ages if age is None or age > max_age]
    known = [age for _, age in ages if age is not None]
    return Freshness([*stale, *((name, None) for name in missing)], max(known, default=None))


def find_loss(status: StoreStatus, since: datetime) -> dict[str, list[str]]:
    """
    Return the coverage gaps and the lossy intervals of all accounts, as ``gap`` and ``lossy``.

    :param since: intervals that ended before are left out.
    """

    def describe(word: str, account: AccountStatus, intervals: Sequence[Window]) -> list[str]:
        return [
            f"{account.source} {account.account} has {word} from {format_minute(interval.start)} to"
            f" {format_minute(interval.end)}"
            for interval in intervals
            if interval.end > since
        ]

    return {
        "gap": [text for account in status.feeds for text in describe("a coverage gap", account, account.gaps)],
        "lossy": [text for account in status.feeds for text in describe("a lossy interval", account, account.lossy)],
    }


class _Found(NamedTuple):
    accounts: Sequence[AccountStatus]
    senders: Sequence[SenderStatus] = ()
    field_changes: Sequence[FieldChange] = ()


def _read(store: Store, work: Callable[[Database], _Found]) -> StoreStatus:
    if not store.context.transactions.has_database():
        raise ConfigError(
            "The store's SQLite file does not exist. Check its path in the connection; `store status` never creates it."
        )
    try:
        version = version_of(store.context.transactions, store.context.tables)
        problem = _version_problem(version)
        if problem:
            return StoreStatus(store.context.now(), version, LATEST, problem)
        with store.context.read() as db:
            found = work(db)
    except PermissionDeniedError:
        raise ConfigError(
            "The database user may not read the store. Grant it SELECT on the store's tables and views."
        ) from None
    return StoreStatus(store.context.now(), version, LATEST, None, *found)


def _version_problem(version: int) -> str | None:
    if not version:
        return "The store has no tables yet. The first task creates them, or run `wacontacts store upgrade`."
    versions = f"The store's tables have version {version}, and this package writes version {LATEST}."
    if version < LATEST:
        return f"{versions} The next task upgrades them, or run `wacontacts store upgrade`."
    if version > LATEST:
        return f"{versions} Install the newer airflow-provider-wacontacts that upgraded them."
    return None


def _to_json(value: Any) -> Any:
    if isinstance(value, Window):
        return {"start": format_time(value.start), "end": format_time(value.end)}
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value):
        return {field.name: _to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _to_json(item) for key, item in value.items()}
    return [_to_json(item) for item in value] if isinstance(value, (list, tuple)) else value
