"""What is read of a store. All times aware, UTC; counts 0 and up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider_wacontacts.records.windows import Window

__all__ = ["Feed", "Newest", "Rejected", "Selection", "Sender", "Unfinished"]


@dataclass(frozen=True, slots=True)
class Selection:
    """
    Which feeds are looked at.

    :param sources: ``turn``, ``green_api``, ``whatsapp_business``; empty for all.
    :param accounts: accounts and senders; empty for all.
    """

    sources: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()

    def takes(self, source: str, account: str) -> bool:
        """Tell whether an account, or a sender, is among them."""
        return (not self.sources or source in self.sources) and (not self.accounts or account in self.accounts)


@dataclass(frozen=True, slots=True)
class Newest:
    """
    The complete extraction of an account that reaches furthest.

    :param window_start: ``None``, like ``window_end`` and ``lateness_s``, of a snapshot.
    :param reached_at: up to when contacts are in the store: the end of the window, or the time of the snapshot. A
        window that was pulled before it ended reaches as far as its extraction.
    :param groups_seen: of a snapshot, the groups in it; ``None`` where they were not asked for, like ``others_seen``.
    """

    extraction_id: str
    window_start: datetime | None
    window_end: datetime | None
    extracted_at: datetime
    finished_at: datetime
    reached_at: datetime
    lateness_s: float | None
    rows: int
    new_versions: int
    rejected: int
    groups_seen: int | None
    others_seen: int | None
    gone: int | None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """
    Tries that are not complete: those that run, and others that were begun since the last complete one.

    :param state: ``running``, ``abandoned``, ``incomplete`` or ``refused``.
    :param reason: of snapshots, why, in a word.
    :param first_at: when the first of them was begun.
    """

    state: str
    reason: str | None
    tries: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    """
    What was put aside for one reason.

    :param last_at: when the last of it came in.
    """

    reason: str
    rejects: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Feed:
    """
    An account of Turn.io or GREEN-API.

    :param newest: ``None`` where nothing was ever pulled completely.
    :param covered_from: the start of the first complete window; ``None``, like ``baseline_until``, of snapshots.
    :param baseline_until: when the account was first pulled: of what precedes it only the newest states were seen.
    :param gaps: stretches between the first window and the last that nothing covers, ascending.
    :param lossy: stretches that were pulled, but never in time, so that states in them may have been overwritten
        unseen; ascending, the baseline not among them.
    :param extractions: how many there are, by state.
    :param contacts: how many are ``present`` and ``gone``; ``None`` where they were not counted.
    """

    source: str
    account: str
    newest: Newest | None = None
    covered_from: datetime | None = None
    baseline_until: datetime | None = None
    gaps: Sequence[Window] = ()
    lossy: Sequence[Window] = ()
    extractions: Mapping[str, int] = field(default_factory=dict)
    unfinished: Sequence[Unfinished] = ()
    rejects: Sequence[Rejected] = ()
    contacts: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """
    A sender of WhatsApp Business.

    :param spent: checks drawn today, by UTC.
    :param limit: how many may be; ``None`` where that is not known: it is the connection's, not the store's.
    :param open_checks: checks whose answers are not all there.
    :param overdue_checks: open ones whose deadline has passed.
    :param oldest_open_at: when the oldest open one was begun.
    :param numbers: how many there are, by status; ``unasked`` for those that have none.
    :param pending_identities: users who have potentially changed, and are not acknowledged.
    """

    sender: str
    spent: int = 0
    limit: int | None = None
    open_checks: int = 0
    overdue_checks: int = 0
    oldest_open_at: datetime | None = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    pending_identities: int = 0
    rejects: Sequence[Rejected] = ()
