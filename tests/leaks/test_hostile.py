"""
Each hostile body goes through each operator: its other values are loaded, or all of it is refused.

Turn.io's pages are tested in ``tests/faults/test_wire.py``, without the search for leaks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from airflow_provider_wacontacts.sandbox import Fault
from airflow_provider_wacontacts.sandbox.core.hostile import HOSTILE
from tests.leaks import green_api, green_api_checks, whatsapp_checks, whatsapp_identities, whatsapp_waits
from tests.leaks.capture import Capture, Case
from tests.leaks.setup import Setup
from tests.leaks.test_leaks import search

NOT_JSON = dict.fromkeys(("nested body", "byte order mark", "trailing text"), "ContractError")
#: One row of forty is rejected, which is more than the default allows.
UNSTORABLE = dict.fromkeys(
    ("huge exponent", "tiny exponent", "many decimals", "not a number", "infinity", "nested row"), "LandingError"
)


class Reader(NamedTuple):
    """
    An operator, and the response in which it meets a hostile body.

    :param arrives: what is shown of a run that is not refused: the summary, or the error.
    :param outcomes: of the kinds that do not succeed.
    """

    subject: type
    on: Any
    arrives: str
    outcomes: dict[str, str]


READERS = {
    "green_api to SQL": Reader(green_api.GreenApiToSql, "contacts", "40", NOT_JSON | UNSTORABLE),
    "green_api to files": Reader(green_api.GreenApiToFiles, "contacts", "40", NOT_JSON | UNSTORABLE),
    "green_api check": Reader(green_api_checks.GreenApiChecks, "whatsapp", "'valid': 3, 'invalid': 1", NOT_JSON),
    "check": Reader(whatsapp_checks.CheckNumbers, "check", "'valid': 20,", NOT_JSON),
    "get identity": Reader(whatsapp_identities.GetIdentities, "identity", "'unchanged': 2,", NOT_JSON),
    # They request again what was not understood.
    "wait in worker": Reader(whatsapp_waits.WaitInWorker, "check", "'valid': 3,", {}),
    "wait in triggerer": Reader(whatsapp_waits.WaitInTriggerer, "check", "'valid': 3,", {}),
}


@pytest.mark.usefixtures("impatient", "hasty")
@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", READERS)
def test_a_hostile_value_affects_no_other_value_and_is_not_quoted(
    sqlite: Setup, capture: Capture, name: str, hostile: str
) -> None:
    subject, on, arrives, outcomes = READERS[name]
    expected = outcomes.get(hostile, "success")
    case = Case(hostile, [Fault(kind="hostile", on=on, hostile=hostile)], outcome=expected)

    outcome, leaks = search(sqlite, capture, subject, case)

    assert (outcome[0], leaks) == (expected, {})
    shown = capture.places()
    assert expected == "ContractError" or arrives in shown.get("summary", "") + shown.get("errors", "")
