"""Who is let in, by what, and for how long."""

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.sandbox.logins import is_good_password, read_basic

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


@pytest.mark.parametrize(
    ("style", "written"),
    [
        ("space", "2022-09-20 08:00:00+00:00"),
        ("zulu", "2022-09-20T08:00:00.250Z"),
        ("iso", "2022-09-20T08:00:00.250000+00:00"),
        ("offset", "2022-09-20 13:30:00+05:30"),
        ("words", "in a week"),
    ],
)
def test_the_end_of_a_token_is_written_in_many_ways(business, sandbox, whatsapp, style, written):
    sandbox.clock.set("2022-09-13T08:00:00.250Z")
    whatsapp.change(expires_after=style)

    assert business.login().json()["users"][0]["expires_after"] == written


def test_the_end_of_a_token_may_be_missing_and_users_an_object(business, whatsapp):
    whatsapp.change(expires_after="missing", users_as="object", meta=False)

    assert business.login().json() == {"users": {"token": "example-token-1"}}


def test_a_token_ends_by_the_sandboxs_clock(business, sandbox, whatsapp):
    whatsapp.change(token_lifetime_s=3600)
    token = token_of(business.login())
    sandbox.clock.advance(timedelta(minutes=59, seconds=59))
    before = let_in(business, bearer(token))
    sandbox.clock.advance(1)
    answer = business.check(NUMBER)

    assert (before, answer.status_code) == (200, 401)
    assert answer.json()["errors"] == [{**STRANGER, "details": "Token expired."}]


def test_tokens_live_side_by_side_or_the_newest_alone(business, whatsapp):
    tokens = [token_of(business.login()) for _ in range(2)]
    together = [let_in(business, bearer(token)) for token in tokens]
    whatsapp.change(login_revokes=True)
    newest = token_of(business.login())

    assert together == [200, 200]
    assert [let_in(business, bearer(token)) for token in [*tokens, "example-bearer", newest]] == [401, 401, 401, 200]


def test_tokens_can_be_ended_before_their_time(business, whatsapp):
    token = token_of(business.login())
    whatsapp.revoke_tokens()

    assert [let_in(business, bearer(each)) for each in (token, "example-bearer")] == [401, 401]
    assert let_in(business, bearer(token_of(business.login()))) == 200


@pytest.mark.parametrize("given", [("example-user", "other"), ("other", "example-Password-1"), ("", "")])
def test_a_login_needs_the_name_and_the_password(business, given):
    answer = business.login(*given)

    assert (answer.status_code, answer.json()["errors"]) == (401, [STRANGER])


def test_a_login_without_any_is_refused(business):
    assert business.send("POST", "/v1/users/login").status_code == 401
    assert business.send("POST", "/v1/users/login", headers=bearer("example-bearer")).status_code == 401


def test_the_first_login_must_bring_a_new_password(business, whatsapp):
    whatsapp.change(must_change_password=True)
    first = business.login()
    changing = business.login(json={"new_password": "Other-Password-2"})
    old, new = business.login(), business.login(password="Other-Password-2")

    assert (first.status_code, first.json()["errors"][0]["code"]) == (400, 1024)
    assert first.json()["errors"][0]["title"] == "Password change required"
    assert [answer.status_code for answer in (changing, old, new)] == [200, 401, 200]


@pytest.mark.parametrize(
    ("password", "good"),
    [
        ("Example-1", True),
        ("Exam-1", False),
        ("Example-1" * 8, False),
        ("example-1", False),
        ("EXAMPLE-1", False),
        ("Example-x", False),
        ("Example11", False),
        (12345678, False),
        (None, False),
    ],
)
def test_a_good_password_has_four_kinds_of_characters(password, good):
    assert is_good_password(password) is good


def test_a_weak_new_password_is_refused(business, whatsapp):
    whatsapp.change(must_change_password=True)
    answer = business.login(json={"new_password": "weak"})

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 1009)
    assert business.login().status_code == 400


@pytest.mark.parametrize(
    ("auth", "by_login", "by_bearer", "by_key"),
    [
        ("any", 200, 200, 200),
        ("login", 200, 401, 401),
        ("bearer", None, 200, 401),
        ("d360", None, 401, 200),
    ],
)
def test_ways_in_can_be_closed(business, auth, by_login, by_bearer, by_key):
    business.sandbox.whatsapp.change(auth=auth)
    login = business.login()
    entered = let_in(business, bearer(token_of(login))) if login.status_code == 200 else None

    assert (entered, login.status_code) == (by_login, 404 if by_login is None else 200)
    assert let_in(business, bearer("example-bearer")) == by_bearer
    assert let_in(business, {"D360-API-KEY": "example-key"}) == by_key


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


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("Basic ZTpl", ("e", "e")),
        ("Basic ZTo=", ("e", "")),
        ("Basic ZQ==", None),
        ("Basic /w==", None),
        ("Basic not base64", None),
        ("Bearer ZTpl", None),
        ("", None),
    ],
)
def test_a_name_and_a_password_are_read_from_a_header(header, read):
    assert read_basic(header) == read


def test_a_token_ends_in_the_time_that_the_sandbox_tells(business, sandbox):
    sandbox.clock.set(datetime(2030, 1, 1, tzinfo=UTC))

    assert business.login().json()["users"][0]["expires_after"] == "2030-01-08 00:00:00+00:00"
