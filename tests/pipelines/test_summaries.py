"""The summary of a check."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine

from airflow_provider_wacontacts.pipelines.summaries import CheckSummary, describe_rejected
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks

NOW = datetime(2024, 1, 1, tzinfo=UTC)
NUMBERS = [f"+1201555010{digit}" for digit in range(4)]


@pytest.fixture
def checks(sqlite_url):
    store = Store(create_engine(sqlite_url), now=lambda: NOW)
    store.prepare()
    return SenderChecks(store.context, "+12015550123", daily_checks=10)


def checked(checks, results, client_version=None):
    """A check of two rejected inputs and a number given twice beside those that were asked."""
    rules = CheckSpec(TaskInstanceKey("dag", "run", "task"), "options", "1.2.3", NOW - timedelta(days=7))
    check = checks.open(rules)
    given = [CheckInput("nonsense", None), CheckInput("more of it", None), CheckInput("again", next(iter(results)))]
    check.fill([*(CheckInput(number, number) for number in results), *given])
    for number_ids in check.queued(100):
        assert len(check.lease(number_ids).numbers) == len(results)
        check.record(CheckResults(results, NOW, NOW, client_version))
    check.finish()
    return check


def test_a_summary_counts_a_check(checks):
    words = ("valid", "invalid", "failed", "processing")
    check = checked(checks, dict(zip(NUMBERS, ((word, None) for word in words), strict=True)), "v2.41.2")

    assert CheckSummary.of(check, checks).as_dict() == {
        "check_id": check.check_id,
        "sender": "+12015550123",
        "state": "open",
        "given": 7,
        "duplicates": 1,
        "asked": 4,
        "not_asked": 0,
        "from_store": 0,
        "valid": 1,
        "invalid": 1,
        "processing": 1,
        "failed": 1,
        "rejected": 2,
        "missing": 0,
        "budget_left": 6,
        "status_is_reliable": True,
    }


def test_a_summary_uses_given_totals(checks):
    check = checked(checks, {NUMBERS[0]: ("processing", None)})
    expired = check.expire()

    assert CheckSummary.of(check, checks, expired).state == "expired"


@pytest.mark.parametrize(("version", "is_reliable"), [("v2.41.2", True), ("v2.43", False), (None, None)])
def test_status_is_reliable_follows_from_the_client_version(checks, version, is_reliable):
    check = checked(checks, {NUMBERS[0]: ("valid", None)}, version)

    assert CheckSummary.of(check, checks).status_is_reliable is is_reliable


def test_without_valid_numbers_reliability_is_unknown(checks):
    check = checked(checks, {NUMBERS[0]: ("invalid", None)}, "v2.41.2")

    assert CheckSummary.of(check, checks).status_is_reliable is None


def test_rejected_rows_are_described_by_their_most_frequent_reasons():
    assert describe_rejected(1_000_003, {"no id": 1_000_001, "not an object": 1}) == (
        "1,000,001 no id, 1 not an object, 1 for other reasons"
    )
