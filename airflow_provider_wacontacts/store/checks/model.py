"""What goes into a check of numbers, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey

__all__ = ["CACHED_FOR", "FINAL", "MISSING", "CheckInput", "CheckResults", "CheckSpec", "CheckTotals", "LeasedNumbers"]

#: For so long a client answers from its cache, unless it is forced to look.
CACHED_FOR = timedelta(days=7)
#: Statuses that do not change by themselves.
FINAL = ("valid", "invalid", "failed")
#: The status of a number that was asked about, and that the answer said nothing about.
MISSING = "missing"


class CheckSpec(NamedTuple):
    """
    What a check is for, and how. A retry is one whose task and options are the same.

    :param options_digest: a short text that differs where other numbers are meant, or other answers.
    :param fresh_after: an answer that was real after this moment need not be had again.
    :param force_check: whether answers come past the client's cache; none from the store will do then.
    :param max_checks: how many of a day's checks this one may draw; ``None`` for as many as there are.
    """

    task: TaskInstanceKey
    options_digest: str
    package_version: str
    fresh_after: datetime
    force_check: bool = False
    max_checks: int | None = None


class CheckInput(NamedTuple):
    """
    One number as it was given.

    :param input: in the caller's spelling.
    :param number: E.164; ``None`` where it can be none.
    :param contact_key: the caller's own key.
    :param reason: why it can be none, in a few words.
    :param opted_in: ``False`` where nobody may ask about it; ``None`` where that is not known.
    """

    input: str
    number: str | None
    contact_key: str | None = None
    reason: str | None = None
    opted_in: bool | None = None


class LeasedNumbers(NamedTuple):
    """
    What a worker may ask about now, alone among all workers.

    :param numbers: E.164, in the order of the check; may be empty.
    :param is_short: the budget did not suffice for the others.
    :param busy: how many somebody else is asking about now.
    """

    numbers: Sequence[str]
    over_budget: bool = False
    leased_elsewhere: int = 0


class CheckResults(NamedTuple):
    """
    What an answer says.

    :param results: status and WhatsApp id by number.
    :param asked_at: when the request was sent, by the worker's clock.
    :param answered_at: when the answer was given, by the server's clock where it tells it.
    :param client_version: such as ``v2.45.1``; ``None`` where it does not say.
    :param forced: the request had ``force_check``.
    """

    results: Mapping[str, tuple[str, str | None]]
    asked_at: datetime
    answered_at: datetime
    client_version: str | None = None
    forced: bool = False


class CheckTotals(NamedTuple):
    """
    How a check stands. Numbers count once, however often they were given.

    ``given`` is ``rejected + duplicates + asked + from_store + not_asked + queued``, and ``asked + from_store`` is
    ``valid + invalid + processing + failed + missing``.

    :param state: ``open``, ``resolved`` or ``expired``.
    :param given: inputs.
    :param duplicates: inputs whose number had been given before.
    :param not_asked: numbers that were left out: opted out, or past the budget.
    :param from_store: numbers whose answer the store had.
    :param processing: numbers whose answer is not final.
    :param missing: numbers that the answer said nothing about.
    :param queued: numbers that have their turn still to come.
    :param waiting: numbers that are to be asked about again.
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
