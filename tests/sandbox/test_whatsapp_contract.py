"""The contract of the contacts node, call by call."""

import pytest

META = {"version": "v2.41.2", "api_status": "stable"}


def test_the_contracts_response_has_its_values(business):
    answer = business.check("16315551000", "+1 631 555 1001", "6315551002", "+163155588")

    assert answer.status_code == 200
    assert answer.json() == {
        "contacts": [
            {"wa_id": "16315551000", "input": "16315551000", "status": "valid"},
            {"wa_id": "16315551001", "input": "+1 631 555 1001", "status": "processing"},
            {"input": "6315551002", "status": "invalid"},
            {"input": "+163155588", "status": "failed"},
        ],
        "meta": META,
    }


def test_the_contracts_request_is_answered_number_by_number(business):
    numbers = ["16315551000", "+1 631 555 1001", "6315551002", "+1 (631) 555-1004", "1-631-555-1005"]
    entries = business.entries(*numbers, blocking="wait", force_check=True)

    assert [(entry["input"], entry["status"], entry.get("wa_id")) for entry in entries] == [
        ("16315551000", "valid", "16315551000"),
        ("+1 631 555 1001", "valid", "16315551001"),
        ("6315551002", "invalid", None),
        ("+1 (631) 555-1004", "valid", "16315551004"),
        ("1-631-555-1005", "valid", "16315551005"),
    ]


@pytest.mark.parametrize(
    ("given", "translated", "status"),
    [
        ("+1-631-555-1002", "+16315551002", "invalid"),
        ("6315551002", "+916315551002", "invalid"),
        ("1-631-555-1002", "+9116315551002", "invalid"),
        ("+1 (516) 283-7151", "+15162837151", "valid"),
        ("+54 9 11 5612-1008", "+5491156121008", "valid"),
    ],
)
def test_the_contracts_number_formats_under_an_indian_sender(business, sandbox, given, translated, status):
    sandbox.whatsapp.change(sender="+919876500000")

    assert business.statuses(given) == [status]
    assert sandbox.asked_numbers == {translated: 1}


def test_no_wait_is_the_default_and_leaves_numbers_processing(business):
    assert business.statuses("+16315551001") == ["processing"]
    assert business.statuses("+16315551001", blocking="no_wait", force_check=True) == ["processing"]
    assert business.statuses("+16315551001", blocking="wait") == ["valid"]


def test_the_callback_has_the_responses_format_and_the_pending_contacts_only(business, whatsapp):
    business.check("16315551000", "+1 631 555 1001")

    assert whatsapp.finish() == [
        b'{"contacts": [{"input": "+1 631 555 1001", "status": "valid", "wa_id": "16315551001"}]}'
    ]


def test_the_contracts_identity_is_an_object_with_milliseconds(business):
    answer = business.identity("16315551000")

    assert answer.status_code == 200
    assert answer.json() == {
        "contacts": {"hash": "UKD6Y/5SqDU=", "created_timestamp": 1600132094000, "acknowledged": True},
        "meta": META,
    }


def test_acknowledging_is_answered_with_null(business):
    answer = business.acknowledge("UKD6Y/5SqDU=")

    assert (answer.status_code, answer.content) == (200, b"null")


def test_turns_schemas_stay_turns(client, business):
    path = "/v1/contacts/schemas"

    assert client.send("GET", path, headers=client.headers).status_code == 200
    assert client.send("GET", path, headers=business.headers).status_code == 401
