"""A model of a sender's numbers and checks in plain Python, without a database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

WEEK = timedelta(days=7)
CLAIM = timedelta(minutes=12)
SILENT = timedelta(minutes=15)
FINAL = ("valid", "invalid", "failed")
MAX_OMISSIONS = 4
BEGINNING_OF_TIME = datetime.min.replace(tzinfo=UTC)


@dataclass
class Known:
    """What is known of a number."""

    status: str | None = None
    wa_id: str | None = None
    checked_at: datetime | None = None
    answered_at: datetime | None = None
    client_version: str | None = None
    asked_at: datetime = BEGINNING_OF_TIME
    forced_at: datetime = BEGINNING_OF_TIME
    identified_at: datetime = BEGINNING_OF_TIME
    leased_by: int | None = None
    leased_until: datetime = BEGINNING_OF_TIME

    @property
    def is_final(self):
        return self.status in FINAL

    def identify(self, status, wa_id, said):
        """Take over the id that was returned last, or that there is none."""
        newest = said.answered_at, wa_id or ""
        if (wa_id or status == "invalid") and newest > (self.identified_at, self.wa_id or ""):
            self.identified_at, self.wa_id = said.answered_at, wa_id

    def keep(self, status, said, *, is_answer):
        """Take over what an answer says."""
        is_real = (
            said.forced
            or self.checked_at is None
            or said.answered_at - self.checked_at >= WEEK
            or self.status not in (*FINAL, "missing")
            or (self.status == "failed" and status != "failed")
        )
        if status in FINAL and is_real:
            self.checked_at = said.answered_at
        self.status, self.answered_at = status, max(said.answered_at, self.answered_at or BEGINNING_OF_TIME)
        if is_answer or said.client_version:
            self.client_version = said.client_version


@dataclass
class Row:
    """An input of a check, and what came of it."""

    number: str | None
    status: str | None = None
    reason: str | None = None
    duplicate: bool = False
    wa_id: str | None = None
    checked_at: datetime | None = None
    from_store: bool = False
    waiting: bool = False
    failures: int = 0
    omissions: int = 0

    def tell(self, known, *, is_news, from_store, recheck_failed):
        """Take over what is known of the number, where that is anything new."""
        if is_news or self.status != known.status:
            self.status, self.wa_id, self.checked_at = known.status, known.wa_id, known.checked_at
            self.reason, self.from_store = None, from_store
            self.failures += known.status == "failed"
            self.omissions += known.status == "missing"
            self.waiting = self.is_rechecked(recheck_failed)

    def is_rechecked(self, recheck_failed):
        """Whether the number is requested again."""
        if self.status == "missing":
            return self.omissions < MAX_OMISSIONS
        return self.status not in FINAL or (self.status == "failed" and self.failures <= recheck_failed)


@dataclass
class Sheet:
    """A check."""

    options: tuple
    created_at: datetime
    opened_at: datetime
    fresh_after: datetime
    force: bool
    max_checks: int | None
    state: str = "open"
    filled: bool = False
    finished_at: datetime | None = None
    deadline: datetime | None = None
    recheck_failed: int = 0
    rows: list[Row] = field(default_factory=list)
    drawn: Counter = field(default_factory=Counter)

    @property
    def finished(self):
        return self.finished_at is not None

    def abandon(self, now):
        """End a check that no task works on, or whose results no task waits for any more."""
        if self.state != "open" or (self.deadline or self.opened_at) >= now - SILENT:
            return
        if not self.finished:
            self.state = "failed"
        elif self.deadline or self.finished_at < now - WEEK:
            self.state = "expired"

    def settle(self):
        if self.state == "open" and self.finished and not any(row.waiting for row in self.rows):
            self.state = "resolved"

    def totals(self):
        """Count numbers once each, leaving out what there is none of."""
        firsts = [row for row in self.rows if not row.duplicate]
        answered = [row for row in firsts if row.status not in (None, "rejected", "not_asked")]
        counts = Counter(row.status if row.status in (*FINAL, "missing") else "processing" for row in answered)
        found = dict(counts) | {
            "given": len(self.rows),
            "rejected": sum(row.status == "rejected" for row in self.rows),
            "duplicates": sum(row.duplicate for row in self.rows),
            "not_asked": sum(row.status == "not_asked" for row in firsts),
            "queued": sum(row.status is None for row in firsts),
            "asked": sum(not row.from_store for row in answered),
            "from_store": sum(row.from_store for row in answered),
            "waiting": sum(row.waiting for row in firsts),
            "state": self.state,
        }
        return {name: value for name, value in found.items() if value}


class Model:
    """A sender's numbers and checks. Checks are known by their place among all."""

    def __init__(self, clock, daily_checks):
        self.clock = clock
        self.daily_checks = daily_checks
        self.numbers: dict[str, Known] = {}
        self.checks: list[Sheet] = []
        self.spent: Counter = Counter()

    def open(self, options, *, fresh_after, force, max_checks):
        unfinished = [
            n
            for n, one in enumerate(self.checks)
            if one.options == options and one.state in ("open", "failed") and not one.finished
        ]
        for one in self.checks:
            one.abandon(self.clock())
        latest = self.checks[unfinished[-1]] if unfinished else None
        if latest and latest.filled and latest.opened_at > min(fresh_after, self.clock() - WEEK):
            self._free(unfinished[-1])
            latest.opened_at, latest.fresh_after = self.clock(), max(latest.fresh_after, fresh_after)
            latest.state = "open"
            return unfinished[-1]
        for n in unfinished:
            self.checks[n].state = "expired"
        self.checks.append(Sheet(options, self.clock(), self.clock(), fresh_after, force, max_checks))
        return len(self.checks) - 1

    def fill(self, n, inputs):
        check = self.checks[n]
        seen: set[str] = set()
        out = {number for number, opted_in in inputs if opted_in is False and number}
        for number, _ in inputs:
            if number is None:
                check.rows.append(Row(None, "rejected", "too short"))
                continue
            known = self.numbers.setdefault(number, Known())
            row = Row(number, duplicate=number in seen)
            seen.add(number)
            check.rows.append(row)
            if number in out:
                row.status, row.reason = "not_asked", "opted out"
            elif not check.force and self._is_fresh(known, check.fresh_after):
                row.tell(known, is_news=False, from_store=True, recheck_failed=0)
        check.filled = True

    def queued(self, n):
        return [row.number for row in self.checks[n].rows if row.status is None and not row.duplicate]

    def waiting(self, n):
        return [row.number for row in self.checks[n].rows if row.waiting and not row.duplicate]

    def lease(self, n, numbers):
        check = self.checks[n]

        def is_known(known):
            asked_at = known.forced_at if check.force else known.asked_at
            asked_since = max(check.created_at, self.clock() - WEEK)
            return asked_at >= asked_since or (not check.force and self._is_fresh(known, check.fresh_after))

        return self._claim(n, numbers, is_known, force=check.force, is_new=True)

    def lease_waiting(self, n, numbers):
        return self._claim(n, numbers, lambda known: self._is_fresh(known, BEGINNING_OF_TIME), force=False)

    def record(self, n, said):
        for number, (status, wa_id) in said.results.items():
            known = self.numbers[number]
            age = known.answered_at or BEGINNING_OF_TIME, known.is_final, known.asked_at
            is_news = (said.answered_at, status in FINAL, said.asked_at) > age
            if known.answered_at and status in FINAL and not known.is_final and said.asked_at > known.asked_at:
                is_news = True
            if known.answered_at and status not in FINAL and known.is_final and said.asked_at < known.asked_at:
                is_news = False
            if is_news:
                known.keep(status, said, is_answer=True)
            known.identify(status, wa_id, said)
            known.asked_at = max(known.asked_at, said.asked_at)
            if said.forced:
                known.forced_at = max(known.forced_at, said.asked_at)
            self._give_back(n, number)
            if self.checks[n].state == "open":
                self._tell(n, [row for row in self.checks[n].rows if row.number == number], is_news, from_store=False)
            self._tell_all(number, is_news, but=n)
        self._settle()

    def record_delivered(self, said):
        for number, (status, wa_id) in said.results.items():
            known = self.numbers.setdefault(number, Known())
            is_newer = (said.answered_at, status in FINAL) > (known.answered_at or BEGINNING_OF_TIME, known.is_final)
            is_due = not known.is_final or said.answered_at - (known.checked_at or BEGINNING_OF_TIME) >= WEEK
            if status in FINAL and not known.is_final and known.answered_at:
                asked_at = known.answered_at if known.asked_at == BEGINNING_OF_TIME else known.asked_at
                is_newer = said.answered_at >= min(known.answered_at, asked_at)
            if is_newer and is_due:
                known.keep(status, said, is_answer=False)
            known.identify(status, wa_id, said)
            self._tell_all(number, is_newer and is_due)
        self._settle()

    def release(self, n, numbers):
        for number in numbers:
            self._give_back(n, number)

    def finish(self, n):
        check = self.checks[n]
        for row in check.rows:
            if row.status is None:
                row.status, row.reason = "not_asked", "past the budget"
        check.finished_at = check.finished_at or self.clock()
        check.settle()
        return check.totals()

    def start_waiting(self, n, deadline, recheck_failed):
        check = self.checks[n]
        self._free(n)
        check.deadline = deadline
        check.state, check.recheck_failed = "open", recheck_failed
        for row in check.rows:
            row.waiting |= row.status not in (None, "rejected", "not_asked") and row.is_rechecked(recheck_failed)
        check.settle()
        return check.totals()

    def stop_rechecking(self, n):
        for row in self.checks[n].rows:
            row.waiting &= row.status != "failed"
        self._settle()

    def expire(self, n):
        check = self.checks[n]
        check.settle()
        if check.state == "open":
            check.state = "expired"
        for row in check.rows:
            row.waiting = False
        return check.totals()

    def totals(self, n):
        self.checks[n].settle()
        return self.checks[n].totals()

    def budget_left(self):
        return max(0, self.daily_checks - self.spent[self.clock().date()])

    def _claim(self, n, numbers, is_known, *, force, is_new=False):
        check, now = self.checks[n], self.clock()
        known = [number for number in numbers if is_known(self.numbers[number])]
        others = [number for number in numbers if number not in known]
        free = [number for number in others if self.numbers[number].leased_until <= now]
        for number in known if check.state == "open" else ():
            for row in check.rows:
                if row.number == number:
                    from_store = row.from_store or row.status is None
                    self._tell(n, [row], False, from_store=from_store)
        self._settle()
        taken = self._paid(check, free, force, is_new)
        for number in taken:
            self.numbers[number].leased_by, self.numbers[number].leased_until = n, now + CLAIM
        return taken, len(taken) < len(free), len(others) - len(free)

    def _paid(self, check, free, force, is_new):
        today = self.clock().date()

        def draws(known):
            is_left_out = is_new and known.status == "missing"
            return (
                force or known.is_final or known.status is None or is_left_out or self.clock() - known.asked_at >= WEEK
            )

        dear = [number for number in free if draws(self.numbers[number])]
        own = len(dear) if check.max_checks is None else max(0, check.max_checks - check.drawn[today])
        granted = min(len(dear), own, self.budget_left())
        check.drawn[today] += granted
        self.spent[today] += granted
        return [number for number in free if number not in dear[granted:]]

    def _tell(self, n, rows, is_news, *, from_store):
        for row in rows:
            known, recheck_failed = self.numbers[row.number], self.checks[n].recheck_failed
            row.tell(known, is_news=is_news, from_store=from_store, recheck_failed=recheck_failed)

    def _tell_all(self, number, is_news, but=None):
        for n, check in enumerate(self.checks):
            for row in check.rows if n != but else ():
                if row.waiting and row.number == number:
                    self._tell(n, [row], is_news, from_store=row.from_store)

    def _settle(self):
        for check in self.checks:
            check.settle()

    def _free(self, n):
        for number in self.numbers:
            self._give_back(n, number)

    def _give_back(self, n, number):
        if self.numbers[number].leased_by == n:
            self.numbers[number].leased_by, self.numbers[number].leased_until = None, BEGINNING_OF_TIME

    @staticmethod
    def _is_fresh(known, fresh_after):
        return known.status in ("valid", "invalid") and known.checked_at > fresh_after
