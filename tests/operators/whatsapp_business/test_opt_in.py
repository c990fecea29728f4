"""``require_opt_in``: only numbers of contacts that have opted in are checked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.operators.green_api import GreenApiRevalidateContactsOperator
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppRevalidateContactsOperator
from airflow_provider_wacontacts.sandbox import Sandbox
from tests.operators.whatsapp_business.cases import SELECT, numbers, on_both
from tests.operators.whatsapp_business.conftest import Tasks

REASONS = "SELECT contact_key, status, reason FROM wacontacts_check_result ORDER BY 1"


@on_both
def test_null_and_false_are_not_checked(
    tasks: Tasks, api: Sandbox, crm: Callable[..., Any], store: Any, logged: Callable[[], str]
) -> None:
    yes, no, unknown, both = numbers(4)
    crm(("a", yes, True), ("b", no, False), ("c", unknown, None), ("d", both, None), ("e", both, True))

    summary = tasks.check(contacts_sql=SELECT, contacts_conn_id="crm", require_opt_in=True)

    assert store.rows(REASONS) == [
        ("a", "valid", None),
        ("b", "not_asked", "opted out"),
        *((key, "not_asked", "no opt-in") for key in "cde"),
    ]
    assert summary.items() >= {"given": 5, "asked": 1, "not_asked": 3, "duplicates": 1}.items()
    assert api.whatsapp.checked == {yes: 1}
    assert "3 no opt-in, 1 opted out" in logged()


def test_a_missing_column_and_plain_numbers_are_not_checked(
    tasks: Tasks, api: Sandbox, crm: Callable[..., Any]
) -> None:
    crm(("a", numbers(1)[0], True))
    query = "SELECT phone AS number FROM people"

    by_query = tasks.check(contacts_sql=query, contacts_conn_id="crm", require_opt_in=True)
    by_list = tasks.check(numbers(2), run_id="list", require_opt_in=True)

    assert (by_query["not_asked"], by_list["not_asked"], api.whatsapp.calls) == (1, 2, [])


def test_a_number_without_opt_in_is_not_revalidated(tasks: Tasks, api: Sandbox, crm: Callable[..., Any]) -> None:
    yes, unknown = numbers(2)
    now = api.clock.now()
    api.clock.set(now - timedelta(days=8))
    tasks.check([yes, unknown])
    api.clock.set(now)
    crm(("a", yes, True), ("b", unknown, None))

    wanted = tasks.revalidate(contacts_sql=SELECT, contacts_conn_id="crm", require_opt_in=True, dry_run=True)
    tasks.check(contacts_sql=SELECT, contacts_conn_id="crm", require_opt_in=True, run_id="later", max_checks=1)
    rest = tasks.revalidate(run_id="all", stale_after=timedelta(0))

    assert (wanted["to_ask"], rest["given"]) == (1, 1)


@pytest.mark.parametrize("operator", [WhatsAppRevalidateContactsOperator, GreenApiRevalidateContactsOperator])
def test_require_opt_in_of_a_revalidation_needs_contacts_sql(operator: Any) -> None:
    with pytest.raises(ConfigError, match="require_opt_in needs contacts_sql"):
        operator(task_id="revalidate", require_opt_in=True)
