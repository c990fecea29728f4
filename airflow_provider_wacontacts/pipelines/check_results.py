"""What an answer of the contacts node says, as the store keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from airflow_provider_wacontacts.clients.whatsapp_business import CheckAnswer, ContactResult
from airflow_provider_wacontacts.store.checks.model import MISSING, CheckResults

__all__ = ["answers_of", "status_of"]

#: Words of the store's own that no server's word may pass for.
OWN_WORDS = frozenset({MISSING, "rejected", "not_asked"})
UNKNOWN = "unknown"
#: An answer that says it is from so long after its question is of a clock that is wrong: kept as it is, every answer
#: until then would be older. So is one from years before, which would be stale as it comes.
LONGEST = timedelta(hours=1)
FARTHEST_BACK = timedelta(days=365)


def answers_of(answer: CheckAnswer, asked: Sequence[str], *, asked_at: datetime, forced: bool = False) -> CheckResults:
    """
    Return what is kept of an answer: a result for each number that was asked about.

    One that the answer has nothing about is ``missing``, unless the answer refuses it.

    :param asked: E.164, as sent.
    :param asked_at: when, by the worker's clock; it stands for the server's where that tells no time, or one that is
        far from it.
    """
    expected = asked if answer.error is None else ()
    results: dict[str, tuple[str, str | None]] = dict.fromkeys(expected, (MISSING, None))
    results |= {number: (status_of(said), said.wa_id) for number, said in answer.results.items()}
    told = answer.date
    answered_at = told if told and -FARTHEST_BACK <= told - asked_at <= LONGEST else asked_at
    return CheckResults(results, asked_at, answered_at, answer.client_version, forced)


def status_of(said: ContactResult) -> str:
    """Return the status as it is kept: the server's word."""
    return UNKNOWN if said.status in OWN_WORDS else said.status
