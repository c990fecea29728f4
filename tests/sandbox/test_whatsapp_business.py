"""The mock server of the WhatsApp Business API: the documented behavior, and its variants."""

from datetime import timedelta

import phonenumbers
import pytest

from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour, World
from airflow_provider_wacontacts.sandbox.whatsapp_business.numbers import translate, wa_id_of

QUICK, SLOW, INVALID, FAILED = "+16315551000", "+16315551001", "+16315551002", "+163155588"
USER = "16315551000"
HASH = "UKD6Y/5SqDU="
WEEK = 7 * 86_400
META = {"version": "v2.41.2", "api_status": "stable"}
DENIED = {"code": 1005, "title": "Access denied", "details": "Invalid credentials."}
JSON = {"Content-Type": "application/json"}
EXAMPLES = [
    (region, code, example)
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
    for region in regions
    if (example := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
]


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


def test_the_contracts_request_has_a_result_for_each_number(business):
    numbers = ["16315551000", "+1 631 555 1001", "6315551002", "+1 (631) 555-1004", "1-631-555-1005"]
    entries = business.entries(*numbers, blocking="wait", force_check=True)

    assert [(entry["input"], entry["status"], entry.get("wa_id")) for entry in entries] == [
        ("16315551000", "valid", "16315551000"),
        ("+1 631 555 1001", "valid", "16315551001"),
        ("6315551002", "invalid", None),
        ("+1 (631) 555-1004", "valid", "16315551004"),
        ("1-631-555-1005", "valid", "16315551005"),
    ]


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


def test_acknowledging_returns_null(business):
    answer = business.acknowledge("UKD6Y/5SqDU=")

    assert (answer.status_code, answer.content) == (200, b"null")


def test_turns_schemas_are_unchanged(client, business):
    path = "/v1/contacts/schemas"

    assert client.send("GET", path, headers=client.headers).status_code == 200
    assert client.send("GET", path, headers=business.headers).status_code == 401


def test_results_are_cached_for_seven_days(business, sandbox, whatsapp):
    business.check(QUICK)
    sandbox.clock.advance(WEEK - 1)
    business.check(QUICK)
    checked_within = whatsapp.checked
    sandbox.clock.advance(1)
    business.check(QUICK)

    assert (checked_within, whatsapp.checked, whatsapp.asked) == ({QUICK: 1}, {QUICK: 2}, {QUICK: 3})


def test_force_check_bypasses_the_cache(business, whatsapp):
    business.check(QUICK)
    whatsapp.put(QUICK, "invalid")

    assert business.statuses(QUICK, force_check=True) == ["invalid"]
    assert business.statuses(QUICK) == ["invalid"]
    assert whatsapp.checked == {QUICK: 2}


def test_processing_ends_after_some_responses(business, whatsapp):
    whatsapp.change(processing_answers=2)
    answers = [business.statuses(SLOW)[0] for _ in range(4)]

    assert answers == ["processing", "processing", "valid", "valid"]
    assert (whatsapp.asked, whatsapp.checked) == ({SLOW: 4}, {SLOW: 1})


def test_processing_ends_after_a_time(business, sandbox, whatsapp):
    whatsapp.change(processing_s=600)
    early = [business.statuses(SLOW)[0] for _ in range(3)]
    sandbox.clock.advance(599)
    early += business.statuses(SLOW)
    sandbox.clock.advance(1)

    assert (early, business.statuses(SLOW)) == (["processing"] * 4, ["valid"])


def test_with_resolved_by_callback_a_result_is_processing_until_delivery(business, whatsapp):
    whatsapp.change(resolved_by="callback")
    before = [business.statuses(SLOW)[0] for _ in range(3)]
    whatsapp.finish()

    assert (before, business.statuses(SLOW), whatsapp.checked) == (["processing"] * 3, ["valid"], {SLOW: 1})


def test_a_failed_check_is_repeated(business, whatsapp):
    whatsapp.change(failing_share=1.0, processing_share=0.0, on_whatsapp=1.0)
    answers = [business.statuses("+12015550101")[0] for _ in range(3)]

    assert answers == ["failed", "valid", "valid"]
    assert whatsapp.checked == {"+12015550101": 2}


def test_national_spellings_of_nearly_every_country_are_read():
    national = phonenumbers.PhoneNumberFormat.NATIONAL
    misread = {
        region
        for region, code, example in EXAMPLES
        if f"+{translate(phonenumbers.format_number(example, national), str(code))}"
        != phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    }

    assert misread == {"AR"}  # its mobiles have a 15 in the middle, which the contract does not tell of


@pytest.mark.parametrize(
    ("digits", "wa_id"),
    [
        ("5582900000000", "558200000000"),
        ("558200000000", "558200000000"),
        ("5511900000000", "5511900000000"),
        ("5528900000000", "5528900000000"),
        ("5582300000000", "5582300000000"),
        ("525500000000", "5215500000000"),
        ("5215500000000", "5215500000000"),
        ("541100000000", "5491100000000"),
        ("5491156121008", "5491156121008"),
        ("16315551000", "16315551000"),
    ],
)
def test_a_wa_id_differs_from_its_number_in_three_countries(digits, wa_id):
    assert wa_id_of(digits) == wa_id


@pytest.mark.parametrize(
    ("version", "all_valid"),
    [
        ("v2.41.2", False),
        ("2.42.9", False),
        ("v2.43.1", True),
        ("2.43", True),
        ("v3.0", True),
        ("unknown", False),
    ],
)
def test_from_v2_43_on_every_number_is_valid(version, all_valid):
    assert WhatsAppBehaviour(version=version).everybody_is_valid is all_valid


def test_numbers_may_be_missing_from_their_first_responses(business, whatsapp):
    whatsapp.change(missing_times=2)
    whatsapp.put(INVALID, "invalid", missing=True)
    answers = [business.statuses(QUICK, INVALID) for _ in range(3)]

    assert answers == [["valid"], ["valid"], ["valid", "invalid"]]


@pytest.fixture
def limited():
    """A sandbox whose real time stands still, so that one request more than the burst is too many."""
    behaviour = WhatsAppBehaviour(rate_limit=0.7)
    with Sandbox(World(), now="2022-09-13T00:00:00Z", whatsapp=behaviour, real_time=lambda: 1_000.0) as sandbox:
        yield sandbox


@pytest.fixture
def hasty(limited, business):
    business.sandbox = limited
    business.check(QUICK)
    return business


def test_a_request_over_the_rate_limit_is_429_with_errors(hasty, limited):
    limited.whatsapp.change(meta=False)
    answers = [hasty.check(QUICK), hasty.check(QUICK)]

    assert [answer.status_code for answer in answers] == [200, 429]
    assert "Retry-After" not in answers[1].headers
    assert answers[1].json() == {
        "errors": [{"code": 1015, "title": "Too many requests", "details": "Too many requests a second."}]
    }
    assert limited.asked_numbers == {QUICK: 2}


def test_a_batch_is_limited_to_a_thousand_numbers(business):
    numbers = [f"+1{area}55501{line:02d}" for area in range(201, 211) for line in range(100)]

    assert [business.check(*numbers).status_code, business.check(*numbers, QUICK).status_code] == [200, 400]


def test_more_checks_than_messages_lead_to_a_ban(business, whatsapp):
    whatsapp.change(ban_ratio=1.0, ban_grace=1)
    answers = [business.check(f"+120155501{line:02d}") for line in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 403]
    assert answers[2].json()["errors"] == [
        {"code": 1031, "title": "Sender account locked", "details": "The account of the sender is locked."}
    ]
    assert whatsapp.is_banned
    assert business.identity().status_code == 403


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 1025),
        (b"[]", 1025),
        (b"{", 1025),
        (b"{}", 1008),
        (b'{"contacts": []}', 1009),
        (b'{"contacts": "+16315551000"}', 1009),
        (b'{"contacts": [16315551000]}', 1009),
        (b'{"contacts": ["+16315551000"], "blocking": true}', 1009),
        (b'{"contacts": ["+16315551000"], "blocking": "later"}', 1009),
        (b'{"contacts": ["+16315551000"], "force_check": "true"}', 1009),
        (b'{"contacts": ["+16315551000"], "wait": true}', 1010),
    ],
)
def test_an_invalid_check_is_400(business, sandbox, body, code):
    answer = business.send("POST", "/v1/contacts", data=body, headers={**business.headers, **JSON})

    assert (answer.status_code, [error["code"] for error in answer.json()["errors"]]) == (400, [code])
    assert sandbox.asked_numbers == {}


