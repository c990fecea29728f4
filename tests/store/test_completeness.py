"""Which snapshots are accepted as complete."""

from __future__ import annotations

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.store.completeness import Earlier, ShrinkGuard, SnapshotCounts, incomplete_reason

GUARD = ShrinkGuard()


@pytest.mark.parametrize(
    ("counts", "word"),
    [
        (SnapshotCounts(100), None),
        (SnapshotCounts(100, is_synchronised=True), None),
        (SnapshotCounts(0), "empty"),
        (SnapshotCounts(100, is_cut=True), "cut"),
        (SnapshotCounts(100, is_synchronised=False), "unsynchronised"),
        (SnapshotCounts(79), "shrunken"),
        (SnapshotCounts(80), None),
        (SnapshotCounts(100, has_unidentified=True), "nameless"),
        (SnapshotCounts(79, has_unidentified=True), "shrunken"),
        (SnapshotCounts(10, is_synchronised=False, has_unidentified=True), "unsynchronised"),
        (SnapshotCounts(1_000), None),
        (SnapshotCounts(0, is_cut=True, is_synchronised=False), "empty"),
        (SnapshotCounts(10, is_cut=True, is_synchronised=False), "cut"),
        (SnapshotCounts(10, is_synchronised=False), "unsynchronised"),
    ],
)
def test_the_first_matching_reason_is_returned(counts, word):
    assert incomplete_reason(counts, Earlier(100), GUARD) == word


@pytest.mark.parametrize(
    ("counts", "guard", "word"),
    [
        (SnapshotCounts(100, kept=50), GUARD, None),
        (SnapshotCounts(100, kept=49), GUARD, "different"),
        (SnapshotCounts(100, kept=0), GUARD, "different"),
        (SnapshotCounts(79, kept=0), GUARD, "shrunken"),
        (SnapshotCounts(5_000, kept=100), GUARD, None),
        (SnapshotCounts(5_000, kept=0), GUARD, "different"),
        (SnapshotCounts(100, kept=0, has_unidentified=True), GUARD, "different"),
        (SnapshotCounts(100, kept=0), ShrinkGuard(min_overlap=0), None),
        (SnapshotCounts(100, kept=89), ShrinkGuard(min_overlap=0.9), "different"),
        (SnapshotCounts(100, kept=0), ShrinkGuard(accepted=True), None),
        (SnapshotCounts(100, kept=0), ShrinkGuard(confirmations=1), None),
    ],
)
def test_a_snapshot_of_other_contacts_is_doubtful(counts, guard, word):
    assert incomplete_reason(counts, Earlier(100), guard) == word


@pytest.mark.parametrize("size", [1, 100])
def test_the_first_snapshot_is_not_compared(size):
    assert incomplete_reason(SnapshotCounts(size), Earlier(None), GUARD) is None


@pytest.mark.parametrize(
    ("share", "measure", "enough"),
    [(0.07, 100, 7), (0.29, 100, 29), (0.57, 100, 57), (0.8, 5, 4), (1, 3, 3), (0, 9, 1)],
)
def test_exactly_the_share_suffices_and_one_contact_less_does_not(share, measure, enough):
    guard = ShrinkGuard(share)
    assert incomplete_reason(SnapshotCounts(enough), Earlier(measure), guard) is None
    reason = incomplete_reason(SnapshotCounts(enough - 1), Earlier(measure), guard)
    assert reason == ("empty" if enough == 1 else "shrunken")


@pytest.mark.parametrize(
    ("others", "word"),
    [
        ([], "shrunken"),
        ([(50, "shrunken")], "shrunken"),
        ([(50, "shrunken"), (50, "shrunken")], None),
        ([(40, "shrunken"), (62, "shrunken")], None),
        ([(39, "shrunken"), (50, "shrunken"), (50, "shrunken")], "shrunken"),
        ([(63, "shrunken"), (50, "shrunken"), (50, "shrunken")], "shrunken"),
        ([(50, "shrunken"), (39, "shrunken"), (50, "shrunken")], "shrunken"),
        ([(50, "shrunken"), (0, "empty"), (50, "shrunken")], "shrunken"),
        ([(50, "shrunken"), (50, "unsynchronised"), (50, "shrunken")], "shrunken"),
        ([(50, "shrunken"), (100, None), (50, "shrunken")], "shrunken"),
    ],
)
def test_the_third_similar_snapshot_in_a_row_is_accepted(others, word):
    assert incomplete_reason(SnapshotCounts(50), Earlier(100, others), GUARD) == word


@pytest.mark.parametrize(
    ("others", "word"),
    [
        ([(100, "nameless")], "nameless"),
        ([(100, "nameless"), (100, "nameless")], None),
        ([(79, "shrunken"), (100, "nameless")], "nameless"),
        ([(100, None), (100, "nameless"), (100, "nameless")], "nameless"),
    ],
)
def test_unidentified_rejects_are_accepted_like_a_small_snapshot(others, word):
    counts = SnapshotCounts(100, has_unidentified=True)
    assert incomplete_reason(counts, Earlier(100, others), GUARD) == word
    assert incomplete_reason(counts, Earlier(100, others), ShrinkGuard(accepted=True)) is None


@pytest.mark.parametrize(("confirmations", "word"), [(1, None), (2, None), (3, "shrunken")])
def test_the_number_of_confirmations_is_configurable(confirmations, word):
    guard = ShrinkGuard(confirmations=confirmations)
    assert incomplete_reason(SnapshotCounts(50), Earlier(100, [(50, "shrunken")]), guard) == word


def test_only_shrinking_can_be_accepted():
    guard = ShrinkGuard(accepted=True)
    snapshots = [
        SnapshotCounts(1),
        SnapshotCounts(0),
        SnapshotCounts(1, is_cut=True),
        SnapshotCounts(1, is_synchronised=False),
    ]
    assert [incomplete_reason(counts, Earlier(100), guard) for counts in snapshots] == [
        None,
        "empty",
        "cut",
        "unsynchronised",
    ]


def test_an_empty_snapshot_is_never_accepted():
    assert incomplete_reason(SnapshotCounts(0), Earlier(100, [(0, "empty")] * 9), GUARD) == "empty"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"share": -0.1}, "shrink_guard"),
        ({"share": 1.1}, "shrink_guard"),
        ({"share": float("nan")}, "shrink_guard"),
        ({"confirmations": 0}, "shrink_confirmations"),
    ],
)
def test_values_out_of_range_are_named(given, name):
    with pytest.raises(ConfigError, match=name):
        ShrinkGuard(**given)
