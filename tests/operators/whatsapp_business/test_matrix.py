"""Observed responses of servers with this API, from the operator to the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.exceptions import ContractError, NetworkError
from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from tests.operators.whatsapp_business.cases import numbers, on_both

STATUS_OF = "SELECT number, status, wa_id FROM wacontacts_check_result ORDER BY ordinal"
MANY_NUMBERS = numbers(40)


@pytest.fixture
def mixed(api: Sandbox) -> dict[str, tuple[str, str | None]]:
    """Ten each that are valid, invalid, slow and broken, and what is answered of each."""
    expected: dict[str, tuple[str, str | None]] = {}
    for place, number in enumerate(MANY_NUMBERS):
        status = ("valid", "invalid", "processing", "failed")[place % 4]
        is_slow = status == "processing"
        api.whatsapp.put(number, "valid" if is_slow else status, slow=is_slow)
        expected[number] = status, number.strip("+") if status in ("valid", "processing") else None
    return expected


def results(store: Any) -> dict[str, tuple[str, str | None]]:
    return {number: (status, wa_id) for number, status, wa_id in store.rows(STATUS_OF)}


@on_both
@pytest.mark.parametrize("order", ["asked", "shuffled", "reversed"])
def test_1_all_four_statuses_in_any_order(
    tasks: Any, store: Any, mixed: Any, behave: Callable[..., None], order: str
) -> None:
    behave(order=order)

    tasks.check(MANY_NUMBERS, batch_size=15)

    assert results(store) == mixed


@pytest.mark.parametrize("has_wa_id", [True, False])
def test_2_processing_with_and_without_a_whatsapp_id(
    tasks: Any, store: Any, mixed: Any, behave: Callable[..., None], *, has_wa_id: bool
) -> None:
    behave(wa_id_with=["valid", "processing"] if has_wa_id else ["valid"])

    summary = tasks.check(MANY_NUMBERS)

    assert summary["processing"] == 10
    slow = {wa_id is not None for status, wa_id in results(store).values() if status == "processing"}
    assert slow == {has_wa_id}


def test_3_invalid_with_a_whatsapp_id_is_still_invalid(
    tasks: Any, store: Any, mixed: Any, behave: Callable[..., None]
) -> None:
    behave(wa_id_with=["valid", "invalid", "processing", "failed"])

    assert tasks.check(MANY_NUMBERS)["invalid"] == 10
    assert {status for status, _ in results(store).values()} == {"valid", "invalid", "processing", "failed"}


def test_4_201_is_success(tasks: Any, store: Any, mixed: Any, behave: Callable[..., None]) -> None:
    behave(success_status=201)

    tasks.check(MANY_NUMBERS)

    assert results(store) == mixed


@pytest.mark.parametrize("missing_as", ["absent", "null"])
def test_5_numbers_without_an_entry_are_missing_and_errors_are_logged(
    tasks: Any, api: Sandbox, store: Any, behave: Callable[..., None], logged: Any, *, missing_as: str
) -> None:
    behave(missing_as=missing_as, errors_beside="missing")
    ok, silent = numbers(2)
    api.whatsapp.put(silent, missing=True)

    summary = tasks.check([ok, silent])

    assert (summary["valid"], summary["missing"], summary["asked"], summary["state"]) == (1, 1, 2, "open")
    assert results(store) == {ok: ("valid", ok.strip("+")), silent: ("missing", None)}
    log = logged()
    assert "code 1013" in log
    assert "no result for 1 of the numbers" in log
    assert silent.strip("+") not in log


@pytest.mark.parametrize("errors_beside", ["empty", "always"])
def test_5_errors_next_to_all_entries_change_no_result(
    tasks: Any, store: Any, mixed: Any, behave: Callable[..., None], errors_beside: str
) -> None:
    behave(errors_beside=errors_beside)

    tasks.check(MANY_NUMBERS)

    assert results(store) == mixed


def test_6_an_undocumented_status_is_not_final(tasks: Any, store: Any, mixed: Any, behave: Callable[..., None]) -> None:
    behave(processing_word="pending")

    summary = tasks.check(MANY_NUMBERS)

    assert (summary["processing"], summary["state"]) == (10, "open")
    assert [status for status, _ in results(store).values()].count("pending") == 10


@pytest.mark.parametrize("renewals", [1, 2])
def test_7_a_rejected_token_is_renewed_once(
    tasks: Any, api: Sandbox, connect_api: Callable[..., None], behave: Callable[..., None], renewals: int
) -> None:
    log_in(api, connect_api, behave)
    api.fail(*[Fault(on="check", kind="status", status=401, code=1005)] * renewals)

    if renewals == 1:
        assert tasks.check(numbers(1))["valid"] == 1
    else:
        with pytest.raises(AirflowFailException, match=r"AuthError.*HTTP 401"):
            tasks.check(numbers(1))

    assert (api.requests.count("login"), api.requests.count("check")) == (2, 2)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("empty", Fault(on="check", kind="rate_limited", delay_s=0.1)),
        ("dialog360", Fault(on="check", kind="rate_limited", delay_s=0.1)),
        ("errors", Fault(on="check", kind="status", status=503, body="")),
    ],
)
def test_8_a_rate_limit_of_any_form_is_retried(
    tasks: Any, api: Sandbox, behave: Callable[..., None], *, answer: str, fault: Fault
) -> None:
    behave(rate_answer=answer)
    api.fail(fault)

    assert tasks.check(numbers(1))["valid"] == 1
    assert api.requests.count("check") == 2


def test_10_an_initial_password_is_an_error_with_a_remedy(
    tasks: Any, api: Sandbox, connect_api: Callable[..., None], behave: Callable[..., None]
) -> None:
    log_in(api, connect_api, behave, must_change_password=True)

    with pytest.raises(AirflowFailException, match="password"):
        tasks.check(numbers(1))

    assert api.requests.count("check") == 0


@on_both
def test_13_two_spellings_of_a_brazilian_number_have_one_id_and_a_row_each(
    tasks: Any, api: Sandbox, store: Any
) -> None:
    old, new = "+558287654321", "+5582987654321"
    api.whatsapp.put(old, wa_id="558287654321")

    summary = tasks.check([old, new])

    assert results(store) == dict.fromkeys([old, new], ("valid", "558287654321"))
    assert (summary["asked"], summary["duplicates"]) == (2, 0)
    assert store.rows("SELECT count(DISTINCT wa_id) FROM wacontacts_number") == [(1,)]


@pytest.mark.usefixtures("impatient")
def test_14_a_response_timeout_releases_the_lease(
    tasks: Any, api: Sandbox, store: Any, connect_api: Callable[..., None]
) -> None:
    connect_api(extra={"timeout": 0.2})
    api.fail(Fault(on="check", kind="delay", delay_s=1.0))

    with pytest.raises(NetworkError, match="took too long"):
        tasks.check(numbers(1))

    assert store.rows("SELECT leased_until FROM wacontacts_number") == [(None,)]
    assert tasks.check(numbers(1))["valid"] == 1


def test_15_html_with_200_is_a_contract_error(tasks: Any, api: Sandbox, store: Any) -> None:
    api.fail(Fault(on="check", kind="html"))

    with pytest.raises(ContractError):
        tasks.check(numbers(1))

    assert store.rows("SELECT status, leased_until FROM wacontacts_number") == [(None, None)]


def test_a_banned_sender_fails_the_task_without_retries(tasks: Any, api: Sandbox, behave: Callable[..., None]) -> None:
    behave(ban_ratio=1.0, ban_grace=5)

    with pytest.raises(AirflowFailException, match="HTTP 403"):
        tasks.check(numbers(30), batch_size=5)

    assert sum(api.asked_numbers.values()) <= 4 * 5 + 5


def log_in(api: Sandbox, connect_api: Callable[..., None], behave: Callable[..., None], **behaviour: Any) -> None:
    """Have the tasks log in."""
    behave(auth="login", **behaviour)
    own = api.whatsapp.behaviour
    connect_api(extra={"auth": "login"}, login=own.username, password=own.password)
