"""Logins: the request, the formats of a token's expiry, and renewal."""

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest

from airflow_provider_wacontacts.clients.auth import Token, TokenCache
from airflow_provider_wacontacts.clients.http import Request
from airflow_provider_wacontacts.clients.whatsapp_business_login import login
from airflow_provider_wacontacts.exceptions import AuthError, ContractError
from tests.clients.test_whatsapp_business import answer, drive

NOW = datetime(2022, 9, 14, 12, tzinfo=UTC)
AT = datetime(2018, 3, 1, 15, 29, 26, tzinfo=UTC)


def granted(expires_after="2018-03-01 15:29:26+00:00", **headers):
    user = {"token": "example-token", "expires_after": expires_after}
    return answer({"users": [user], "meta": {"version": "v2.45.1", "api_status": "stable"}}, **headers)


def test_a_login_sends_name_and_password_by_http_basic_and_no_body():
    token, asked = drive(login("somebody", "söme:thing"), granted(date="Wed, 14 Sep 2022 12:00:00 GMT"))

    assert token == Token("example-token", AT, NOW)
    basic = base64.b64encode("somebody:söme:thing".encode()).decode()
    assert asked == [
        Request("whatsapp_business.login", "POST", "/v1/users/login", {"authorization": f"Basic {basic}"}, None)
    ]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2018-03-01 15:29:26+00:00", AT),
        ("2018-03-01T15:29:26.000Z", AT),
        ("2018-03-01T15:29:26+00:00", AT),
        ("2018-03-01T15:29:26.123456+00:00", AT.replace(microsecond=123456)),
        ("2018-03-01 20:59:26+05:30", AT),
        ("2018-03-01 15:29:26", AT),
        ("in a week", None),
        ("", None),
        (1519918166, None),
        (None, None),
    ],
)
def test_every_format_of_an_expiry_is_read_and_an_unreadable_one_is_ignored(text, moment):
    token, _ = drive(login("a", "b"), granted(text))

    assert token == Token("example-token", moment, None)


@pytest.mark.parametrize("status", [200, 201])
def test_users_may_be_an_object(status):
    token, _ = drive(login("a", "b"), answer({"users": {"token": "example-token"}}, status))

    assert token == Token("example-token")


@pytest.mark.parametrize("status", [200, 400, 401])
def test_a_password_that_must_be_changed_is_an_auth_error_with_a_remedy(status):
    changed = {"errors": [{"code": 1024, "title": "Password change required"}]}

    with pytest.raises(AuthError, match=r"password must be changed before it can be used\. Log in once manually"):
        drive(login("admin", "b"), answer(changed, status))


def test_a_refused_login_is_an_auth_error():
    denied = {"errors": [{"code": 1005, "title": "Access denied", "details": "Invalid credentials."}]}

    with pytest.raises(AuthError, match=r"^whatsapp_business\.login, HTTP 401: The server denied access"):
        drive(login("a", "b"), answer(denied, 401))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", {}, {"users": []}, {"users": [{}]}, {"users": [{"token": ""}]}, {"users": [{"token": "a\r\nb"}]}],
)
def test_a_success_without_a_token_is_an_error(body):
    with pytest.raises(ContractError):
        drive(login("a", "b"), answer(body))


def test_reprs_of_tokens_and_logins_hide_secrets():
    _, asked = drive(login("somebody", "something"), granted())

    assert "example-token" not in repr(Token("example-token"))
    assert "Basic" not in repr(asked)


def kept(**given):
    token = TokenCache()
    token.keep(Token("example-token", **given), NOW)
    return token


def lasts(token):
    """Return how long a token is used: until the first time at which it is not current."""
    steps = [timedelta(seconds=seconds) for seconds in range(0, 8 * 86_400, 15)]
    return next(step for step in steps if token.current(NOW + step) is None)


def test_before_the_first_login_there_is_no_token():
    assert TokenCache().current(NOW) is None


@pytest.mark.parametrize(
    ("life", "used"),
    [
        (timedelta(days=7), timedelta(days=7, minutes=-5)),
        (timedelta(hours=1), timedelta(minutes=55)),
        (timedelta(minutes=10), timedelta(minutes=9)),
    ],
)
def test_a_token_is_renewed_before_it_expires(life, used):
    assert lasts(kept(expires_at=NOW + life, server_time=NOW)) == used
    assert lasts(kept(expires_at=NOW + life)) == used


def test_the_servers_clock_may_differ():
    ahead = NOW + timedelta(days=400)

    assert lasts(kept(expires_at=ahead + timedelta(hours=1), server_time=ahead)) == timedelta(minutes=55)


@pytest.mark.parametrize("given", [{}, {"expires_at": NOW - timedelta(days=1)}])
def test_a_token_with_an_implausible_expiry_is_used_for_six_days(given):
    assert lasts(kept(**given)) == timedelta(days=6, minutes=-5)


def test_an_expiry_may_be_in_any_time_zone():
    end = (NOW + timedelta(hours=1)).astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert lasts(kept(expires_at=end)) == timedelta(minutes=55)


def test_the_newest_token_is_used():
    token = kept()

    assert token.keep(Token("next-example-token"), NOW) == "next-example-token"
    assert token.current(NOW) == "next-example-token"


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(hours=-5)])
def test_a_token_that_never_expires_is_used_for_a_year(offset):
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(offset))

    token = kept(expires_at=end, server_time=NOW - timedelta(days=900))

    lasting = timedelta(days=365) - timedelta(minutes=5)
    assert token.current(NOW + lasting - timedelta(seconds=1)) == "example-token"
    assert token.current(NOW + lasting) is None