def check_status(business, header):
    business.headers = header
    return business.check(QUICK).status_code


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def token_of(answer):
    return answer.json()["users"][0]["token"]


def test_a_login_gives_a_token_for_a_week(business):
    answer = business.login()
    token = token_of(answer)

    assert (answer.status_code, answer.json()) == (
        200,
        {
            "users": [{"token": token, "expires_after": "2022-09-20 08:00:00+00:00"}],
            "meta": {"version": "v2.41.2", "api_status": "stable"},
        },
    )
    assert check_status(business, bearer(token)) == 200


def test_a_token_ends_by_the_sandboxs_clock(business, sandbox):
    token = token_of(business.login())
    sandbox.clock.advance(timedelta(days=7, seconds=-1))
    before = check_status(business, bearer(token))
    sandbox.clock.advance(1)
    answer = business.check(QUICK)

    assert (before, answer.status_code) == (200, 401)
    assert answer.json()["errors"] == [{**DENIED, "details": "Token expired."}]


@pytest.mark.parametrize("given", [("example-user", "other"), ("other", "example-Password-1"), ("", "")])
def test_a_login_needs_the_name_and_the_password(business, given):
    answer = business.login(*given)

    assert (answer.status_code, answer.json()["errors"]) == (401, [DENIED])


def test_the_first_login_changes_the_password(business, whatsapp):
    whatsapp.change(must_change_password=True)
    first = business.login()
    changing = business.login(json={"new_password": "Other-Password-2"})
    old, new = business.login(), business.login(password="Other-Password-2")

    assert (first.status_code, first.json()["errors"][0]["code"]) == (400, 1024)
    assert first.json()["errors"][0]["title"] == "Password change required"
    assert [answer.status_code for answer in (changing, old, new)] == [200, 401, 200]


