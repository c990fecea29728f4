"""The short form of ``make fuzz``: a thousand generated bodies of each feed."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from tests.faults.fuzz import FEEDS, fuzz

SEED, BODIES = 7, 1_000


@pytest.mark.parametrize("feed", FEEDS)
def test_every_body_is_read_rejected_or_an_error_without_its_content(feed: str) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})

    outcomes = fuzz(feed, SEED, BODIES, [engine])

    assert outcomes["read"] > 0
