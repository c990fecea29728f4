"""Who is let in, by what, and for how long."""

from datetime import timedelta

import pytest

NUMBER = "+16315551000"
STRANGER = {"code": 1005, "title": "Access denied", "details": "Invalid credentials."}


def let_in(business, header):
    business.headers = header
    return business.check(NUMBER).status_code


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
    assert let_in(business, bearer(token)) == 200


def test_a_token_ends_by_the_sandboxs_clock(business, sandbox):
    token = token_of(business.login())
    sandbox.clock.advance(timedelta(days=7, seconds=-1))
    before = let_in(business, bearer(token))
    sandbox.clock.advance(1)
    answer = business.check(NUMBER)

    assert (before, answer.status_code) == (200, 401)
    assert answer.json()["errors"] == [{**STRANGER, "details": "Token expired."}]


@pytest.mark.parametrize("given", [("example-user", "other"), ("other", "example-Password-1"), ("", "")])
def test_a_login_needs_the_name_and_the_password(business, given):
    answer = business.login(*given)

    assert (answer.status_code, answer.json()["errors"]) == (401, [STRANGER])


def test_the_first_login_must_bring_a_new_password(business, whatsapp):
    whatsapp.change(must_change_password=True)
    first = business.login()
    changing = business.login(json={"new_password": "Other-Password-2"})
    old, new = business.login(), business.login(password="Other-Password-2")

    assert (first.status_code, first.json()["errors"][0]["code"]) == (400, 1024)
    assert first.json()["errors"][0]["title"] == "Password change required"
    assert [answer.status_code for answer in (changing, old, new)] == [200, 401, 200]


def test_a_weak_new_password_is_refused(business, whatsapp):
    whatsapp.change(must_change_password=True)
    answer = business.login(json={"new_password": "weak"})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 1009)
    assert business.login().status_code == 400


def test_a_wrong_key_is_answered_in_360dialogs_form(business):
    business.headers = {"D360-API-KEY": "other-key"}
    answer = business.check(NUMBER)

    assert answer.status_code == 401
    assert answer.json() == {
        "meta": {"success": False, "httpCode": 404, "developerMessage": "The API key is missing or not known."}
    }


@pytest.mark.parametrize("header", [{}, {"Authorization": "example-bearer"}, {"Authorization": "Basic ZTpl"}])
def test_strangers_get_neither_checks_nor_identities(business, sandbox, header):
    business.headers = header
    answers = [business.check(NUMBER), business.identity(), business.acknowledge("UKD6Y/5SqDU=")]

    assert [(answer.status_code, answer.json()["errors"]) for answer in answers] == [(401, [STRANGER])] * 3
    assert sandbox.asked_numbers == {}
