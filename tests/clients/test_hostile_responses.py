"""Extreme bodies and dates do not hide the meaning of a response's status."""

from datetime import UTC, datetime

import pytest

from airflow_provider_wacontacts.clients.green_api import Instance, get_contacts
from airflow_provider_wacontacts.clients.green_api_checks import check_whatsapp
from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.clients.turn import ExportOptions, create_cursor, get_schemas
from airflow_provider_wacontacts.clients.whatsapp_business import check_contacts
from airflow_provider_wacontacts.exceptions import BudgetExceededError, ContractError, NotEnabledError

START, END = datetime(2022, 9, 12, tzinfo=UTC), datetime(2022, 9, 13, tzinfo=UTC)
NUMBER = "+16315551000"
INSTANCE = Instance("1101000001", "example-token")
#: Nesting beyond Python's recursion limit.
DEEP = b"[" * 2000 + b"]" * 2000
DEEP_OBJECT = b'{"a":' * 2000 + b"1" + b"}" * 2000
FLOWS = {
    "turn cursor": lambda: create_cursor(START, END, ExportOptions()),
    "turn schemas": get_schemas,
    "green api contacts": lambda: get_contacts(INSTANCE),
    "green api check": lambda: check_whatsapp(INSTANCE, NUMBER),
    "whatsapp check": lambda: check_contacts([NUMBER]),
}


@pytest.mark.parametrize("body", [DEEP, DEEP_OBJECT, b'{"errors": %s}' % DEEP, b'{"message": %s}' % DEEP])
@pytest.mark.parametrize(
    ("flow", "status", "kind"),
    [
        (FLOWS["turn cursor"], 200, ContractError),
        (FLOWS["turn schemas"], 200, ContractError),
        (FLOWS["turn cursor"], 403, NotEnabledError),
        (FLOWS["green api contacts"], 403, NotEnabledError),
        (FLOWS["green api check"], 466, BudgetExceededError),
        (FLOWS["whatsapp check"], 403, NotEnabledError),
    ],
    ids=["cursor", "schemas", "turn", "green api", "green api quota", "whatsapp"],
)
@pytest.mark.parametrize("date", ["", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -1400"])
def test_no_body_or_date_hides_the_meaning_of_the_status(flow, status, kind, body, date):
    running = flow()
    next(running)
    with pytest.raises(kind):
        running.send(Response(status, {"date": date}, body))
