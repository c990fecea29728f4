"""What the page reads about a check."""

from __future__ import annotations

import pytest

from airflow_provider_wacontacts.store.inspection import read_check
from tests.store.checks.conftest import ALICE, BOB, CAROL, DAVE


@pytest.mark.parametrize("status", ["processing", "pending", "undocumented"])
def test_every_status_that_is_not_final_counts_as_processing(desk, status):
    check = desk.filled(ALICE, BOB, CAROL, DAVE)
    desk.lease(check)
    desk.say(check, {ALICE: status, BOB: status, CAROL: "valid"})

    with desk.store.context.read() as db:
        _, counts, _ = read_check(db, check.check_id, now=desk.clock())

    assert (counts["given"], counts["processing"], counts["valid"], counts["queued"]) == (4, 2, 1, 1)
    assert counts == check.totals()._asdict()
