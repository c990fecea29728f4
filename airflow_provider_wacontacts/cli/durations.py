"""Spans of time as people write and read them."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta

__all__ = ["moment", "span", "told"]

UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
WRITTEN = re.compile("".join(rf"(?:(?P<{name}>[0-9]+){unit})?" for unit, name in UNITS.items()))


def span(text: str) -> timedelta:
    """
    Read a span, such as ``26h``, ``90m``, ``7d`` or ``1d12h``.

    :raises argparse.ArgumentTypeError: it is none, or none that is longer than nothing.
    """
    found = WRITTEN.fullmatch(text)
    given = {name: int(count) for name, count in found.groupdict(default="0").items()} if found else {}
    try:
        length = timedelta(**given)
    except OverflowError:
        length = timedelta(0)
    if length <= timedelta(0):
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time such as 26h, 90m, 7d or 1d12h")
    return length


def told(length: timedelta) -> str:
    """Tell a span by its two largest units, the rest dropped: ``3d 2h``, ``26h 5m``, ``0s``; days from two on."""
    rest, parts = int(abs(length.total_seconds())), []
    sizes = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
    for unit in [*sizes][rest < 2 * sizes["d"] :]:
        count, rest = divmod(rest, sizes[unit])
        parts.append((count, unit))
    first = next((place for place, (count, _) in enumerate(parts) if count), -1)
    said = " ".join(f"{count}{unit}" for count, unit in parts[first:][:2] if count) or "0s"
    return said if length >= timedelta(0) else f"-{said}"


def moment(when: datetime) -> str:
    """Tell a time, UTC, to the minute, or to the second where it is within one."""
    return f"{when:%Y-%m-%d %H:%M}" if not when.second else f"{when:%Y-%m-%d %H:%M:%S}"
