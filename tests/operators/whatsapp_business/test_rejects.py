"""Invalid inputs: a warning with counts by reason, or a failed task before the first request."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.sandbox import Fault, Sandbox
from tests.operators.whatsapp_business.cases import numbers, on_both

SPENT = "SELECT coalesce(sum(spent), 0) FROM wacontacts_budget"


@on_both
def test_rejected_inputs_are_counted_by_reason_in_a_warning(tasks: Any, logged: Callable[[], str]) -> None:
    summary = tasks.check([*numbers(4), "12", "13", "+12125550001x", "name"], max_rejected=0.5)

    said = logged()
    assert summary["rejected"] == 4
    assert re.search(r"warning.*4 of 8 inputs were rejected: 2 ", said, re.IGNORECASE)
    assert "2125550001" not in said


@on_both
def test_more_rejected_inputs_than_allowed_fail_the_check_before_a_request(
    tasks: Any, api: Sandbox, store: Any
) -> None:
    with pytest.raises(AirflowFailException, match=r"2 of 3 inputs were rejected: .*max_rejected \(50%\)"):
        tasks.check(["abc", "12", *numbers(1)])

    assert api.requests.count() == 0
    assert store.rows("SELECT state FROM wacontacts_check") == [("failed",)]
    assert store.rows(SPENT) == [(0,)]


def test_without_a_sender_number_the_error_of_local_numbers_names_the_setting(
    tasks: Any, connect_api: Callable[..., None]
) -> None:
    connect_api(extra={"sender": "main"})

    with pytest.raises(AirflowFailException, match=r"Set extra .sender. of connection .* or set default_region"):
        tasks.check(["212 555 0001", "212 555 0002"])


@on_both
def test_a_failed_login_does_not_count_against_the_budget(tasks: Any, api: Sandbox, store: Any) -> None:
    api.fail(Fault(kind="status", status=401, every=1))

    with pytest.raises(AirflowFailException):
        tasks.check(numbers(3))

    assert store.rows(SPENT) == [(0,)]
