"""The flows of the contacts node: their requests, and the results of each response."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.clients.whatsapp_business import (
    MAX_INPUTS,
    acknowledge_identity,
    check_contacts,
    get_identity,
    probe_contacts,
)
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse, ContactResult
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    ConfigError,
    ContractError,
    NotEnabledError,
    RateLimitedError,
    RejectedError,
)
from airflow_provider_wacontacts.records.identities import Identity

VALID, PROCESSING, INVALID, FAILED = "16315551000", "+1 631 555 1001", "6315551002", "+163155588"
SENT_AS_JSON = {"accept": "application/json", "content-type": "application/json"}
THE_CONTRACTS = [
    {"wa_id": "16315551000", "input": VALID, "status": "valid"},
    {"wa_id": "16315551001", "input": PROCESSING, "status": "processing"},
    {"input": INVALID, "status": "invalid"},
    {"input": FAILED, "status": "failed"},
]


def drive(flow: Flow[Any], *answers: Response) -> tuple[Any, list[Request]]:
    """Run a flow with scripted responses; return its value and its requests."""
    asked: list[Request] = []
    script: Iterator[Response] = iter(answers)
    try:
        request = next(flow)
        while True:
            asked.append(request)
            request = flow.send(next(script))
    except StopIteration as end:
        return end.value, asked


def answer(body: object, status: int = 200, **headers: str) -> Response:
    return Response(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def check(*contacts: object, asked: list[str] | None = None, status: int = 200, **members: object) -> CheckResponse:
    inputs = asked or [VALID, PROCESSING, INVALID, FAILED]
    found, _ = drive(check_contacts(inputs), answer({"contacts": contacts} | members, status))
    return found


def test_a_check_is_sent_as_documented() -> None:
    inputs = ["16315551000", "+1 631 555 1001", "6315551002", "+1 (631) 555-1004", "1-631-555-1005"]
    _, asked = drive(check_contacts(inputs, blocking="wait", force_check=True), answer({"contacts": []}))

    (request,) = asked
    assert (request.operation, request.method, request.path, request.headers) == (
        "whatsapp_business.contacts.check",
        "POST",
        "/v1/contacts",
        SENT_AS_JSON,
    )
    assert json.loads(request.body or b"") == {"blocking": "wait", "contacts": inputs, "force_check": True}


def test_by_default_it_neither_waits_nor_forces() -> None:
    _, asked = drive(check_contacts([VALID]), answer({"contacts": []}))

    assert json.loads(asked[0].body or b"") == {"blocking": "no_wait", "contacts": [VALID], "force_check": False}


def test_the_documented_response_is_read_completely() -> None:
    assert check(*THE_CONTRACTS) == CheckResponse(
        {
            VALID: ContactResult(VALID, "valid", "16315551000"),
            PROCESSING: ContactResult(PROCESSING, "processing", "16315551001"),
            INVALID: ContactResult(INVALID, "invalid", None),
            FAILED: ContactResult(FAILED, "failed", None),
        },
        missing=[],
    )


def test_results_are_matched_by_input_in_any_order() -> None:
    in_order, shuffled = check(*THE_CONTRACTS), check(*reversed(THE_CONTRACTS))

    assert shuffled == in_order
    assert list(shuffled.results) == [VALID, PROCESSING, INVALID, FAILED]


@pytest.mark.parametrize("status", ["valid", "invalid", "failed", "processing"])
@pytest.mark.parametrize("wa_id", ["16315551000", None])
def test_a_wa_id_is_optional_with_any_status(status: str, wa_id: str | None) -> None:
    entry = {"input": VALID, "status": status} | ({"wa_id": wa_id} if wa_id else {})

    assert check(entry, asked=[VALID]).results == {VALID: ContactResult(VALID, status, wa_id)}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("+16315551000", "16315551000"),
        (16315551000, "16315551000"),
        ("16315551000@s.whatsapp.net", "16315551000"),
        ("16315551000:12@s.whatsapp.net", "16315551000"),
        ("", None),
        (None, None),
        ({}, None),
        (True, None),
    ],
)
def test_a_wa_id_is_digits(sent: object, read: str | None) -> None:
    assert check({"input": VALID, "status": "valid", "wa_id": sent}, asked=[VALID]).results[VALID].wa_id == read


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_is_a_success(status: int) -> None:
    assert check(*THE_CONTRACTS, status=status) == check(*THE_CONTRACTS)


def test_inputs_without_a_result_are_missing_and_errors_with_results_are_returned() -> None:
    dropped = {"code": 1009, "title": "Parameter value is not valid", "details": f"bad number {INVALID}"}

    assert check(THE_CONTRACTS[0], asked=[INVALID, VALID], errors=[dropped]) == CheckResponse(
        {VALID: ContactResult(VALID, "valid", "16315551000")},
        missing=[INVALID],
        error_codes=(1009,),
    )


def test_an_empty_list_of_errors_is_not_an_error() -> None:
    assert check(THE_CONTRACTS[0], asked=[VALID], errors=[]).error_codes == ()


@pytest.mark.parametrize(
    ("status", "word"),
    [("pending", "pending"), ("Valid!", "unknown"), ("", "unknown"), (7, "unknown"), (None, "unknown")],
)
def test_an_undocumented_status_is_marked_as_unknown(status: object, word: str) -> None:
    found = check({"input": VALID, "status": status, "wa_id": "16315551000"}, asked=[VALID])

    assert found.results == {VALID: ContactResult(VALID, word, "16315551000", known=False)}


@pytest.mark.parametrize(
    "entry", [{"phone": VALID, "status": "valid"}, {"input": "16315559999", "status": "valid"}, {}]
)
def test_results_without_an_input_are_counted_and_never_guessed(entry: object) -> None:
    found = check(entry, asked=[VALID])

    assert (found.results, found.missing, found.unmatched) == ({}, [VALID], 1)


@pytest.mark.parametrize("entry", [None, "16315551000", 7, []])
def test_entries_that_are_not_objects_are_skipped(entry: object) -> None:
    assert check(entry, *THE_CONTRACTS) == check(*THE_CONTRACTS)


def test_if_an_input_has_two_results_the_resolved_one_counts() -> None:
    valid, processing = ({"input": VALID, "status": status} for status in ("valid", "processing"))

    assert {
        check(*both, asked=[VALID]).results[VALID].status for both in ([valid, processing], [processing, valid])
    } == {"valid"}


def test_several_inputs_may_share_a_wa_id() -> None:
    spelled = ["+5582912345678", "+558212345678"]
    found = check(*({"input": text, "status": "valid", "wa_id": "558212345678"} for text in spelled), asked=spelled)

    assert [found.results[text].wa_id for text in spelled] == ["558212345678"] * 2


@pytest.mark.parametrize(
    ("text", "wa_id"),
    [
        ("+5582912345678", "558212345678"),
        ("+525512345678", "5215512345678"),
        ("+5491156121008", "5491156121008"),
    ],
)
def test_a_wa_id_is_never_computed(text: str, wa_id: str) -> None:
    assert check({"input": text, "status": "valid", "wa_id": wa_id}, asked=[text]).results[text].wa_id == wa_id


def test_the_client_version_and_the_servers_time_are_returned() -> None:
    body = {"contacts": [], "meta": {"api_status": "stable", "version": "v2.45.1"}}
    found, _ = drive(check_contacts([VALID]), answer(body, date="Wed, 14 Sep 2022 12:00:00 GMT"))

    assert (found.client_version, found.date) == ("v2.45.1", datetime(2022, 9, 14, 12, tzinfo=UTC))


def test_text_that_databases_refuse_does_not_break_a_response() -> None:
    body = b'{"contacts": [{"input": "16315551000", "status": "valid"}, {"input": "\\u0000\xff", "status": "valid"}]}'
    found, _ = drive(check_contacts([VALID]), answer(body))

    assert (found.results[VALID].status, found.unmatched) == ("valid", 1)


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b"null", b"[]", b"{}", b'{"contacts": {}}', b'{"contacts": null}', b"[" * 100_000]
)
def test_an_undocumented_success_is_an_error(body: bytes) -> None:
    with pytest.raises(ContractError, match=r"^whatsapp_business\.contacts\.check, HTTP 200: "):
        drive(check_contacts([VALID]), answer(body))


def test_a_success_with_only_errors_raises_their_error() -> None:
    with pytest.raises(RateLimitedError):
        drive(check_contacts([VALID]), answer({"errors": [{"code": 1015, "title": "Too many requests"}]}))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"inputs": []}, "inputs has 0 numbers. A request takes 1 to 1000."),
        ({"inputs": ["1"] * (MAX_INPUTS + 1)}, "inputs has 1001 numbers"),
        ({"inputs": "+16315551001"}, "inputs must be a list of strings"),
        ({"inputs": ["+16315551001", 16315551002]}, "inputs must be a list of strings"),
        ({"inputs": ["1"], "force_check": "False"}, "force_check is of type str. It must be True or False."),
        ({"inputs": ["1"], "blocking": "maybe"}, "blocking is 'maybe'. It must be 'no_wait' or 'wait'."),
    ],
)
def test_invalid_arguments_are_refused_before_a_request(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        next(check_contacts(**arguments))


def test_the_repr_of_a_response_has_no_personal_data() -> None:
    found = check(*THE_CONTRACTS, {"input": "other"}, asked=[VALID, "+16315550000"])

    assert "1631555" not in repr(found) + repr(found.results[VALID])


@pytest.mark.parametrize(
    "response",
    [
        answer({"contacts": []}),
        answer({}),
        answer({"errors": [{"code": 1008}]}, 400),
        answer({"errors": [{"code": 1009}]}, 400),
    ],
)
def test_a_check_without_numbers_tests_the_connection(response: Response) -> None:
    _, asked = drive(probe_contacts(), response)

    assert [json.loads(request.body or b"")["contacts"] for request in asked] == [[]]


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (answer(b"<html>"), ContractError),
        (answer({"hello": "world"}), ContractError),
        (answer({"contacts": [], "errors": [{"code": 1031}]}), NotEnabledError),
        (answer({"errors": [{"code": 1015}]}), RateLimitedError),
        (answer({"errors": [{"code": 1009}, {"code": 1031}]}, 400), NotEnabledError),
        (answer(b"<html>", 404), NotEnabledError),
        (answer({"errors": [{"code": 1005}]}, 401), AuthError),
        (
            answer({"meta": {"success": False, "httpCode": 400, "developerMessage": "account disabled"}}, 400),
            RejectedError,
        ),
    ],
)
def test_a_check_without_numbers_raises_the_connections_error(response: Response, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        drive(probe_contacts(), response)


THE_IDENTITY = {"hash": "UKD6Y/5SqDU=", "created_timestamp": 1600132094000, "acknowledged": True}
SINCE = datetime(2020, 9, 15, 1, 8, 14, tzinfo=UTC)


def test_an_identity_is_requested_and_read_as_documented() -> None:
    identity, asked = drive(get_identity("16315551000"), answer({"contacts": THE_IDENTITY}))

    assert identity == Identity("UKD6Y/5SqDU=", SINCE, acknowledged=True)
    assert asked == [
        Request(
            "whatsapp_business.identity.get", "GET", "/v1/contacts/16315551000/identity", {"accept": "application/json"}
        )
    ]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"acknowledged": "true"}, Identity("UKD6Y/5SqDU=", SINCE, acknowledged=True)),
        ({"acknowledged": "False"}, Identity("UKD6Y/5SqDU=", SINCE, acknowledged=False)),
        ({"acknowledged": None}, Identity("UKD6Y/5SqDU=", SINCE, acknowledged=False)),
        ({"created_timestamp": "1600132094000"}, Identity("UKD6Y/5SqDU=", SINCE, acknowledged=True)),
        ({"created_timestamp": 1600132094123}, Identity("UKD6Y/5SqDU=", SINCE.replace(microsecond=123_000), True)),
        ({"created_timestamp": None}, Identity("UKD6Y/5SqDU=", None, acknowledged=True)),
        ({"created_timestamp": 10**30}, Identity("UKD6Y/5SqDU=", None, acknowledged=True)),
        ({"created_timestamp": "nan"}, Identity("UKD6Y/5SqDU=", None, acknowledged=True)),
    ],
)
def test_an_identity_is_read_in_all_known_types(members: dict[str, Any], expected: Identity) -> None:
    identity, _ = drive(get_identity("16315551000"), answer({"contacts": THE_IDENTITY | members}))

    assert identity == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        {"contacts": [THE_IDENTITY]},
        {"contacts": {}},
        {"contacts": THE_IDENTITY | {"acknowledged": "maybe"}},
    ],
)
def test_an_invalid_identity_is_an_error(body: object) -> None:
    with pytest.raises(ContractError, match=r"^whatsapp_business\.identity\.get, HTTP 200: "):
        drive(get_identity("16315551000"), answer(body))


def test_an_acknowledgement_is_sent_as_documented() -> None:
    _, asked = drive(acknowledge_identity("+16315551000", "Rc/eg9RQ0JA="), answer(b"null"))

    assert asked == [
        Request(
            "whatsapp_business.identity.acknowledge",
            "PUT",
            "/v1/contacts/16315551000/identity",
            SENT_AS_JSON,
            b'{"hash":"Rc/eg9RQ0JA="}',
        )
    ]


@pytest.mark.parametrize("body", [b"null", b"{}", b"", b'{"meta": {}}', b'{"errors": []}'])
@pytest.mark.parametrize("status", [200, 201, 204])
def test_an_acknowledgement_accepts_any_body_of_a_success(body: bytes, status: int) -> None:
    assert drive(acknowledge_identity("16315551000", "Rc/eg9RQ0JA="), answer(body, status))[0] is None


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (answer({"errors": [{"code": 1006, "title": "Resource not found"}]}, 404), "no identity of this user"),
        (answer(b"", 404), "no identity of this user"),
        (answer({"errors": [{"code": 1006}]}), "no identity of this user"),
        (answer(b"", 409), "another hash"),
    ],
)
def test_a_refused_acknowledgement_names_the_reason(response: Response, told: str) -> None:
    with pytest.raises(RejectedError, match=told):
        drive(acknowledge_identity("16315551000", "Rc/eg9RQ0JA="), response)


def test_an_identity_of_an_unknown_user_is_an_error() -> None:
    with pytest.raises(RejectedError, match="no identity of this user"):
        drive(get_identity("16315551000"), answer({"errors": [{"code": 1006}]}, 404))


@pytest.mark.parametrize("flow", [get_identity(""), acknowledge_identity("nobody", "x"), acknowledge_identity("1", "")])
def test_an_identity_of_an_invalid_wa_id_is_not_requested(flow: Flow[Any]) -> None:
    with pytest.raises(ConfigError):
        next(flow)


def test_a_number_as_long_as_a_phone_number_is_not_an_error_code():
    said = answer({"contacts": [], "errors": [{"code": 12015551001, "title": "odd"}, {"code": 1013, "title": "known"}]})

    result, _ = drive(check_contacts(["+12015551001"]), said)
    assert result.error_codes == (None, 1013)