@pytest.mark.parametrize("header", [{}, {"Authorization": "example-bearer"}, {"Authorization": "Basic ZTpl"}])
def test_requests_without_credentials_are_401(business, sandbox, header):
    business.headers = header
    answers = [business.check(QUICK), business.identity(), business.acknowledge("UKD6Y/5SqDU=")]

    assert [(answer.status_code, answer.json()["errors"]) for answer in answers] == [(401, [DENIED])] * 3
    assert sandbox.asked_numbers == {}


def test_a_changed_identity_is_new_and_not_acknowledged(business, whatsapp):
    changed = whatsapp.change_identity(USER)

    assert changed.hash != HASH
    assert business.identity().json()["contacts"] == {
        "hash": changed.hash,
        "created_timestamp": 1663056000000,
        "acknowledged": False,
    }


def test_the_newest_hash_acknowledges(business, whatsapp):
    changed = whatsapp.change_identity(USER)
    answer = business.acknowledge(changed.hash)

    assert (answer.status_code, business.identity().json()["contacts"]["acknowledged"]) == (200, True)
    assert business.acknowledge(changed.hash).status_code == 200


@pytest.mark.parametrize(
    ("setting", "status", "expected", "acknowledged"),
    [
        ("refuse", 400, [1009], False),
        ("not_found", 404, [1006], False),
        ("conflict", 409, [1009], False),
        ("ignore", 200, [], False),
        ("accept", 200, [], True),
    ],
)
def test_the_response_to_a_stale_hash_is_configurable(business, setting, status, expected, acknowledged):
    whatsapp = business.sandbox.whatsapp
    whatsapp.change(stale_hash=setting)
    whatsapp.change_identity(USER)
    answer = business.acknowledge(HASH)
    codes = [error["code"] for error in (answer.json() or {}).get("errors", [])]

    assert (answer.status_code, codes) == (status, expected)
    assert business.identity().json()["contacts"]["acknowledged"] is acknowledged


@pytest.mark.parametrize("wa_id", ["16315551002", "163155588", "+16315551000", "nobody"])
def test_a_number_that_is_not_on_whatsapp_has_no_identity(business, wa_id):
    answers = [business.identity(wa_id), business.acknowledge(HASH, wa_id)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["errors"] == [{"code": 1006, "title": "Resource not found", "details": "unknown contact"}]


def test_a_changed_identity_sends_a_system_message(whatsapp):
    changed = whatsapp.change_identity(USER)
    (callback,) = whatsapp.callbacks.log

    assert callback.to_json()["body"] == {
        "messages": [
            {
                "from": USER,
                "id": "example-message-1",
                "system": {"identity": changed.hash, "type": "user_identity_changed", "user": USER},
                "timestamp": "1663056000",
                "type": "system",
            }
        ]
    }
