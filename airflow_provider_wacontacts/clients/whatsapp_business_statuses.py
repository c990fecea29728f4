"""When a check is finished, when to ask again, and what its answer is worth."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["RESOLVED", "STATUSES", "is_resolved", "next_pause", "status_is_reliable"]

RESOLVED = frozenset({"valid", "invalid", "failed"})
STATUSES = RESOLVED | {"processing"}

MIN_PAUSE = timedelta(seconds=5)
MAX_PAUSE = timedelta(minutes=2)
#: From this version on a client answers ``valid`` for every number.
ALWAYS_VALID = (2, 43)
_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\D.*)?", re.DOTALL)


def is_resolved(status: str) -> bool:
    """Tell whether a status is final; a word that nobody has documented is not."""
    return status in RESOLVED


def next_pause(attempt: int, chance: float, retry_after: timedelta | None = None) -> timedelta:
    """
    Say how long to wait before asking again about what is not resolved.

    It grows from 5 seconds to 2 minutes, a third of it chance, so that many who wait do not ask at once.

    :param attempt: how often was asked so far, 1 and up.
    :param chance: of [0, 1).
    :param retry_after: what the server asked for: never less is waited, and up to a tenth more.
    """
    growing = min(MIN_PAUSE * (1 << min(attempt - 1, 16)), MAX_PAUSE / 1.5)
    pause = growing * (1 + chance / 2)
    return pause if retry_after is None else max(pause, retry_after * (1 + chance / 10))


def status_is_reliable(client_version: str | None) -> bool | None:
    """
    Tell whether ``valid`` means that somebody is on WhatsApp.

    Clients from v2.43 on answer ``valid`` for everybody. Source:
    https://developers.facebook.com/docs/whatsapp/on-premises/reference/contacts

    :param client_version: as the answer's ``meta`` has it, with or without its ``v``.
    :returns: ``None`` where the version is not known.
    """
    match = _VERSION.fullmatch((client_version or "").strip())
    return (int(match[1]), int(match[2])) < ALWAYS_VALID if match else None
