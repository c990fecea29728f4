"""The link of a task leads to its extraction, its check, or the coverage around its window."""

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import XCom

from airflow_provider_wacontacts.exceptions import DOCUMENTATION
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToSqlOperator
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.operators.whatsapp_business_identities import WhatsAppGetIdentityOperator
from airflow_provider_wacontacts.plugin import links
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor

SYNC = TurnContactsToSqlOperator(task_id="sync", start="2026-11-20T00:00:00Z", end="2026-11-21T00:00:00Z")
CHECK = WhatsAppCheckContactsOperator(task_id="check", contacts=["+12015550100"], store_conn_id="sales")
SENSOR = WhatsAppContactsSensor(task_id="wait", check_id="a" * 32)
FILES = ContactFilesToSqlOperator(task_id="load", path="/contacts", source="turn", account="main")
IDENTITIES = WhatsAppGetIdentityOperator(task_id="get", identity_ids=[1])


def link_of(monkeypatch, operator, summary):
    monkeypatch.setattr(XCom, "get_value", lambda *, ti_key, key: summary)
    (link,) = operator.operator_extra_links
    return link.get_link(operator, ti_key=SimpleNamespace())


@pytest.mark.parametrize(
    ("operator", "summary", "path"),
    [
        (SYNC, {"extraction_id": "e" * 32}, f"extractions/{'e' * 32}?store=wacontacts_store"),
        (SYNC, None, "coverage?store=wacontacts_store&day=2026-11-20"),
        (CHECK, {"check_id": "c" * 32}, f"checks/{'c' * 32}?store=sales"),
        (CHECK, None, "checks?store=sales"),
        (SENSOR, None, f"checks/{'a' * 32}?store=wacontacts_store"),
        (IDENTITIES, [1], "identities?store=wacontacts_store"),
        (FILES, None, "?store=wacontacts_store"),
    ],
)
def test_the_link_of_a_task_leads_to_its_result(monkeypatch, operator, summary, path):
    monkeypatch.setattr(links, "has_page", lambda: True)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/some/path")

    assert link_of(monkeypatch, operator, summary) == f"/some/path/wacontacts/{path}"


def test_without_a_page_the_link_leads_to_the_documentation(monkeypatch):
    monkeypatch.setattr(links, "has_page", lambda: False)

    assert link_of(monkeypatch, SYNC, None).startswith(DOCUMENTATION)
