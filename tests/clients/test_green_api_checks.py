"""``checkWhatsapp``: its requests, its responses of 2023 to 2026, and its errors."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from airflow_provider_wacontacts.clients.green_api import Instance
from airflow_provider_wacontacts.clients.green_api_checks import check_whatsapp
from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    BudgetExceededError,
    ContractError,
    NotEnabledError,
    RejectedError,
    TransientError,
)
from airflow_provider_wacontacts.sandbox import GreenApiBehaviour
from airflow_provider_wacontacts.sandbox.green_api.checks import NumberChecks

NUMBER = "+11001234567"
INSTANCE = Instance("1101000001", "example/token")
POSTMAN = json.loads(Path(__file__).with_name("postman_check_whatsapp.json").read_text())["examples"]
DATE = {"date": "Tue, 24 Nov 2026 12:00:00 GMT"}


def check(*responses, number=NUMBER, force=False):
    """Run a flow with responses; return the requests' bodies and the result, or raise the error."""
    flow = check_whatsapp(INSTANCE, number, force=force)
    bodies, request = [], next(flow)
    for response in responses:
        assert (request.method, request.path) == ("POST", "/waInstance1101000001/checkWhatsapp/example%2Ftoken")
        assert not request.idempotent
        bodies.append(json.loads(request.body))
        try:
            request = flow.send(response)
        except StopIteration as stop:
            return bodies, stop.value
    raise AssertionError("another request follows")


def answer(content, status=200):
    return Response(status, DATE, json.dumps(content).encode())


def refusal(message):
    return answer(
        {"statusCode": 400, "path": "/waInstance1101000001/checkWhatsapp/example/token", "message": message}, 400
    )


@pytest.mark.parametrize(
    ("content", "status", "wa_id", "lid", "from_cache"),
    [
        ({"existsWhatsapp": True}, "valid", None, None, None),
        ({"existsWhatsapp": True, "chatId": "11001234567@c.us"}, "valid", "11001234567", None, None),
        ({"existsWhatsapp": False, "chatId": ""}, "invalid", None, None, None),
        (
            {
                "existsWhatsapp": True,
                "chatId": "100000000000001@lid",
                "username": "",
                "phoneNumber": "11001234567@c.us",
                "fromCache": False,
            },
            *("valid", "11001234567", "100000000000001@lid", False),
        ),
        (
            {"existsWhatsapp": True, "chatId": "100000000000001@lid", "phoneNumber": "", "fromCache": True},
            *("valid", None, "100000000000001@lid", True),
        ),
    ],
)
def test_every_documented_response_is_read(content, status, wa_id, lid, from_cache):
    bodies, response = check(answer(content))
    result = response.results[NUMBER]

    assert bodies == [{"chatId": "11001234567@c.us"}]
    assert (result.status, result.wa_id, result.lid, response.from_cache) == (status, wa_id, lid, from_cache)
    assert response.date == datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize("example", POSTMAN, ids=lambda example: example["collection"])
def test_the_vendors_examples_are_read(example):
    response = check(Response(200, DATE, example["response"].encode()))[1]

    assert response.results[NUMBER].status == "valid"
    assert set(NumberChecks().check(example["request"].encode(), GreenApiBehaviour(check_form="2023"))) == set(
        json.loads(example["response"])
    )


def test_force_is_sent():
    assert check(answer({"existsWhatsapp": True}), force=True)[0] == [{"chatId": "11001234567@c.us", "force": True}]


@pytest.mark.parametrize(
    "message",
    [
        "Validation failed. Details: 'chatId' is not allowed",
        "Validation failed. Details: 'phoneNumber' is required",
        "Validation failed. Details: 'value' must have at least 1 key",
    ],
)
def test_an_instance_without_chat_ids_gets_a_phone_number(message):
    bodies, response = check(refusal(message), answer({"existsWhatsapp": True}))

    assert bodies[1] == {"phoneNumber": 11001234567}
    assert response.results[NUMBER].status == "valid"


def test_a_phone_number_below_11_digits_is_not_sent():
    bodies, response = check(refusal("'chatId' is not allowed"), number="+6596123456")

    assert (len(bodies), response.results["+6596123456"].status) == (1, "failed")


@pytest.mark.parametrize(
    "message", ["check phone number timeout limit exceeded", "bad phone number, valid from 11 to 16 digits"]
)
def test_an_error_about_one_number_is_its_result(message):
    assert check(refusal(message))[1].results[NUMBER].status == "failed"


@pytest.mark.parametrize(
    ("response", "kind", "told"),
    [
        (refusal("instance is starting or not authorized"), TransientError, "scan its QR code"),
        (refusal("Instance is deleted"), NotEnabledError, "deleted"),
        (refusal("Validation failed"), RejectedError, "re(fus|ject)e[sd]"),
        (Response(401), AuthError, "token"),
        (Response(403, {}, b"<html>"), NotEnabledError, "host"),
        (answer({"code": 401, "description": "Unauthorized"}), ContractError, "existsWhatsapp"),
        (answer({"existsWhatsapp": "true"}), ContractError, "existsWhatsapp"),
        (answer([]), ContractError, "existsWhatsapp"),
        (Response(200), ContractError, "existsWhatsapp"),
    ],
)
def test_errors_have_their_class_and_no_token(response, kind, told):
    with pytest.raises(kind, match=f"(?i){told}") as raised:
        check(response)
    assert "example" not in str(raised.value)
    assert NUMBER[1:] not in str(raised.value)


def next_reset():
    now = datetime.now(UTC)
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("date", [None, "Tue, 24 Nov 2015 12:00:00 GMT", "Sun, 24 Nov 2075 12:00:00 GMT"])
@pytest.mark.parametrize("quota", [{"used": "100", "total": 100}, {"used": 100, "total": 100}])
def test_a_used_up_quota_has_the_day_of_its_reset_with_any_server_date(quota, date):
    description = "You can only correspond with: 11001234567@c.us"
    content = {
        "invokeStatus": {"method": "checkWhatsapp", **quota},
        "correspondentsStatus": {"description": description},
    }

    response = replace(answer(content, 466), headers={"date": date or format_datetime(datetime.now(UTC))})
    with pytest.raises(BudgetExceededError, match=f"until {next_reset():%d %B %Y}") as raised:
        check(response)
    assert (raised.value.limit, raised.value.used) == (100, 100)
    assert raised.value.resets_at == next_reset()
    assert "11001234567" not in str(raised.value)
