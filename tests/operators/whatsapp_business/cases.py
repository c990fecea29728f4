"""Common steps of the tests of these operators."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["RESULTS", "SELECT", "SUMMARY", "numbers", "on_both", "summary_of"]

SELECT = "SELECT id AS contact_key, phone AS number, agreed AS opted_in FROM people ORDER BY id"
RESULTS = "SELECT contact_key, input, number, wa_id, status, reason, from_store FROM wacontacts_check_result ORDER BY 1"
SUMMARY: dict[str, Any] = {
    "sender": "+12015550100",
    "state": "resolved",
    "given": 0,
    "duplicates": 0,
    "asked": 0,
    "not_asked": 0,
    "from_store": 0,
    "valid": 0,
    "invalid": 0,
    "processing": 0,
    "failed": 0,
    "rejected": 0,
    "missing": 0,
    "budget_left": 1000,
    "status_is_reliable": True,
}

on_both = pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", id="postgresql")], indirect=True)


def numbers(count: int, first: int = 0) -> list[str]:
    """Make up numbers of the United States, which nobody has."""
    return [f"+1212555{number:04}" for number in range(first, first + count)]


def summary_of(summary: dict[str, Any]) -> dict[str, Any]:
    """Give what of a summary differs from a check of nothing."""
    return {name: value for name, value in summary.items() if SUMMARY.get(name, "") != value and name != "check_id"}
