"""When so much of an answer cannot be kept that somebody has to look at it."""

from __future__ import annotations

__all__ = ["rejected_error"]


def rejected_error(rejected: int, landed: int, max_rejected: float) -> str | None:
    """
    Say that too much was rejected; ``None`` where it was not.

    :param landed: rows that were kept.
    :param max_rejected: share of all rows that may be rejected, 0 to 1.
    """
    total = rejected + landed
    if rejected <= total * max_rejected:
        return None
    allowed = f"more than max_rejected ({max_rejected:.2%}) allows"
    return f"{rejected:,} of {total:,} rows were rejected, {allowed}; the rest landed"
