"""Arguments of a wrong type: told of while the DAG is read, by their names, whichever task they are given to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.arguments import ValidatedArguments
from airflow_provider_wacontacts.operators.contact_files import ContactFilesToSqlOperator
from airflow_provider_wacontacts.operators.green_api import GreenApiContactsToSqlOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToSqlOperator
from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppAcknowledgeIdentityOperator,
    WhatsAppCheckContactsOperator,
    WhatsAppGetIdentityOperator,
    WhatsAppRevalidateContactsOperator,
)
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

WHOLE = ("7", 2.5, True, 0)
SPAN = (7, "7 days", timedelta(seconds=-1))
SHARE = ("0.5", 2, True)
FLAG = ("False", 1, None)
WORD = ("all", 1, None)
CHECKING = {"batch_size": (*WHOLE, 1001), "max_checks": WHOLE, "force_check": FLAG, "blocking": WORD, "on_budget": WORD}
WRONG: dict[Any, tuple[dict[str, Any], dict[str, tuple[Any, ...]]]] = {
    TurnContactsToSqlOperator: (
        {},
        {
            "window_length": (*SPAN, timedelta(0)),
            "lookback": SPAN,
            "settle": SPAN,
            "late_after": SPAN,
            "max_rejected": SHARE,
            "page_size": WHOLE,
            "cursor_per_page": FLAG,
        },
    ),
    GreenApiContactsToSqlOperator: (
        {},
        {
            "count": WHOLE,
            "group": ("False", 1),
            "empty_retries": WHOLE[:-1],
            "empty_wait": SPAN,
            "max_rejected": SHARE,
            "shrink_guard": SHARE,
            "shrink_confirmations": WHOLE,
            "accept_shrink": FLAG,
        },
    ),
    ContactFilesToSqlOperator: (
        {"path": "somewhere"},
        {"shrink_guard": SHARE, "shrink_confirmations": WHOLE, "accept_shrink": FLAG},
    ),
    WhatsAppCheckContactsOperator: ({"contacts": []}, {**CHECKING, "fresh_for": SPAN}),
    WhatsAppRevalidateContactsOperator: (
        {},
        {**CHECKING, "stale_after": SPAN, "limit": WHOLE, "statuses": ("valid", [], 5, None, ["well"])},
    ),
    WhatsAppGetIdentityOperator: ({}, {"limit": WHOLE}),
    WhatsAppAcknowledgeIdentityOperator: ({}, {"limit": WHOLE, "acknowledge_latest": FLAG}),
    WhatsAppContactsSensor: (
        {"check_id": "0" * 32},
        {"batch_size": (*WHOLE, 1001), "recheck_failed": (*WHOLE[:-1], -1), "max_failures": (*WHOLE[:-1], -1)},
    ),
}
CASES = [
    pytest.param(operator, {**needed, name: value}, name, id=f"{operator.__name__} {name}={value!r}")
    for operator, (needed, arguments) in WRONG.items()
    for name, values in arguments.items()
    for value in values
]


@pytest.mark.parametrize(("operator", "arguments", "name"), CASES)
def test_it_is_refused_by_its_name(operator: Any, arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        operator(task_id="task", **arguments)


@pytest.mark.parametrize(("operator", "arguments", "name"), CASES)
def test_a_mapped_task_s_constant_is_refused_by_its_name(operator: Any, arguments: dict[str, Any], name: str) -> None:
    if not issubclass(operator, ValidatedArguments):
        pytest.skip("validated when the task runs")
    with pytest.raises(ConfigError, match=name):
        operator.partial(task_id="task", **arguments)
