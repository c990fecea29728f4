"""Batches of any items, as :func:`itertools.batched` of Python 3.12 yields them, but as lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

__all__ = ["batched"]

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """
    Yield the items in lists.

    :param items: read once, and only as far as needed.
    :param size: items in each list; the last one may be shorter.
    """
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
