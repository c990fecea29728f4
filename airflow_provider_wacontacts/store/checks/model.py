"""What goes into a check of numbers, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey

__all__ = [
    "CACHED_FOR",
    "FINAL",
    "MAX_OMISSIONS",
    "MISSING",
    "NEVER",
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
NEVER = datetime.min.replace(tzinfo=UTC)
#: How long a WhatsApp Business client returns cached results, unless ``force_check`` is set.
CACHED_FOR = timedelta(days=7)
#: Statuses that a later check may reuse.
REUSABLE = ("valid", "invalid")
#: Statuses that do not change without another request.
FINAL = (*REUSABLE, "failed")
#: The status of a number that was in a request, and not in its response.
MISSING = "missing"
#: A number that this many responses left out while a check waited is ``missing`` finally in that check.
MAX_OMISSIONS = 4
#: Statuses of inputs that no request is made for.
UNCHECKED = ("rejected", "not_asked")
#: The reason of an input that is not sent because its contact has not opted in.
OPTED_OUT = "opted out"
#: The reason of an input that is not sent because nothing says that its contact has opted in.
NO_OPT_IN = "no opt-in"
#: The reason of a number that is not sent because the budget was spent.
PAST_BUDGET = "past the budget"


class SenderBudget(NamedTuple):
    """
    A sender, and how many numbers it may check.

    :param sender: what its numbers are stored under.
    :param daily_checks: in a UTC day, 1 and up.
    :param monthly_checks: in a month of UTC, 1 and up; ``None`` for any number.
    """

    sender: str
    daily_checks: int
    monthly_checks: int | None = None


class CheckSpec(NamedTuple):
    """
    What a check is for, and its options. A task that is retried has the same task and options.

    :param options_digest: a short text that differs where the inputs or the options do.
    :param fresh_after: results whose check was later are fresh, and are reused.
    :param force_check: whether requests bypass the client's cache; no stored result is reused then.
    :param max_checks: how many of a day's checks this one may spend; ``None`` for all.
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

    :param input: in the caller's spelling.
    :param number: E.164; ``None`` for an input that is not a number.
    :param contact_key: the caller's own key.
    :param reason: why the input is not a number, or why the number must not be sent, in a few words.
    :param opted_in: ``False`` if the number must not be sent; ``None`` where that is unknown.
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
    :param over_budget: the budget did not suffice for the others.
    :param leased_elsewhere: how many other workers hold a lease on.
    :param leased_at: when, by the database's clock.
    :param charged: how many of them the budget was charged for.
    """

    numbers: Sequence[str]
    over_budget: bool = False
    leased_elsewhere: int = 0
    leased_at: datetime = NEVER
    charged: int = 0


class NumberResult(NamedTuple):
    """
    What a response or a callback says about a number.

    :param wa_id: digits; ``None`` if it gives none, like ``lid`` and ``user_id``.
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
    :param answered_at: when the response was sent, by the server's clock where it states a credible time.
    :param client_version: for example ``v2.45.1``; ``None`` where the response has none.
    :param forced: the results are not from a cache: the request had ``force_check``, or the response says so.
    """

    results: Mapping[str, NumberResult]
    asked_at: datetime
    answered_at: datetime
    client_version: str | None = None
    forced: bool = False


class CheckTotals(NamedTuple):
    """
    State and counts of a check. A number counts once, however often it was given.

    ``given`` is ``rejected + duplicates + asked + from_store + not_asked + queued``, and ``asked + from_store`` is
    ``valid + invalid + processing + failed + missing``.

    :param state: ``open``, ``resolved`` or ``expired``.
    :param given: inputs.
    :param duplicates: inputs whose number had been given before.
    :param not_asked: numbers that were left out: opted out, or past the budget.
    :param from_store: numbers whose result was reused.
    :param processing: numbers without a final result.
    :param missing: numbers that responses left out.
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
