"""Retention: the kinds of rows that a purge of the store may remove, and from which age."""

from __future__ import annotations

from datetime import timedelta

__all__ = ["DEFAULT_KINDS", "KINDS", "LEAST_AGE"]

#: Versions are history, which is purged only if they are included.
DEFAULT_KINDS = ("checks", "rejects", "extractions")
KINDS = (*DEFAULT_KINDS, "versions")
#: A shorter age would remove what a retry resumes from. It is likely a typing error, such as minutes for months.
LEAST_AGE = timedelta(days=1)
