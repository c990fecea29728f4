"""The status of a store as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.cli.formatting import format_table, format_utc
from airflow_provider_wacontacts.records.windows import format_duration

if TYPE_CHECKING:
    from airflow_provider_wacontacts.pipelines.store_status import StoreStatus
    from airflow_provider_wacontacts.records.windows import Window
    from airflow_provider_wacontacts.store.fields import FieldChange
    from airflow_provider_wacontacts.store.status import AccountStatus, Rejected, SenderStatus

__all__ = ["format_status"]

#: Maximum number of intervals shown for an account, the newest.
MAX_INTERVALS = 10


def format_status(status: StoreStatus, store_name: str) -> str:
    """Return a status as tables, without empty ones."""
    title = f"{store_name}: tables of version {status.schema_version}, as of {format_utc(status.as_of)} UTC"
    tables = [table for table in (*_account_tables(status), *_sender_tables(status.senders)) if table]
    return "\n\n".join([title, *(tables or ["No data found for this selection."])])


def _account_tables(status: StoreStatus) -> Iterator[str]:
    accounts = status.feeds
    yield _accounts(status)
    yield _windows(accounts)
    columns = ("ACCOUNT", "FROM", "TO", "LENGTH")
    yield format_table("Coverage gaps", columns, _intervals((account.account, account.gaps) for account in accounts))
    yield format_table(
        "Lossy intervals (synced too late)",
        columns,
        _intervals((account.account, account.lossy) for account in accounts),
    )
    yield _unfinished(accounts)
    yield _rejects((f"{account.source} {account.account}", account.rejects) for account in accounts)
    yield _field_changes(status.field_changes)


def _accounts(status: StoreStatus) -> str:
    counted = [state for state in ("present", "gone") if any(account.contacts for account in status.feeds)]
    columns = ("SOURCE", "ACCOUNT", "UP TO", "AGE", "SYNCS", "REJECTED", *(state.upper() for state in counted))

    def row(account: AccountStatus) -> list[object]:
        age, newest = status.age_of(account), account.newest
        watermark = (
            [format_utc(newest.reached_at), format_duration(age)] if newest and age is not None else ["never", None]
        )
        syncs, rejected = account.extractions.get("complete", 0), sum(reason.rejects for reason in account.rejects)
        contacts = [(account.contacts or {}).get(state) for state in counted]
        return [account.source, account.account, *watermark, syncs, rejected, *contacts]

    return format_table("Accounts", columns, [row(account) for account in status.feeds])


def _windows(accounts: Sequence[AccountStatus]) -> str:
    rows = [
        [
            account.account,
            format_utc(account.covered_from),
            format_utc(account.baseline_until),
            _total(account.gaps),
            _total(account.lossy),
        ]
        for account in accounts
        if account.covered_from and account.baseline_until
    ]
    return format_table("Windows", ("ACCOUNT", "FROM", "BASELINE UNTIL", "GAPS", "LOSSY"), rows)


def _total(intervals: Sequence[Window]) -> str | None:
    lengths = [interval.end - interval.start for interval in intervals]
    return f"{len(lengths):,}, {format_duration(sum(lengths, timedelta()))}" if lengths else None


def _intervals(intervals_by_account: Iterable[tuple[str, Sequence[Window]]]) -> list[list[object]]:
    return [row for account, intervals in intervals_by_account for row in _newest(account, intervals)]


def _newest(account: str, intervals: Sequence[Window]) -> Iterator[list[object]]:
    earlier = len(intervals) - MAX_INTERVALS
    if earlier > 0:
        yield [account, f"{earlier:,} earlier ones", "--json has all", None]
    for interval in intervals[-MAX_INTERVALS:]:
        length = format_duration(interval.end - interval.start)
        yield [account, format_utc(interval.start), format_utc(interval.end), length]


def _unfinished(accounts: Sequence[AccountStatus]) -> str:
    rows = [
        [account.account, group.state, group.reason, group.tries, format_utc(group.first_at), format_utc(group.last_at)]
        for account in accounts
        for group in account.unfinished
    ]
    return format_table(
        "Unfinished extractions", ("ACCOUNT", "STATE", "REASON", "COUNT", "FIRST STARTED", "LAST STARTED"), rows
    )


def _rejects(rejects_by_owner: Iterable[tuple[str, Sequence[Rejected]]]) -> str:
    rows: list[list[object]] = [
        [owner, group.rejects, format_utc(group.last_at), group.reason]
        for owner, groups in rejects_by_owner
        for group in groups
    ]
    return format_table("Rejected rows", ("ACCOUNT", "ROWS", "LAST", "REASON"), rows)


def _field_changes(changes: Sequence[FieldChange]) -> str:
    columns = ("ACCOUNT", "FIELD", "CHANGE", "TYPE BEFORE", "TYPE AFTER", "CONTACTS", "DETECTED")
    rows: list[list[object]] = [
        [
            *(change.account, change.field, change.change_kind, change.type_before, change.type_after),
            *(f"{change.share:.0%}", format_utc(change.detected_at)),
        ]
        for change in changes
    ]
    return format_table("Schema drift, last 7 days", columns, rows)


def _sender_tables(senders: Sequence[SenderStatus]) -> Iterator[str]:
    yield format_table(
        "Senders",
        ("SENDER", "SPENT TODAY", "LIMIT", "OPEN CHECKS", "OVERDUE", "LOST", "OLDEST OPEN"),
        [_sender(sender) for sender in senders],
    )
    yield format_table(
        "Numbers",
        ("SENDER", "STATUS", "NUMBERS"),
        [[sender.sender, status, numbers] for sender in senders for status, numbers in sender.numbers.items()],
    )
    yield format_table(
        "Pending identity changes",
        ("SENDER", "USERS"),
        [[sender.sender, sender.pending_identities] for sender in senders if sender.pending_identities],
    )
    yield _rejects((f"whatsapp_business {sender.sender}", sender.rejects) for sender in senders)


def _sender(sender: SenderStatus) -> list[Any]:
    oldest = format_utc(sender.oldest_open_at) if sender.oldest_open_at else None
    checks = (sender.open_checks, sender.overdue_checks, sender.lost_checks)
    return [sender.sender, sender.spent, sender.limit, *checks, oldest]
