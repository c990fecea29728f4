"""Bodies and headers that are not what the contract says."""

import pytest

JSON = {"Content-Type": "application/json"}


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
def test_a_check_that_cannot_be_read_is_400(business, sandbox, body, code):
    answer = business.send("POST", "/v1/contacts", data=body, headers={**business.headers, **JSON})

    assert (answer.status_code, [error["code"] for error in answer.json()["errors"]]) == (400, [code])
    assert sandbox.asked_numbers == {}
