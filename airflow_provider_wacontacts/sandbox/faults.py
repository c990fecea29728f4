"""The line of faults that wait for their request, and the count of what was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from airflow_provider_wacontacts.sandbox.behaviour import Fault, RequestKind, to_json

__all__ = ["Faults", "Requests"]


@dataclass(slots=True)
class _Waiting:
    fault: Fault
    seen: int = 0

    def fits(self, kind: RequestKind) -> bool:
        return self.fault.on in (kind, "any")

    def strike(self) -> bool:
        number = self.seen - self.fault.skip
        self.seen += 1
        return number >= 0 and (number % self.fault.every if self.fault.every else number) < self.fault.times

    @property
    def is_over(self) -> bool:
        return not self.fault.every and self.seen >= self.fault.skip + self.fault.times


class Faults:
    """Faults in the order in which they were added."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []

    def add(self, fault: Fault) -> None:
        """Put a fault at the end of the line, or beside it if it recurs."""
        self._waiting.append(_Waiting(fault))

    def clear(self) -> None:
        """Call all of them off."""
        self._waiting.clear()

    def take(self, kind: RequestKind) -> Fault | None:
        """Tell what goes wrong with a request, and count it."""
        once = next((each for each in self._waiting if not each.fault.every and each.fits(kind)), None)
        struck = [each for each in self._waiting if each.fits(kind) and each.fault.every and each.strike()]
        if once is not None and once.strike():
            struck.insert(0, once)
        self._waiting = [each for each in self._waiting if not each.is_over]
        return struck[0].fault if struck else None

    def to_json(self) -> list[dict[str, Any]]:
        """Tell what waits, in order, and how many fitting requests each has seen."""
        return [{**to_json(each.fault), "seen": each.seen} for each in self._waiting]


class Requests:
    """What was asked and how it ended. Requests to control routes are not counted."""

    def __init__(self) -> None:
        self._outcomes: Counter[tuple[RequestKind, str]] = Counter()
        #: Bodies of the requests for a cursor, as they were read, oldest first.
        self.asked: list[Mapping[str, Any]] = []

    def add(self, kind: RequestKind, outcome: str) -> None:
        """Count a request."""
        self._outcomes[kind, outcome] += 1

    def count(self, kind: RequestKind | None = None, outcome: int | str | None = None) -> int:
        """
        Count the requests that were answered.

        :param kind: ``create``, ``page`` and ``schemas`` are Turn's, ``login``, ``check``, ``identity`` and
            ``acknowledge`` WhatsApp's, ``contacts``, ``state`` and ``wa_settings`` GREEN-API's; ``other``; None for
            all.
        :param outcome: a status, ``drop`` or ``cut``; None for all.
        """
        return sum(
            number
            for (its_kind, its_outcome), number in self._outcomes.items()
            if kind in (None, its_kind) and outcome in (None, its_outcome, _number(its_outcome))
        )

    def clear(self) -> None:
        """Start counting anew."""
        self._outcomes.clear()
        self.asked.clear()

    def to_json(self) -> dict[str, Any]:
        """Tell the counts by kind, the outcomes within each, and the bodies of the requests for a cursor."""
        kinds: tuple[RequestKind, ...] = get_args(RequestKind)
        return {
            **{kind: self.count(kind) for kind in kinds},
            "outcomes": {
                kind: {outcome: number for (its, outcome), number in self._outcomes.items() if its == kind}
                for kind in kinds
            },
            "asked": list(self.asked),
        }


def _number(outcome: str) -> int | None:
    return int(outcome) if outcome.isdecimal() else None
