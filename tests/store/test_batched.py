"""Batches of any items."""

from __future__ import annotations

import pytest

from airflow_provider_wacontacts.store.batched import batched


@pytest.mark.parametrize(
    ("count", "batches"),
    [(0, []), (1, [[0]]), (2, [[0, 1]]), (3, [[0, 1], [2]]), (4, [[0, 1], [2, 3]])],
)
def test_items_come_in_lists_of_at_most_this_size(count: int, batches: list[list[int]]) -> None:
    assert list(batched(range(count), 2)) == batches


def test_items_are_read_only_as_far_as_needed() -> None:
    items = iter(range(10))

    assert next(batched(items, 3)) == [0, 1, 2]
    assert next(items) == 3
