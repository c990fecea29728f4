"""The ledger: a row for each try, taken over, locked, counted up and closed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import and_, case, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.windows import Window, format_time
from airflow_provider_wacontacts.store.context import StoreContext
from airflow_provider_wacontacts.store.coverage import Pulled, gap_before, is_lossy, lateness_s
from airflow_provider_wacontacts.store.results import ExtractionResult
from airflow_provider_wacontacts.store.tables import Tables, UtcDateTime

__all__ = [
    "Counts",
    "ExtractionKey",
    "StartedExtraction",
    "analyze",
    "begin",
    "count",
    "finish",
    "has_landed",
    "lock_running",
    "pin_number_id",
]

#: Versions are numbered by the try that brought them, and within it: so many bits are left for that.
VERSION_BITS = 32
#: So many new versions are worth new statistics.
ANALYZE_AFTER_ROWS = 10_000


class ExtractionKey(NamedTuple):
    """What a try is for, and whose it is: a retry is one whose claim is the same."""

    source: str
    account: str
    window: Window | None
    task: TaskInstanceKey
    options_digest: str


class StartedExtraction(NamedTuple):
    """A try that was begun; see :class:`~airflow_provider_wacontacts.store.Extraction`."""

    extraction_id: str
    account_id: int
    resume_from: datetime | None
    resumes: int
    source: str
    account: str


class Counts(NamedTuple):
    """What a batch adds to its try; ``size`` is in bytes."""

    rows: int
    new_versions: int
    rejected: int
    pages: int
    size: int


def begin(
    connection: Connection, context: StoreContext, claim: ExtractionKey, *, package_version: str, uri: str | None
) -> StartedExtraction:
    """Take over from the unfinished try of the same claim, if there is one, and write down a new one."""
    context.locks.named(connection, "wacontacts begin", *claim.task)
    tables, now = context.tables, context.now()
    account_id = _account(connection, tables, claim)
    before = _abandon(connection, tables, claim, now)
    begun = StartedExtraction(
        extraction_id=uuid4().hex,
        account_id=account_id,
        resume_from=before.position if before else None,
        resumes=before.resumes + 1 if before else 0,
        source=claim.source,
        account=claim.account,
    )
    connection.execute(
        insert(tables.extraction).values(
            extraction_id=begun.extraction_id,
            account_id=account_id,
            started_at=now,
            extracted_at=now,
            state="running",
            resumes=begun.resumes,
            position=begun.resume_from,
            uri=uri,
            package_version=package_version,
            **_columns(claim),
            **dict.fromkeys(("pages", "rows", "new_versions", "rejected", "bytes"), 0),
        )
    )
    return begun


def lock_running(connection: Connection, tables: Tables, extraction_id: str, counted: int) -> int:
    """
    Lock a try until the transaction ends.

    :param counted: the rows and rejects that were committed for it so far.
    :returns: the first number that its next version may get.
    :raises LandingError: it is not running any more, so nothing may be written for it; or the database went back to an
        earlier state, as when a replica that lags takes over.
    """
    ledger = tables.extraction.c
    held = connection.execute(
        select(ledger.extraction_number, ledger.rows, ledger.rejected)
        .where(ledger.extraction_id == extraction_id, ledger.state == "running")
        .with_for_update()
    ).first()
    if held is None:
        raise LandingError("another try has taken over this extraction, or it is finished; nothing more is kept for it")
    if held.rows + held.rejected != counted:
        raise LandingError("the store has lost contacts that were committed to it; a retry pulls them again")
    return int((held.extraction_number << VERSION_BITS) + counted)


def count(
    connection: Connection,
    tables: Tables,
    extraction_id: str,
    counts: Counts,
    *,
    position: datetime | None,
    extracted_at: datetime,
) -> None:
    """Add a batch to its try, which is held."""
    ledger = tables.extraction.c
    connection.execute(
        update(tables.extraction)
        .where(ledger.extraction_id == extraction_id)
        .values(
            rows=ledger.rows + counts.rows,
            new_versions=ledger.new_versions + counts.new_versions,
            rejected=ledger.rejected + counts.rejected,
            pages=ledger.pages + counts.pages,
            bytes=ledger.bytes + counts.size,
            position=position,
            extracted_at=extracted_at,
        )
    )


def pin_number_id(connection: Connection, tables: Tables, account_id: int, number_ids: set[str]) -> None:
    """
    Hold an account to the one number whose contacts it has.

    :raises ConfigError: there is another.
    """
    account = tables.account.c
    own = account.account_id == account_id
    known = connection.execute(select(account.number_id).where(own)).scalar()
    if known is None and len(number_ids) == 1:
        free = update(tables.account).where(own, account.number_id.is_(None))
        connection.execute(free.values(number_id=min(number_ids)))
        known = connection.execute(select(account.number_id).where(own)).scalar()
    if number_ids - {known}:
        raise ConfigError(
            "these contacts belong to another number than the account's earlier ones: somebody swapped the token in "
            "the connection's password; give the other number an account of its own (connection extra account)"
        )


def finish(connection: Connection, context: StoreContext, extraction_id: str, state: str) -> ExtractionResult:
    """Close a try, which is held, and tell what it brought and what was missed."""
    tables, ledger = context.tables, context.tables.extraction
    own = connection.execute(select(ledger).where(ledger.c.extraction_id == extraction_id)).one()
    facts: dict[str, Any] = {"lateness_s": None, "lossy": None, "gap_before": None}
    if own.window_start is not None:
        window = Window(own.window_start, own.window_end)
        pulled = _pulled_in(connection, tables, own.account_id, window)
        if state == "complete":
            pulled.append(Pulled(window.start, window.end, own.extracted_at))
        facts["lateness_s"] = lateness_s(window, own.extracted_at)
        facts["lossy"] = is_lossy(window, pulled, context.late_after)
        facts["gap_before"] = gap_before(window, _reached(connection, tables, own.account_id, window))
    facts.update(state=state, finished_at=context.now())
    connection.execute(
        update(ledger)
        .where(ledger.c.extraction_id == extraction_id)
        .values({**facts, "gap_before": _interval(facts["gap_before"])})
    )
    kept = {name: getattr(own, name) for name in ExtractionResult._fields}
    return ExtractionResult(**{**kept, **facts})


def analyze(context: StoreContext, result: ExtractionResult) -> None:
    """Gather statistics after an extraction that brought many versions."""
    if result.new_versions >= ANALYZE_AFTER_ROWS:
        context.analyze("head", "sighting", "body")


def has_landed(connection: Connection, tables: Tables, source: str, account: str, uri: str) -> bool:
    """Tell whether some try has landed what is at an address, or has found it too old to."""
    ledger = tables.extraction.c
    found = connection.execute(
        select(ledger.extraction_number)
        .where(ledger.source == source, ledger.account == account, ledger.uri == uri)
        .where(ledger.state.in_(("complete", "incomplete", "refused")))
        .limit(1)
    )
    return found.first() is not None


def _account(connection: Connection, tables: Tables, claim: ExtractionKey) -> int:
    account = tables.account.c
    own = select(account.account_id).where(account.source == claim.source, account.account == claim.account)
    found = connection.execute(own).scalar()
    if found is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        new = dialect.insert(tables.account).values(source=claim.source, account=claim.account)
        connection.execute(new.on_conflict_do_nothing())
        found = connection.execute(own).scalar()
    return int(found)  # type: ignore[arg-type]


def _abandon(connection: Connection, tables: Tables, claim: ExtractionKey, now: datetime) -> Any:
    """Mark the unfinished tries of a claim; return the newest of them, as it is after its last commit."""
    ledger = tables.extraction
    same = [ledger.c.state == "running", *(ledger.c[name] == value for name, value in _columns(claim).items())]
    newest = connection.execute(
        select(ledger.c.position, ledger.c.resumes)
        .where(and_(*same))
        .order_by(ledger.c.extraction_number.desc())
        .limit(1)
        .with_for_update()
    ).first()
    connection.execute(update(ledger).where(and_(*same)).values(state="abandoned", finished_at=now))
    return newest


def _columns(claim: ExtractionKey) -> dict[str, Any]:
    window = claim.window
    return {
        "source": claim.source,
        "account": claim.account,
        "window_start": window.start if window else None,
        "window_end": window.end if window else None,
        "options_digest": claim.options_digest,
        **claim.task._asdict(),
    }


def _pulled_in(connection: Connection, tables: Tables, account_id: int, window: Window) -> list[Pulled]:
    """Return the complete windows that share time with this one."""
    ledger = tables.extraction.c
    found = connection.execute(
        select(ledger.window_start, ledger.window_end, ledger.extracted_at).where(
            ledger.account_id == account_id,
            ledger.state == "complete",
            ledger.window_end > window.start,
            ledger.window_start < window.end,
        )
    )
    return [Pulled(*one) for one in found]


def _reached(connection: Connection, tables: Tables, account_id: int, window: Window) -> datetime | None:
    """Return how far the complete windows that start before this one reach, the latest of them."""
    ledger = tables.extraction.c
    reach = case((ledger.extracted_at < ledger.window_end, ledger.extracted_at), else_=ledger.window_end)
    found: datetime | None = connection.execute(
        select(func.max(reach, type_=UtcDateTime)).where(
            ledger.account_id == account_id, ledger.state == "complete", ledger.window_start < window.start
        )
    ).scalar()
    return found


def _interval(stretch: tuple[datetime, datetime] | None) -> str | None:
    return "/".join(map(format_time, stretch)) if stretch else None
