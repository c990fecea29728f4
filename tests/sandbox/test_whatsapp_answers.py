"""What answers to checks look like where the contract leaves it open."""

import pytest

from airflow_provider_wacontacts.sandbox import Fault, WhatsAppBehaviour

VALID, SLOW, INVALID, FAILED = "+16315551000", "+16315551001", "+16315551002", "+163155588"


@pytest.mark.parametrize(
    ("version", "everybody"),
    [
        ("v2.41.2", False),
        ("2.42.9", False),
        ("v2.43.1", True),
        ("2.43", True),
        ("v3.0", True),
        ("unknown", False),
    ],
)
def test_from_v2_43_on_everybody_is_valid(version, everybody):
    assert WhatsAppBehaviour(version=version).everybody_is_valid is everybody


def test_numbers_may_be_missing_from_their_first_answers(business, whatsapp):
    whatsapp.change(missing_times=2)
    whatsapp.put(INVALID, "invalid", missing=True)
    answers = [business.statuses(VALID, INVALID) for _ in range(3)]

    assert answers == [["valid"], ["valid"], ["valid", "invalid"]]


@pytest.mark.parametrize(
    ("setting", "codes"), [("absent", None), ("empty", []), ("missing", [1013]), ("always", [1000])]
)
def test_errors_may_stand_beside_contacts(business, whatsapp, setting, codes):
    whatsapp.change(errors_beside=setting)
    whatsapp.put(INVALID, "invalid", missing=True)
    answer = business.check(VALID, INVALID)
    errors = answer.json().get("errors")

    assert (answer.status_code, len(answer.json()["contacts"])) == (200, 1)
    assert (errors if errors is None else [error["code"] for error in errors]) == codes


def test_an_error_has_a_code_of_its_own(business, sandbox):
    sandbox.fail(Fault(on="check", kind="status", status=500, code=1016))
    answer = business.check(VALID)

    assert (answer.status_code, answer.json()) == (
        500,
        {
            "errors": [
                {
                    "code": 1016,
                    "title": "System overloaded",
                    "details": "The sandbox was asked to fail.",
                }
            ],
            "meta": {"version": "v2.41.2", "api_status": "stable"},
        },
    )
