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


def test_a_body_must_be_told_to_be_json_unless_that_does_not_matter(business, whatsapp):
    body = b'{"contacts": ["+16315551000"]}'
    strict = business.send("POST", "/v1/contacts", data=body, headers=business.headers)
    whatsapp.change(strict_headers=False)
    lax = business.send("POST", "/v1/contacts", data=body, headers=business.headers)

    assert (strict.status_code, strict.json()["errors"][0]["code"], lax.status_code) == (400, 1025, 200)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/contacts", 404),
        ("GET", "/v1/contacts/", 404),
        ("GET", "/v1/users/login", 404),
        ("POST", "/v1/contacts/", 405),
        ("DELETE", "/v1/contacts/16315551000/identity", 405),
    ],
)
def test_other_paths_and_methods_are_none_of_its_business(client, method, path, status):
    assert client.send(method, path, headers=client.headers).status_code == status
