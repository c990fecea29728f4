"""Pending faults, and the counts of requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from airflow_provider_wacontacts.sandbox.core.hostile import HOSTILE
from airflow_provider_wacontacts.sandbox.core.options import to_json

__all__ = ["Fault", "FaultKind", "Faults", "RequestKind", "Requests"]


RequestKind = Literal[
    "create",
    "page",
    "schemas",
    "login",
    "check",
    "identity",
    "acknowledge",
    "message",
    "contacts",
    "state",
    "wa_settings",
    "settings",
    "whatsapp",
    "other",
]
FaultKind = Literal[
    "status",
    "drop",
    "cut",
    "html",
    "empty",
    "body",
    "delay",
    "no_cursor",
    "repeat_cursor",
    "empty_page",
    "expired",
    "rate_limited",
    "hostile",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    A failure that occurs once, a few times, or repeatedly.

    Faults are queued. The first fault with a matching ``on`` applies to a request. Faults with ``every`` are outside
    the queue and apply if no queued fault does.

    =================  =================================================================================
    kind               response
    =================  =================================================================================
    ``status``         ``status`` with the mock server's error shape and ``code`` or ``message``, or with ``body``
    ``drop``           nothing: the connection is closed
    ``cut``            the true response's headers and the first ``share`` of its body, then the connection is closed
    ``html``           ``status`` (200 unless given) with a page of HTML
    ``empty``          ``status`` (200 unless given) without a body
    ``body``           ``status`` (200 unless given) with ``body`` (Latin-1: one character a byte)
    ``delay``          the true response after ``delay_s``
    ``no_cursor``      a made cursor without ``cursor``
    ``repeat_cursor``  a page whose ``next`` is the cursor just read
    ``empty_page``     a page without contacts; the same cursor's page comes next
    ``expired``        400, the cursor has expired, and the whole export with it
    ``rate_limited``   429 as the behaviour words it, to come back after ``delay_s``
    ``hostile``        the true response with something in it that breaks parsers, see ``hostile``
    =================  =================================================================================

    ``no_cursor`` to ``expired`` are for Turn.io only; elsewhere the true response is sent.

    :param on: the kind of request, or ``any``.
    :param code: error code of the WhatsApp Business API, if it is not the status; Turn.io's is always the status.
    :param message: message of a GREEN-API error, if it is not the usual one of the status.
    :param hostile: hostile content of the response, a name in :data:`.HOSTILE`, for example ``huge exponent``.
    :param times: number of consecutive requests.
    :param skip: number of matching requests that get the true response first.
    :param every: 0 for once; otherwise the fault repeats for the first ``times`` of each ``every`` requests after
        ``skip``.
    :param headers: headers that are added to the response, or replace its headers of the same name.
    :param delay_s: real seconds; for all kinds, before the response, except ``rate_limited``.
    """

    kind: FaultKind
    on: RequestKind | Literal["any"] = "any"
    times: int = 1
    skip: int = 0
    every: int = 0
    status: int | None = None
    code: int | None = None
    message: str | None = None
    body: str | None = None
    hostile: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    share: float = 0.5
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if self.kind == "hostile" and self.hostile not in HOSTILE:
            raise ValueError(f"hostile is one of {', '.join(HOSTILE)}")


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
        """Add a fault to the end of the queue, or to the recurring faults."""
        self._waiting.append(_Waiting(fault))

    def clear(self) -> None:
        """Remove all faults."""
        self._waiting.clear()

    def take(self, kind: RequestKind) -> Fault | None:
        """Return the fault that applies to a request, and count it."""
        once = next((each for each in self._waiting if not each.fault.every and each.fits(kind)), None)
        struck = [each for each in self._waiting if each.fits(kind) and each.fault.every and each.strike()]
        if once is not None and once.strike():
            struck.insert(0, once)
        self._waiting = [each for each in self._waiting if not each.is_over]
        return struck[0].fault if struck else None

    def to_json(self) -> list[dict[str, Any]]:
        """Return the pending faults in order, with their counts of matching requests."""
        return [{**to_json(each.fault), "seen": each.seen} for each in self._waiting]


class Requests:
    """Requests and their outcomes. Requests to control routes are not counted."""

    def __init__(self) -> None:
        self._outcomes: Counter[tuple[RequestKind, str]] = Counter()
        #: Parsed bodies of the requests for a cursor, oldest first.
        self.asked: list[Mapping[str, Any]] = []

    def add(self, kind: RequestKind, outcome: str) -> None:
        """Count a request."""
        self._outcomes[kind, outcome] += 1

    def count(self, kind: RequestKind | None = None, outcome: int | str | None = None) -> int:
        """
        Count the requests that got a response.

        :param kind: ``create``, ``page`` and ``schemas`` are Turn's, ``login``, ``check``, ``identity`` and
            ``acknowledge`` WhatsApp's, ``contacts``, ``state``, ``wa_settings``, ``settings`` and ``whatsapp``
            (checks) GREEN-API's; ``other``; None for all.
        :param outcome: a status, ``drop`` or ``cut``; None for all.
        """
        return sum(
            number
            for (its_kind, its_outcome), number in self._outcomes.items()
            if kind in (None, its_kind) and outcome in (None, its_outcome, _number(its_outcome))
        )

    def clear(self) -> None:
        """Reset the counts."""
        self._outcomes.clear()
        self.asked.clear()

    def to_json(self) -> dict[str, Any]:
        """Return the counts by kind, the outcomes within each, and the bodies of the requests for a cursor."""
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
