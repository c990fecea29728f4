"""Checking numbers: requests, the results of each input, and the summary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.exceptions import ServerError
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from tests.operators.outlets import outlet_events
from tests.operators.whatsapp_business.cases import RESULTS, SELECT, SUMMARY, numbers, on_both, summary_of

DAY = timedelta(days=1)


@on_both
def test_every_input_has_a_row_with_its_contact_key(
    tasks: Any, api: Sandbox, crm: Any, store: Any, behave: Callable[..., None]
) -> None:
    behave(wa_id_with=["valid"])
    ok, gone, slow, broken, silent, out = numbers(6)
    api.whatsapp.put(gone, "invalid")
    api.whatsapp.put(slow, slow=True)
    api.whatsapp.put(broken, "failed")
    api.whatsapp.put(silent, missing=True)
    crm(
        ("a", ok, True),
        ("b", "(212) 555-0000", None),
        ("c", gone, True),
        ("d", slow, True),
        ("e", broken, True),
        ("f", silent, True),
        ("g", out, False),
        ("h", "12", True),
        ("i", None, True),
        (None, ok, True),
    )

    summary = tasks.check(contacts_sql=SELECT, contacts_conn_id="crm")

    assert sorted(store.rows(RESULTS), key=str) == sorted(
        [
            ("a", ok, ok, "12125550000", "valid", None, False),
            ("b", "(212) 555-0000", ok, "12125550000", "valid", None, False),
            ("c", gone, gone, None, "invalid", None, False),
            ("d", slow, slow, None, "processing", None, False),
            ("e", broken, broken, None, "failed", None, False),
            ("f", silent, silent, None, "missing", None, False),
            ("g", out, out, None, "not_asked", "opted out", False),
            ("h", "12", None, None, "rejected", "too short", False),
            ("i", "", None, None, "rejected", "empty", False),
            (None, ok, ok, "12125550000", "valid", None, False),
        ],
        key=str,
    )
    check_id = summary.pop("check_id")
    assert store.rows("SELECT DISTINCT check_id FROM wacontacts_check_result") == [(check_id,)]
    assert summary == SUMMARY | {
        "state": "open",
        "given": 10,
        "duplicates": 2,
        "asked": 5,
        "not_asked": 1,
        "valid": 1,
        "invalid": 1,
        "processing": 1,
        "failed": 1,
        "missing": 1,
        "rejected": 2,
        "budget_left": 995,
    }


def test_every_number_is_sent_once_in_full_batches(tasks: Any, api: Sandbox) -> None:
    some = numbers(25)

    tasks.check([*some, *(f"({n[2:5]}) {n[5:8]}-{n[8:]}" for n in some), *some], batch_size=10)

    assert api.asked_numbers == dict.fromkeys(some, 1)
    assert sorted(call.size for call in api.whatsapp.calls) == [5, 10, 10]


def test_opting_out_counts_for_every_spelling_of_a_number(tasks: Any, api: Sandbox, store: Any) -> None:
    number, other = numbers(2)
    given = [
        {"number": number, "opted_in": True},
        {"number": "(212) 555-0000", "opted_in": False},
        {"number": other, "opted_in": None},
        {"number": "+1 212 555 0002", "opted_in": "maybe"},
    ]

    summary = tasks.check(given)

    assert api.asked_numbers == {other: 1}
    assert store.rows("SELECT status, reason FROM wacontacts_check_result ORDER BY ordinal") == [
        ("not_asked", "opted out"),
        ("not_asked", "opted out"),
        ("valid", None),
        ("rejected", "opted_in is neither true nor false"),
    ]
    assert summary_of(summary) == {
        "given": 4,
        "duplicates": 1,
        "not_asked": 1,
        "rejected": 1,
        "asked": 1,
        "valid": 1,
        "budget_left": 999,
    }


@on_both
def test_fresh_results_are_reused_without_a_request(tasks: Any, api: Sandbox, store: Any) -> None:
    api.whatsapp.put(numbers(3)[2], "invalid")
    tasks.check(numbers(3), run_id="monday")
    kept = store.rows("SELECT number, wa_id, status, checked_at FROM wacontacts_check_result ORDER BY 1")

    summary = tasks.check([*numbers(4), "2125550001"], run_id="tuesday")

    assert api.asked_numbers == dict.fromkeys(numbers(4), 1)
    assert summary_of(summary) == {
        "given": 5,
        "duplicates": 1,
        "from_store": 3,
        "asked": 1,
        "valid": 3,
        "invalid": 1,
        "budget_left": 996,
    }
    query = "SELECT number, wa_id, status, checked_at FROM wacontacts_check_result WHERE check_id = :check_id AND {}"
    ours = {"check_id": summary["check_id"]}
    assert store.rows(query.format("from_store AND NOT duplicate ORDER BY 1"), **ours) == kept
    assert store.rows(query.format("duplicate ORDER BY 1"), **ours) == [kept[1]]


def test_a_result_older_than_fresh_for_is_rechecked(tasks: Any, api: Sandbox) -> None:
    now = api.clock.now()
    api.clock.set(now - 3 * DAY)
    tasks.check(numbers(1), run_id="before")
    api.clock.set(now)

    assert tasks.check(numbers(1), run_id="a week")["from_store"] == 1
    assert tasks.check(numbers(1), run_id="two days", fresh_for=2 * DAY)["asked"] == 1
    assert api.asked_numbers == {numbers(1)[0]: 2}


def test_a_result_from_the_clients_cache_does_not_change_checked_at(tasks: Any, api: Sandbox, store: Any) -> None:
    now = api.clock.now()
    api.clock.set(now - 5 * DAY)
    tasks.check(numbers(1), run_id="real")
    first = store.rows("SELECT checked_at FROM wacontacts_number")
    api.clock.set(now)

    tasks.check(numbers(1), run_id="from memory", fresh_for=2 * DAY)

    assert api.whatsapp.checked == {numbers(1)[0]: 1}
    assert store.rows("SELECT checked_at FROM wacontacts_number") == first


def test_a_failure_is_never_fresh(tasks: Any, api: Sandbox) -> None:
    api.whatsapp.put(numbers(1)[0], "failed")
    tasks.check(numbers(1), run_id="first")

    summary = tasks.check(numbers(1), run_id="second")

    assert summary_of(summary) == {"given": 1, "asked": 1, "failed": 1, "budget_left": 998, "status_is_reliable": None}


def test_force_check_bypasses_the_store_and_the_clients_cache(tasks: Any, api: Sandbox) -> None:
    tasks.check(numbers(2), run_id="first")

    summary = tasks.check(numbers(2), run_id="second", force_check=True)

    assert (summary["asked"], summary["from_store"], summary["budget_left"]) == (2, 0, 996)
    assert api.whatsapp.checked == dict.fromkeys(numbers(2), 2)
    assert [call.force_check for call in api.whatsapp.calls] == [False, True]


@pytest.mark.parametrize(("blocking", "status"), [("no_wait", "processing"), ("wait", "valid")])
def test_blocking_is_sent(tasks: Any, api: Sandbox, store: Any, blocking: str, status: str) -> None:
    api.whatsapp.put(numbers(1)[0], slow=True)

    tasks.check(numbers(1), blocking=blocking)

    assert [call.blocking for call in api.whatsapp.calls] == [blocking]
    assert store.rows("SELECT status FROM wacontacts_check_result") == [(status,)]


@on_both
def test_a_retry_resumes_the_check_with_the_remaining_numbers(tasks: Any, api: Sandbox, store: Any) -> None:
    api.fail(Fault(on="check", kind="status", status=400, code=1009, skip=7, every=1))
    with pytest.raises(AirflowFailException, match="HTTP 400"):
        tasks.check(numbers(100), batch_size=10)
    before = api.asked_numbers
    assert sorted(before.values()) == [1] * 70
    assert store.rows("SELECT count(*) FROM wacontacts_check_result WHERE status = 'valid'") == [(70,)]
    (check_id,) = store.rows("SELECT check_id FROM wacontacts_check")[0]
    api.faults.clear()

    summary = tasks.check(numbers(100), batch_size=10)

    assert summary["check_id"] == check_id
    assert api.asked_numbers == dict.fromkeys(numbers(100), 1)
    assert (summary["given"], summary["asked"], summary["valid"], summary["from_store"]) == (100, 100, 100, 0)
    assert store.rows("SELECT count(*) FROM wacontacts_number WHERE leased_until IS NOT NULL") == [(0,)]


def test_a_changed_list_starts_another_check(tasks: Any, api: Sandbox) -> None:
    api.fail(Fault(on="check", kind="status", status=400, code=1009))
    with pytest.raises(AirflowFailException):
        tasks.check(numbers(3))
    api.faults.clear()

    summary = tasks.check(numbers(3, first=2))

    assert (summary["given"], summary["asked"], api.asked_numbers) == (3, 3, dict.fromkeys(numbers(3, first=2), 1))


@pytest.mark.usefixtures("impatient")
def test_transient_errors_are_left_to_airflows_retries(tasks: Any, api: Sandbox) -> None:
    api.fail(Fault(on="check", kind="status", status=503))

    with pytest.raises(ServerError, match="HTTP 503"):
        tasks.check(numbers(1))

    assert tasks.check(numbers(1))["asked"] == 1


def test_each_run_has_its_own_check(tasks: Any, store: Any) -> None:
    ids = {tasks.check(numbers(1), run_id=run)["check_id"] for run in ("monday", "tuesday")}

    assert {check_id for (check_id,) in store.rows("SELECT check_id FROM wacontacts_check")} == ids
    assert len(ids) == 2


def test_an_empty_source_succeeds_and_is_logged(tasks: Any, api: Sandbox, store: Any, logged: Any) -> None:
    summary = tasks.check([])

    assert summary_of(summary) == {"status_is_reliable": None}
    assert f"No numbers were given. Check {summary['check_id']} is empty." in logged()
    assert store.rows("SELECT state FROM wacontacts_check") == [("resolved",)]
    assert api.requests.count() == 0


def test_an_invalid_number_among_thousands_is_one_rejected_row(tasks: Any, store: Any, api: Sandbox) -> None:
    given = numbers(5500)
    given[4321] = "call me"

    summary = tasks.check(given, batch_size=1000, max_checks=100, on_budget="partial")

    assert (summary["given"], summary["rejected"], summary["asked"], summary["not_asked"]) == (5500, 1, 100, 5399)
    bad = "SELECT ordinal, input, reason FROM wacontacts_check_result WHERE status = 'rejected'"
    assert store.rows(bad) == [(4321, "call me", "not a number")]
    assert store.rows("SELECT check_id, reason, body FROM wacontacts_reject") == [
        (summary["check_id"], "not a number", b"call me")
    ]


@pytest.mark.parametrize(("version", "reliable"), [("v2.41.2", True), ("v2.43.0", False), ("v2.45.1", False)])
def test_a_client_that_returns_valid_for_every_number_is_reported(
    tasks: Any, api: Sandbox, behave: Callable[..., None], logged: Any, *, version: str, reliable: bool
) -> None:
    behave(version=version)
    api.whatsapp.put(numbers(1)[0], "invalid")

    summary = tasks.check(numbers(2))

    assert summary["status_is_reliable"] is reliable
    assert summary["valid"] == (1 if reliable else 2)
    assert ("v2.43 or newer and reports every number as valid" in logged()) is not reliable


def test_without_a_client_version_reliability_is_unknown(tasks: Any, behave: Callable[..., None]) -> None:
    behave(meta=False)

    assert tasks.check(numbers(1))["status_is_reliable"] is None


def test_every_outlets_event_carries_the_summary(tasks: Any) -> None:
    outlet = store_asset(source="whatsapp_business")
    tasks.outlet_events = outlet_events()

    summary = tasks.check(numbers(1), outlets=[outlet])

    assert tasks.outlet_events[outlet].extra == summary


def test_numbers_without_a_plus_are_read_in_the_default_region(tasks: Any, api: Sandbox) -> None:
    tasks.check(["020 7946 0000"], default_region="gb")

    assert api.asked_numbers == {"+442079460000": 1}


def test_without_a_sender_number_numbers_without_a_plus_are_rejected(
    tasks: Any, api: Sandbox, connect_api: Callable[..., None], store: Any
) -> None:
    connect_api(extra={"sender": "main"})

    summary = tasks.check(["212 555 0000", numbers(1)[0]])

    assert (summary["sender"], summary["rejected"], summary["valid"]) == ("main", 1, 1)
    reasons = store.rows("SELECT reason FROM wacontacts_check_result WHERE status = 'rejected'")
    assert reasons == [("no country code",)]


@pytest.mark.parametrize(
    ("numbers_of_one", "wa_id"),
    [
        (["+55 82 98765-4321", "+55 82 8765-4321"], "558287654321"),
        (["+52 55 1234 5678", "+52 (55) 1234-5678"], "5215512345678"),
        (["+54 9 11 5612-1008", "+54 11 5612-1008"], "5491156121008"),
    ],
    ids=["Brazil", "Mexico", "Argentina"],
)
def test_several_numbers_may_have_one_whatsapp_id(
    tasks: Any, store: Any, numbers_of_one: list[str], wa_id: str
) -> None:
    tasks.check(numbers_of_one)

    rows = store.rows("SELECT input, wa_id, status FROM wacontacts_check_result ORDER BY ordinal")
    assert rows == [(number, wa_id, "valid") for number in numbers_of_one]


def test_checked_at_is_the_servers_time(tasks: Any, api: Sandbox, store: Any) -> None:
    api.clock.set(datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5))

    tasks.check(numbers(1))

    told = api.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert store.rows("SELECT checked_at FROM wacontacts_check_result") == [(told,)]


def test_later_results_count_after_the_servers_clock_was_years_ahead(tasks: Any, api: Sandbox, store: Any) -> None:
    api.whatsapp.put(numbers(1)[0], slow=True)
    api.clock.advance(timedelta(days=4_000))
    assert tasks.check(numbers(1))["processing"] == 1
    api.clock.set(datetime.now(UTC) + timedelta(seconds=5))
    api.whatsapp.finish()

    assert tasks.check(numbers(1), run_id="later")["valid"] == 1
    assert store.rows("SELECT status FROM wacontacts_number") == [("valid",)]
