"""What needs attention: each finding has a remedy."""

from airflow_provider_wacontacts.plugin.attention import REMEDIES
from airflow_provider_wacontacts.store import completeness


def test_every_reason_of_an_incomplete_snapshot_has_its_remedy():
    names = ("EMPTY", "TRUNCATED", "UNSYNCHRONISED", "UNIDENTIFIED", "SHRUNKEN", "DIFFERENT")

    assert {getattr(completeness, name) for name in names} <= set(REMEDIES)
