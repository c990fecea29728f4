"""The inputs and the results of a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey

__all__ = [
    "BEGINNING_OF_TIME",
    "CACHED_FOR",
    "FINAL",
    "MAX_OMISSIONS",
    "MISSING",
    "NO_OPT_IN",
    "OPTED_OUT",
    "PAST_BUDGET",
    "REUSABLE",
    "UNCHECKED",
    "CheckInput",
    "CheckResults",
    "CheckSpec",
    "CheckTotals",
    "LeasedNumbers",
    "NumberResult",
    "SenderBudget",
]

#: Before all times.
BEGINNING_OF_TIME = datetime.min.replace(tzinfo=UTC)
#: How long a WhatsApp Business client returns cached results, unless ``force_check`` is set.
CACHED_FOR = timedelta(days=7)
#: Statuses that a later check may reuse.
REUSABLE = ("valid", "invalid")
#: Statuses that do not change without another request.
FINAL = (*REUSABLE, "failed")
#: Status of a number that was in a request, but not in its response.
MISSING = "missing"
#: After this many responses without a number, ``missing`` is its final status in a waiting check.
MAX_OMISSIONS = 4
#: Statuses of inputs that are not sent.
UNCHECKED = ("rejected", "not_asked")
#: Reason of an input that is not sent because its contact has not opted in.
OPTED_OUT = "opted out"
#: Reason of an input that is not sent because it is unknown whether its contact has opted in.
NO_OPT_IN = "no opt-in"
#: Reason of a number that is not sent because the budget was spent.
PAST_BUDGET = "past the budget"


class SenderBudget(NamedTuple):
    """
    A sender and its check budget.

    :param sender: name that its numbers are stored under.
    :param daily_checks: maximum checks in a UTC day, 1 and up.
    :param monthly_checks: maximum checks in a UTC month, 1 and up; ``None`` for no limit.
    """

    sender: str
    daily_checks: int
    monthly_checks: int | None = None


class CheckSpec(NamedTuple):
    """
    The task of a check, and its options. A retried task has the same task and options.

    :param options_digest: a short string that differs if the inputs or the options differ.
    :param fresh_after: results that were checked after this time are fresh, and are reused.
    :param force_check: whether requests bypass the client's cache; no stored result is reused then.
    :param max_checks: maximum checks of this check in a day; ``None`` for the whole budget.
    """

    task: TaskInstanceKey
    options_digest: str
    package_version: str
    fresh_after: datetime
    force_check: bool = False
    max_checks: int | None = None


class CheckInput(NamedTuple):
    """
    One number as the caller gave it.

    :param input: the number in the caller's spelling.
    :param number: E.164; ``None`` for an input that is not a number.
    :param contact_key: the caller's own key.
    :param reason: why the input is not a number, or why the number must not be sent, in a few words.
    :param opted_in: ``False`` if the number must not be sent; ``None`` if unknown.
    """

    input: str
    number: str | None
    contact_key: str | None = None
    reason: str | None = None
    opted_in: bool | None = None


class LeasedNumbers(NamedTuple):
    """
    Numbers that one worker may send now.

    :param numbers: E.164, in the order of the check; may be empty.
    :param over_budget: whether the budget did not suffice for the others.
    :param leased_elsewhere: count of numbers that other workers have leased.
    :param leased_at: time of the lease, by the database's clock.
    :param charged: count of numbers that were charged to the budget.
    """

    numbers: Sequence[str]
    over_budget: bool = False
    leased_elsewhere: int = 0
    leased_at: datetime = BEGINNING_OF_TIME
    charged: int = 0


class NumberResult(NamedTuple):
    """
    The result for a number in a response or a callback.

    :param wa_id: digits; ``None`` if there is none, like ``lid`` and ``user_id``.
    """

    status: str
    wa_id: str | None = None
    lid: str | None = None
    user_id: str | None = None


class CheckResults(NamedTuple):
    """
    The results in one response, or in one callback.

    :param results: by number, in E.164.
    :param asked_at: when the numbers of the request were leased, by the database's clock.
    :param answered_at: when the response was sent, by the server's clock if it states a credible time.
    :param client_version: for example ``v2.45.1``; ``None`` if the response has none.
    :param forced: whether the results bypassed the cache: the request had ``force_check``, or the response says so.
    :param arrives_now: whether they are a callback that arrives now. The database's clock then replaces its times: the
        clocks of machines differ.
    """

    results: Mapping[str, NumberResult]
    asked_at: datetime
    answered_at: datetime
    client_version: str | None = None
    forced: bool = False
    arrives_now: bool = False

    def at(self, moment: datetime) -> CheckResults:
        """Return the same results at another time."""
        return self._replace(asked_at=moment, answered_at=moment)

    def without_ids(self) -> CheckResults:
        """Return the statuses alone."""
        statuses = {number: NumberResult(status) for number, (status, *_) in self.results.items()}
        return self._replace(results=statuses)


class CheckTotals(NamedTuple):
    """
    State and counts of a check. A number counts once, even if it was given several times.

    ``given`` is ``rejected + duplicates + asked + from_store + not_asked + queued``, and ``asked + from_store`` is
    ``valid + invalid + processing + failed + missing``.

    :param state: ``open``, ``resolved``, ``expired`` or ``failed``.
    :param given: inputs.
    :param duplicates: inputs that repeat an earlier number.
    :param not_asked: numbers that were left out: opted out, or over the budget.
    :param from_store: numbers with a reused result.
    :param processing: numbers without a final result.
    :param missing: numbers that are missing from responses.
    :param queued: numbers that no worker has leased for this check yet.
    :param waiting: numbers that are requested again.
    """

    state: str
    given: int = 0
    duplicates: int = 0
    asked: int = 0
    not_asked: int = 0
    from_store: int = 0
    valid: int = 0
    invalid: int = 0
    processing: int = 0
    failed: int = 0
    rejected: int = 0
    missing: int = 0
    queued: int = 0
    waiting: int = 0
