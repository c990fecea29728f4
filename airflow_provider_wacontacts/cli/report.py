"""A store's status as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.cli.durations import moment, told
from airflow_provider_wacontacts.cli.tables import table

if TYPE_CHECKING:
    from airflow_provider_wacontacts.pipelines.store_status import StoreStatus
    from airflow_provider_wacontacts.records.windows import Window
    from airflow_provider_wacontacts.store.status.model import Feed, Rejected, Sender

__all__ = ["report"]

#: So many stretches of an account are shown, the newest.
MOST = 10


def report(status: StoreStatus, place: str) -> str:
    """
    Tell a status in tables; what there is nothing of is left out.

    :param place: what the store is called.
    """
    title = f"{place}: tables of version {status.schema_version}, as of {moment(status.as_of)} UTC"
    tables = [*_of_feeds(status), *_of_senders(status.senders)]
    return "\n\n".join(
        [title, *filter(None, tables)]
        if any(tables)
        else [title, "Nothing was pulled or checked yet, or nothing of what was asked for."]
    )


def _of_feeds(status: StoreStatus) -> Iterator[str]:
    feeds = status.feeds
    yield _accounts(status)
    yield _history(feeds)
    span = ("ACCOUNT", "FROM", "TO", "LENGTH")
    yield table("Gaps: nothing covers them", span, _stretches((feed.account, feed.gaps) for feed in feeds))
    yield table("Lossy: never pulled in time", span, _stretches((feed.account, feed.lossy) for feed in feeds))
    yield _unfinished(feeds)
    yield _rejects((f"{feed.source} {feed.account}", feed.rejects) for feed in feeds)


def _accounts(status: StoreStatus) -> str:
    counted = [name for name in ("present", "gone") if any(feed.contacts for feed in status.feeds)]
    columns = ("SOURCE", "ACCOUNT", "UP TO", "AGE", "PULLS", "REJECTED", *(name.upper() for name in counted))

    def row(feed: Feed) -> list[object]:
        age, newest = status.age_of(feed), feed.newest
        reach = [moment(newest.reached_at), told(age)] if newest and age is not None else ["never", None]
        pulls, rejected = feed.extractions.get("complete", 0), sum(one.rejects for one in feed.rejects)
        return [feed.source, feed.account, *reach, pulls, rejected, *((feed.contacts or {}).get(n) for n in counted)]

    return table("Accounts", columns, [row(feed) for feed in status.feeds])


def _history(feeds: Sequence[Feed]) -> str:
    rows = [
        [feed.account, moment(feed.covered_from), moment(feed.baseline_until), _sum(feed.gaps), _sum(feed.lossy)]
        for feed in feeds
        if feed.covered_from and feed.baseline_until
    ]
    return table("Windows", ("ACCOUNT", "FROM", "BASELINE UNTIL", "GAPS", "LOSSY"), rows)


def _sum(stretches: Sequence[Window]) -> str | None:
    lengths = [one.end - one.start for one in stretches]
    return f"{len(lengths):,}, {told(sum(lengths, timedelta()))}" if lengths else None


def _stretches(given: Iterable[tuple[str, Sequence[Window]]]) -> list[list[object]]:
    return [row for account, stretches in given for row in _newest(account, stretches)]


def _newest(account: str, stretches: Sequence[Window]) -> Iterator[list[object]]:
    earlier = len(stretches) - MOST
    if earlier > 0:
        yield [account, f"{earlier:,} earlier ones", "--json has all", None]
    for one in stretches[-MOST:]:
        yield [account, moment(one.start), moment(one.end), told(one.end - one.start)]


def _unfinished(feeds: Sequence[Feed]) -> str:
    rows = [
        [feed.account, one.state, one.reason, one.tries, moment(one.first_at), moment(one.last_at)]
        for feed in feeds
        for one in feed.unfinished
    ]
    return table(
        "Tries that run, and others begun since the last complete one",
        ("ACCOUNT", "STATE", "REASON", "TRIES", "FIRST BEGUN", "LAST BEGUN"),
        rows,
    )


def _rejects(given: Iterable[tuple[str, Sequence[Rejected]]]) -> str:
    rows: list[list[object]] = [
        [owner, one.rejects, moment(one.last_at), one.reason] for owner, rejects in given for one in rejects
    ]
    return table("Rejected", ("ACCOUNT", "REJECTS", "LAST", "REASON"), rows)


def _of_senders(senders: Sequence[Sender]) -> Iterator[str]:
    yield table(
        "Senders",
        ("SENDER", "SPENT TODAY", "LIMIT", "OPEN CHECKS", "OVERDUE", "OLDEST OPEN"),
        [_row(sender) for sender in senders],
    )
    yield table(
        "Numbers",
        ("SENDER", "STATUS", "NUMBERS"),
        [[sender.sender, status, numbers] for sender in senders for status, numbers in sender.numbers.items()],
    )
    yield table(
        "Users who have potentially changed, and are not acknowledged",
        ("SENDER", "USERS"),
        [[sender.sender, sender.pending_identities] for sender in senders if sender.pending_identities],
    )
    yield _rejects((f"whatsapp_business {sender.sender}", sender.rejects) for sender in senders)


def _row(sender: Sender) -> list[Any]:
    oldest = moment(sender.oldest_open_at) if sender.oldest_open_at else None
    return [sender.sender, sender.spent, sender.limit, sender.open_checks, sender.overdue_checks, oldest]
