"""Whether a snapshot holds everybody. Pure: it is handed the sizes of those before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from airflow_provider_wacontacts.records.arguments import validate_bool, validate_int, validate_ratio

__all__ = [
    "EMPTY",
    "OLDER",
    "SHRUNKEN",
    "TRUNCATED",
    "UNIDENTIFIED",
    "UNSYNCHRONISED",
    "Answer",
    "Earlier",
    "ShrinkGuard",
    "incomplete_reason",
]

#: Why a snapshot is not complete, in the ledger's words.
EMPTY = "empty"
TRUNCATED = "cut"
UNSYNCHRONISED = "unsynchronised"
UNIDENTIFIED = "nameless"
SHRUNKEN = "shrunken"
#: Why one is refused.
OLDER = "older"
#: What is believed when it stays like that, or when it is accepted.
DOUBTFUL = (UNIDENTIFIED, SHRUNKEN)


@dataclass(frozen=True, slots=True)
class ShrinkGuard:
    """
    When a snapshot is believed that has fewer contacts than before, or rejects whose id cannot be read.

    :param share: 0 to 1: how large it has to be, measured by the last complete one.
    :param confirmations: 1 and up: it is believed when it is the so manieth like-sized one of its kind in a row. Two
        are like-sized where neither is below ``share`` of the other.
    :param accepted: believe it as it is. An empty one is never believed.
    :raises ConfigError: a number that cannot be.
    """

    share: float = 0.8
    confirmations: int = 3
    accepted: bool = False

    def __post_init__(self) -> None:
        validate_ratio("shrink_guard", self.share)
        validate_int("shrink_confirmations", self.confirmations, 1)
        validate_bool("accept_shrink", self.accepted)


class Answer(NamedTuple):
    """
    What is known of a snapshot.

    :param size: contacts in it, each once, of the type that was asked for.
    :param is_cut: only so many contacts were asked for, and so many came.
    :param is_synchronised: whether the system has loaded everybody; ``None`` where it does not say.
    :param has_nameless: there are rejects whose id cannot be read: whoever is missing may be one of them.
    """

    size: int
    is_cut: bool = False
    is_synchronised: bool | None = None
    has_unidentified: bool = False


class Earlier(NamedTuple):
    """
    What is known of the snapshots that landed before.

    :param last_complete: size of the last complete one; ``None`` where there is none.
    :param others: size of those of the same kind, the newest first, each with what it lacked to be complete.
    """

    last_complete: int | None
    others: Sequence[tuple[int, str | None]] = ()


def incomplete_reason(answer: Answer, earlier: Earlier, guard: ShrinkGuard) -> str | None:
    """
    Tell what a snapshot lacks to be complete, in a word; ``None`` where it is.

    The first that applies: nobody may be gone on the strength of it, whatever else it lacks.
    """
    if answer.size == 0:
        return EMPTY
    if answer.is_cut:
        return TRUNCATED
    if answer.is_synchronised is False:
        return UNSYNCHRONISED
    is_large_enough = _is_large_enough(answer.size, earlier.last_complete, guard.share)
    if guard.accepted or (is_large_enough and not answer.has_unidentified):
        return None
    if 1 + _confirmations(answer.size, earlier.others, guard) >= guard.confirmations:
        return None
    return UNIDENTIFIED if is_large_enough else SHRUNKEN


def _is_large_enough(size: int, measure: int | None, share: float) -> bool:
    return not measure or size / measure >= share


def _confirmations(size: int, others: Iterable[tuple[int, str | None]], guard: ShrinkGuard) -> int:
    def confirms(other: tuple[int, str | None]) -> bool:
        smaller, larger = sorted((size, other[0]))
        return other[1] in DOUBTFUL and _is_large_enough(smaller, larger, guard.share)

    return sum(1 for _ in takewhile(confirms, others))
