"""What answers to checks look like where the contract leaves it open."""

import pytest
import requests

from airflow_provider_wacontacts.sandbox import Fault, WhatsAppBehaviour

VALID, SLOW, INVALID, FAILED = "+16315551000", "+16315551001", "+16315551002", "+163155588"
ALL = (VALID, SLOW, INVALID, FAILED)


def test_success_may_be_201(business, whatsapp):
    whatsapp.change(success_status=201)

    assert business.check(VALID).status_code == 201


def test_meta_tells_the_version_or_nothing(business, whatsapp):
    whatsapp.change(version="2.27.8")
    told = business.check(VALID).json()["meta"]
    whatsapp.change(meta=False)

    assert (told, list(business.check(VALID).json())) == ({"version": "2.27.8", "api_status": "stable"}, ["contacts"])


@pytest.mark.parametrize(
    ("version", "always_valid", "everybody"),
    [
        ("v2.41.2", None, False),
        ("2.42.9", None, False),
        ("v2.43.1", None, True),
        ("2.43", None, True),
        ("v3.0", None, True),
        ("unknown", None, False),
        ("v2.41.2", True, True),
        ("v2.45.1", False, False),
    ],
)
def test_from_v2_43_on_everybody_is_valid(version, always_valid, everybody):
    assert WhatsAppBehaviour(version=version, always_valid=always_valid).everybody_is_valid is everybody


def test_always_valid_still_answers_processing_and_failed(business, whatsapp):
    whatsapp.change(version="v2.45.1")
    first, second = business.entries(*ALL), business.entries(*ALL)

    assert [entry["status"] for entry in first] == ["valid", "processing", "valid", "failed"]
    assert [(entry["status"], entry.get("wa_id")) for entry in second] == [
        ("valid", "16315551000"),
        ("valid", "16315551001"),
        ("valid", "16315551002"),
        ("failed", None),
    ]


@pytest.mark.parametrize(
    ("statuses", "with_wa_id"),
    [
        (["valid"], [True, False, False, False]),
        (["valid", "processing"], [True, True, False, False]),
        (["valid", "processing", "invalid", "failed"], [True, True, True, True]),
        ([], [False, False, False, False]),
    ],
)
def test_any_status_may_come_with_a_wa_id(business, whatsapp, statuses, with_wa_id):
    whatsapp.change(wa_id_with=statuses)

    assert ["wa_id" in entry for entry in business.entries(*ALL)] == with_wa_id


def test_a_wa_id_may_keep_its_plus_sign(business, whatsapp):
    whatsapp.change(wa_id_plus=True)

    assert business.entries(VALID)[0]["wa_id"] == "+16315551000"


def test_processing_may_have_another_word(business, whatsapp):
    whatsapp.change(processing_word="pending")

    assert business.entries(SLOW) == [{"input": SLOW, "status": "pending", "wa_id": "16315551001"}]


def test_what_was_asked_may_come_as_phone(business, whatsapp):
    whatsapp.change(input_key="phone")

    assert business.entries(INVALID) == [{"phone": INVALID, "status": "invalid"}]


def test_entries_may_come_reversed(business, whatsapp):
    whatsapp.change(order="reversed")

    assert [entry["input"] for entry in business.entries(*ALL)] == [*reversed(ALL)]


def test_entries_may_come_shuffled_and_each_time_otherwise(business, whatsapp):
    whatsapp.change(order="shuffled")
    numbers = [f"+120155501{line:02d}" for line in range(50)]
    orders = [[entry["input"] for entry in business.entries(*numbers)] for _ in range(2)]

    assert [sorted(order) for order in orders] == [numbers, numbers]
    assert len({tuple(order) for order in [numbers, *orders]}) == 3


def test_a_number_given_twice_has_two_entries_or_one(business, whatsapp):
    twice = business.entries(VALID, VALID, "16315551000")
    whatsapp.change(duplicates="once")
    once = business.entries(VALID, VALID, "16315551000")

    assert [entry["input"] for entry in twice] == [VALID, VALID, "16315551000"]
    assert [entry["input"] for entry in once] == [VALID, "16315551000"]


def test_numbers_may_be_missing_from_their_first_answers(business, whatsapp):
    whatsapp.change(missing_times=2)
    whatsapp.put(INVALID, "invalid", missing=True)
    answers = [business.statuses(VALID, INVALID) for _ in range(3)]

    assert answers == [["valid"], ["valid"], ["valid", "invalid"]]


def test_a_missing_entry_may_be_null(business, whatsapp):
    whatsapp.change(missing_as="null")
    whatsapp.put(INVALID, "invalid", missing=True)

    assert business.entries(INVALID, VALID) == [None, {"input": VALID, "status": "valid", "wa_id": "16315551000"}]


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


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "body"),
    [
        (Fault(kind="html", status=502), 502, "text/html; charset=utf-8", b"<!doctype html>"),
        (Fault(kind="empty", status=503), 503, "application/json; charset=utf-8", b""),
        (Fault(kind="empty"), 200, "application/json; charset=utf-8", b""),
        (Fault(kind="html"), 200, "text/html; charset=utf-8", b"<!doctype html>"),
        (Fault(kind="body", body='{"contacts":{}}'), 200, "application/json; charset=utf-8", b'{"contacts":{}}'),
    ],
)
def test_answers_may_be_no_answers(business, fault, status, content_type, body):
    sandbox = business.sandbox
    sandbox.fail(fault)
    answer = business.check(VALID)

    assert (answer.status_code, answer.headers["content-type"]) == (status, content_type)
    assert answer.content.startswith(body)
    assert sandbox.asked_numbers == {}
    assert business.statuses(VALID) == ["valid"]


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
                    "details": "A fault that the sandbox was told to have.",
                }
            ],
            "meta": {"version": "v2.41.2", "api_status": "stable"},
        },
    )


def test_a_connection_may_be_dropped_or_cut(business, sandbox):
    sandbox.fail(Fault(on="check", kind="drop"), Fault(on="check", kind="cut"))
    with pytest.raises(requests.exceptions.ConnectionError):
        business.check(VALID)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        business.check(VALID)

    assert sandbox.asked_numbers == {VALID: 1}
    assert [sandbox.requests.count("check", outcome) for outcome in ("drop", "cut", 200)] == [1, 1, 0]


def test_faults_wait_for_their_kind_of_request(business, sandbox):
    sandbox.fail(Fault(on="acknowledge", kind="status"), Fault(on="login", kind="status", status=503))
    statuses = [
        business.check(VALID).status_code,
        business.identity().status_code,
        business.acknowledge("UKD6Y/5SqDU=").status_code,
        business.login().status_code,
        business.login().status_code,
    ]

    assert statuses == [200, 200, 500, 503, 200]
    assert {kind: sandbox.requests.count(kind) for kind in ("check", "identity", "acknowledge", "login", "other")} == {
        "check": 1,
        "identity": 1,
        "acknowledge": 1,
        "login": 2,
        "other": 0,
    }
