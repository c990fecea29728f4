"""Look at a store: which feeds came in, how far they reach, what they miss, and what the senders have spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.records.windows import Window, format_time
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.errors import PermissionDeniedError
from airflow_provider_wacontacts.store.migrations import LATEST
from airflow_provider_wacontacts.store.schema import version_of
from airflow_provider_wacontacts.store.status.feeds import read_feeds, read_reach
from airflow_provider_wacontacts.store.status.model import Feed, Selection, Sender
from airflow_provider_wacontacts.store.status.senders import SOURCE, read_senders

__all__ = ["FEEDS", "SENDERS", "StoreStatus", "Verdict", "look_at_ages", "look_at_store", "verdict_on"]

#: The sources that contacts are pulled from, and the one whose senders are told of.
FEEDS = ("turn", "green_api")
SENDERS = SOURCE


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """
    A store as it stands; nothing in it but names of accounts and senders, counts and times.

    :param as_of: the worker's time, aware.
    :param schema_version: of the tables; 0 where there are none.
    :param writes_version: the one that this package writes.
    :param problem: why nothing else was read; ``None`` where it was.
    """

    as_of: datetime
    schema_version: int
    writes_version: int
    problem: str | None
    feeds: Sequence[Feed] = ()
    senders: Sequence[Sender] = ()

    def age_of(self, feed: Feed) -> timedelta | None:
        """Return how long ago it was that an account reaches to; ``None`` where nothing was ever pulled."""
        return self.as_of - feed.newest.reached_at if feed.newest else None

    def as_dict(self) -> dict[str, Any]:
        """Return it as what JSON has: times as text of fixed width, UTC, and durations in seconds."""
        told: dict[str, Any] = _plain(self)
        for feed, own in zip(self.feeds, told["feeds"], strict=True):
            own["age_s"] = _plain(self.age_of(feed))
        for sender, own in zip(self.senders, told["senders"], strict=True):
            own["left"] = None if sender.limit is None else max(0, sender.limit - sender.spent)
        return told


class Verdict(NamedTuple):
    """
    Whether all is as fresh as it should be.

    :param stale: what is not, by source and account, with its age; ``None`` where nothing was ever pulled.
    :param oldest: the age of the oldest account; ``None`` where nothing was ever pulled.
    """

    stale: Sequence[tuple[str, timedelta | None]]
    oldest: timedelta | None

    @property
    def is_fresh(self) -> bool:
        """Whether there is something, and nothing too old."""
        return self.oldest is not None and not self.stale


def look_at_ages(store: Store, selection: Selection) -> StoreStatus:
    """
    Read how old the newest complete extraction of each account is, and no more.

    The right to read ``wacontacts_meta``, ``wacontacts_account`` and ``wacontacts_extraction`` will do.

    :raises ConfigError: there is no such right, or no place to look at.
    :raises LandingError: the database failed.
    """
    return _look(store, lambda db: (read_reach(db, selection), ()))


def look_at_store(
    store: Store, selection: Selection, *, limits: Mapping[str, int] | None = None, with_contacts: bool = False
) -> StoreStatus:
    """
    Read how a store stands. Nothing is written, nor made where it is missing.

    :param limits: how many checks a sender may make in a day, where that is known.
    :param with_contacts: count the contacts of each account, which goes through all of them.
    :raises ConfigError: there is no right to read it, or no place to look at.
    :raises LandingError: the database failed.
    """

    def work(db: Database) -> tuple[Sequence[Feed], Sequence[Sender]]:
        sources = selection.sources or {*FEEDS, SENDERS}
        feeds = read_feeds(db, selection, late_after=store.context.late_after, with_contacts=with_contacts)
        return feeds, read_senders(db, selection, now=store.context.now(), limits=limits) if SENDERS in sources else ()

    return _look(store, work)


def verdict_on(status: StoreStatus, max_age: timedelta, selection: Selection) -> Verdict:
    """
    Tell which accounts are older than they may be; one that is just as old is not.

    :param selection: what the status was asked for: a source or an account that is in it by name and has no extraction
        was never pulled, which a monitor of it has to hear.
    """
    ages = [(f"{feed.source} {feed.account}", status.age_of(feed)) for feed in status.feeds]
    told = {name for feed in status.feeds for name in (feed.source, feed.account)}
    missing = sorted({*selection.accounts, *selection.sources} - told - {SENDERS})
    stale = [(name, age) for name, age in ages if age is None or age > max_age]
    known = [age for _, age in ages if age is not None]
    return Verdict([*stale, *((name, None) for name in missing)], max(known, default=None))


def _look(store: Store, work: Callable[[Database], tuple[Sequence[Feed], Sequence[Sender]]]) -> StoreStatus:
    if not store.context.transactions.has_database():
        raise ConfigError("the store's file is not there, and is not made by looking at it: is its path right?")
    try:
        found = version_of(store.context.transactions, store.context.tables)
        problem = _problem(found)
        if problem:
            return StoreStatus(store.context.now(), found, LATEST, problem)
        with store.context.transactions.read() as connection:
            feeds, senders = work(Database(connection, store.context.tables))
    except PermissionDeniedError:
        raise ConfigError(
            "this user may not read all that is asked for; it needs SELECT on the store's tables"
        ) from None
    return StoreStatus(store.context.now(), found, LATEST, None, feeds, senders)


def _problem(found: int) -> str | None:
    if not found:
        return "the store has no tables yet: the first task makes them, or `wacontacts store upgrade`"
    if found < LATEST:
        return (
            f"the store's tables are of version {found} and this package writes version {LATEST}: the next task brings "
            "them there, or `wacontacts store upgrade`"
        )
    if found > LATEST:
        return (
            f"the store's tables are of version {found} and this package writes version {LATEST}: install the newer "
            "airflow-provider-wacontacts that made them"
        )
    return None


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Window):
        return {"start": format_time(value.start), "end": format_time(value.end)}
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
