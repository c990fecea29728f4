"""Retention: the kinds of rows that a purge of the store may remove, and the minimum age."""

from __future__ import annotations

from datetime import timedelta

__all__ = ["DEFAULT_KINDS", "KINDS", "MIN_AGE"]

#: Versions are the change history, which is purged only if requested.
DEFAULT_KINDS = ("checks", "rejects", "extractions")
KINDS = (*DEFAULT_KINDS, "versions")
#: A shorter age would remove checkpoints of retries. It is probably a typo, such as minutes for months.
MIN_AGE = timedelta(days=1)
