"""
How much memory a process has, and had at most.

Linux tells it in ``/proc``. What ``getrusage`` calls the most a process had is at least what its parent had when it was
started, also after it has become another program.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["peak_mb", "resident_mb"]

STATUS = Path("/proc/self/status")
#: Of ``ru_maxrss``, in bytes.
UNIT = 1 if sys.platform == "darwin" else 1024


def peak_mb() -> float:
    """Return the most that this program had resident at once, in millions of bytes."""
    if STATUS.exists():
        return _told("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 1e6


def resident_mb() -> float:
    """Return what this program has resident now, in millions of bytes; on Linux only."""
    return _told("VmRSS")


def _told(name: str) -> float:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6
