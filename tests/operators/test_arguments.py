"""Arguments of a wrong type are refused by name when the DAG is parsed, for every operator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.operators.green_api import (
    GreenApiContactsToObjectStorageOperator,
    GreenApiContactsToSqlOperator,
)
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator
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
CHECKING |= {"default_region": ("USA", "+1", 1)}
FIELDS = ("name", [], ["type"], 1)
SELECTED = ("name", [], [1], ["details..name"], ["name."], ["id.digits"])
FORMAT = ("csv", None)
TURN = {
    "window_length": (*SPAN, timedelta(0)),
    "lookback": SPAN,
    "settle": SPAN,
    "late_after": SPAN,
    "max_rejected": SHARE,
    "page_size": WHOLE,
    "cursor_per_page": FLAG,
    "ordering": ("descending", 1),
    "include_fields": SELECTED,
    "exclude_fields": (*SELECTED, ["updated_at"], ["details.name", "uuid"], ["number_id"]),
    "pseudonymize": FIELDS,
}
GREEN_API = {
    "count": WHOLE,
    "group": ("False", 1),
    "empty_retries": WHOLE[:-1],
    "empty_wait": SPAN,
    "on_empty": ("ignore", None),
    "max_rejected": SHARE,
    "include_fields": SELECTED,
    "exclude_fields": (*SELECTED, ["id"]),
    "pseudonymize": FIELDS,
}
DRIFT = {"on_drift": ("freeze", None, 1)}
SHRINK = {"shrink_guard": SHARE, "shrink_confirmations": WHOLE, "accept_shrink": FLAG}
WRONG: dict[Any, tuple[dict[str, Any], dict[str, tuple[Any, ...]]]] = {
    TurnContactsToSqlOperator: ({}, {**TURN, **DRIFT}),
    TurnContactsToObjectStorageOperator: ({"path": "somewhere"}, {**TURN, "file_format": FORMAT}),
    GreenApiContactsToSqlOperator: ({}, {**GREEN_API, **SHRINK, **DRIFT}),
    GreenApiContactsToObjectStorageOperator: ({"path": "somewhere"}, {**GREEN_API, "file_format": FORMAT}),
    ContactFilesToSqlOperator: ({"path": "somewhere"}, SHRINK),
    WhatsAppCheckContactsOperator: ({"contacts": []}, {**CHECKING, "fresh_for": SPAN}),
    WhatsAppRevalidateContactsOperator: (
        {},
        {**CHECKING, "stale_after": SPAN, "limit": WHOLE, "statuses": ("valid", [], 5, None, ["well"])},
    ),
    WhatsAppGetIdentityOperator: ({}, {"limit": WHOLE}),
    WhatsAppAcknowledgeIdentityOperator: ({}, {"limit": WHOLE, "acknowledge_latest": FLAG}),
    WhatsAppContactsSensor: (
        {"check_id": "0" * 32},
        {
            "batch_size": (*WHOLE, 1001),
            "recheck_failed": (*WHOLE[:-1], -1),
            "max_failures": (*WHOLE[:-1], -1),
            "deadline": (datetime(2030, 1, 1, tzinfo=UTC).replace(tzinfo=None),),
        },
    ),
}
CASES = [
    pytest.param(operator, {**needed, name: value}, name, id=f"{operator.__name__} {name}={value!r}")
    for operator, (needed, arguments) in WRONG.items()
    for name, values in arguments.items()
    for value in values
]


@pytest.mark.parametrize(("operator", "arguments", "name"), CASES)
def test_an_invalid_argument_is_refused_by_name(operator: Any, arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        operator(task_id="task", **arguments)


@pytest.mark.parametrize(("operator", "arguments", "name"), CASES)
def test_an_invalid_argument_of_a_mapped_task_is_refused_by_name(
    operator: Any, arguments: dict[str, Any], name: str
) -> None:
    with pytest.raises(ConfigError, match=name):
        operator.partial(task_id="task", **arguments)


@pytest.mark.parametrize("make", [TurnContactsToSqlOperator, TurnContactsToSqlOperator.partial])
def test_cursor_per_page_excludes_descending_rows(make: Any) -> None:
    with pytest.raises(ConfigError, match="cursor_per_page needs ascending rows"):
        make(task_id="task", cursor_per_page=True, ordering="desc")


@pytest.mark.parametrize("operator", [TurnContactsToSqlOperator, GreenApiContactsToSqlOperator])
def test_include_fields_and_exclude_fields_exclude_each_other(operator: Any) -> None:
    for make in (operator, operator.partial):
        with pytest.raises(ConfigError, match="`include_fields` and `exclude_fields` cannot be combined"):
            make(task_id="task", include_fields=["details"], exclude_fields=["name"])
