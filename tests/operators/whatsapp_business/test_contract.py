"""The documented request, response and number formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wacontacts.sandbox import Sandbox
from tests.clients.conftest import wire
from tests.clients.wire import Answer
from tests.operators.whatsapp_business.cases import SUMMARY

__all__ = ["wire"]

REQUEST = ["16315551000", "+1 631 555 1001", "6315551002", "+1 (631) 555-1004", "1-631-555-1005"]
SENT = ["+16315551000", "+16315551001", "+16315551002", "+16315551004", "+16315551005"]
#: The contract's statuses, of the numbers as they are sent; ``failed`` stands for a number that can be one.
RESPONSE = [
    {"wa_id": "16315551000", "input": "+16315551000", "status": "valid"},
    {"wa_id": "16315551001", "input": "+16315551001", "status": "processing"},
    {"input": "+16315551002", "status": "invalid"},
    {"input": "+16315551004", "status": "failed"},
    {"wa_id": "16315551005", "input": "+16315551005", "status": "valid"},
]
RESULTS = "SELECT input, number, wa_id, status, reason FROM wacontacts_check_result ORDER BY ordinal"


@pytest.mark.parametrize(("blocking", "force_check"), [("no_wait", False), ("wait", True)])
def test_the_request_and_the_response_of_the_contract(
    tasks: Any, wire: Any, connect_api: Callable[..., None], store: Any, *, blocking: str, force_check: bool
) -> None:
    connect_api(host=wire.url, password="example-token")
    wire.will(Answer(body=json.dumps({"contacts": RESPONSE}).encode()))

    # With wait, the operator waits for what is still processing.
    with pytest.raises(TaskDeferred) if blocking == "wait" else nullcontext():
        summary = tasks.check(REQUEST, blocking=blocking, force_check=force_check)

    (asked,) = wire.asked
    assert (asked.method, asked.path) == ("POST", "/v1/contacts")
    assert json.loads(asked.body) == {"blocking": blocking, "contacts": SENT, "force_check": force_check}
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["authorization"] == "Bearer example-token"
    assert store.rows(RESULTS) == [
        ("16315551000", "+16315551000", "16315551000", "valid", None),
        ("+1 631 555 1001", "+16315551001", "16315551001", "processing", None),
        ("6315551002", "+16315551002", None, "invalid", None),
        ("+1 (631) 555-1004", "+16315551004", None, "failed", None),
        ("1-631-555-1005", "+16315551005", "16315551005", "valid", None),
    ]
    if blocking == "no_wait":
        del summary["check_id"]
        assert summary == SUMMARY | {
            "state": "open",
            "given": 5,
            "asked": 5,
            "valid": 2,
            "processing": 1,
            "invalid": 1,
            "failed": 1,
            "budget_left": 995,
            "status_is_reliable": None,
        }


def test_a_number_that_is_too_short_is_never_sent(tasks: Any, api: Sandbox, store: Any) -> None:
    tasks.check(["+163155588"], max_rejected=1)

    assert api.requests.count() == 0
    assert store.rows(RESULTS) == [("+163155588", None, None, "rejected", "too short")]


def test_the_table_of_number_formats(
    tasks: Any, api: Sandbox, behave: Callable[..., None], connect_api: Callable[..., None], store: Any
) -> None:
    behave(sender="+919876500000")
    api.whatsapp.put("+9116315551002", "invalid")
    connect_api()

    tasks.check(["+1-631-555-1002", "6315551002", "1-631-555-1002", "+1 (516) 283-7151", "+54 9 11 5612-1008"])

    assert store.rows(RESULTS) == [
        ("+1-631-555-1002", "+16315551002", None, "invalid", None),
        ("6315551002", "+916315551002", None, "invalid", None),
        ("1-631-555-1002", "+9116315551002", None, "invalid", None),
        ("+1 (516) 283-7151", "+15162837151", "15162837151", "valid", None),
        ("+54 9 11 5612-1008", "+5491156121008", "5491156121008", "valid", None),
    ]
    assert api.asked_numbers == dict.fromkeys((number for _, number, *_ in store.rows(RESULTS)), 1)
