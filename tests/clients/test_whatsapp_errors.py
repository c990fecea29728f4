"""Errors of the WhatsApp Business API: retry, log in again, or give up."""

import json

import pytest

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.clients.whatsapp_business_errors import error_from_response, normalize_status
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    NotEnabledError,
    RateLimitedError,
    RejectedError,
    ServerError,
    TransientError,
)

CHECK = "whatsapp_business.contacts.check"
FOR_GOOD = (1001, 1002, 1003, 1004, 1006, 1007, 1008, 1009, 1010, 1013, 1021, 1022, 1025, 1026, 1028, 2048)
CLASSES = (
    dict.fromkeys((429, 1015), RateLimitedError)
    | dict.fromkeys((1000, 1011, 1014, 1016, 1017, 1018, 1023), ServerError)
    | dict.fromkeys((1005, 1024), AuthError)
    | {1031: NotEnabledError}
    | dict.fromkeys(FOR_GOOD, RejectedError)
)


def failed(status, *errors, **members):
    body = {"errors": list(errors)} | members if errors else members
    return Response(status, {}, json.dumps(body).encode() if body else b"")


@pytest.mark.parametrize(("code", "kind"), CLASSES.items())
def test_a_code_has_its_class(code, kind):
    assert type(error_from_response(failed(400, {"code": code, "title": "Some title"}), CHECK)) is kind


@pytest.mark.parametrize("code", [code for code, kind in CLASSES.items() if issubclass(kind, TransientError)])
def test_transient_errors_are_retried_with_any_status(code):
    assert {normalize_status(failed(status, {"code": code})).status for status in (400, 403, 404, 422)} <= {
        429,
        500,
        503,
    }
    assert normalize_status(failed(500, {"code": code})).status == 500


@pytest.mark.parametrize("code", [code for code, kind in CLASSES.items() if not issubclass(kind, TransientError)])
def test_permanent_errors_are_not_retried_with_any_status(code):
    assert {normalize_status(failed(status, {"code": code})).status for status in (500, 502, 503)} == {400}
    assert normalize_status(failed(404, {"code": code})).status == 404


@pytest.mark.parametrize("status", [401, 429])
def test_an_unambiguous_status_is_unchanged(status):
    assert {normalize_status(failed(status, {"code": code})).status for code in CLASSES} == {status}


@pytest.mark.parametrize("status", [200, 201, 302, 400, 403, 404, 500, 502, 503])
@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b'{"errors": [{"code": 480}]}'])
def test_without_a_known_code_the_status_counts(status, body):
    response = Response(status, {}, body)

    assert normalize_status(response) is response


def test_if_there_are_several_errors_the_permanent_one_counts():
    response = failed(500, {"code": 1014}, {"code": 1024})

    assert normalize_status(response).status == 400
    assert isinstance(error_from_response(response, CHECK), AuthError)


def test_an_internal_error_about_an_existing_user_is_permanent():
    response = failed(
        400, {"code": 1014, "title": "Internal error", "details": "Unable to create user. Already exist?"}
    )

    assert normalize_status(response) is response
    assert isinstance(error_from_response(response, CHECK), RejectedError)


def of_360dialog(message, status=400):
    return failed(status, meta={"success": False, "httpCode": status, "developerMessage": message})


@pytest.mark.parametrize("message", ["You exceeded the limit of requests", "Rate limit exceeded", "rate limit hit"])
def test_360dialogs_rate_limit_with_400_is_a_rate_limit(message):
    assert normalize_status(of_360dialog(message)).status == 429
    assert isinstance(error_from_response(of_360dialog(message), CHECK), RateLimitedError)


def test_360dialogs_other_refusals_are_permanent():
    response = of_360dialog("This account is disabled")

    assert normalize_status(response) is response
    assert str(error_from_response(response, CHECK)).startswith(
        "whatsapp_business.contacts.check, HTTP 400: The server refused the request."
    )


def test_360dialogs_invalid_key_is_an_auth_error():
    response = failed(401, meta={"success": False, "httpCode": 404, "developerMessage": "Invalid api key"})

    assert isinstance(error_from_response(response, CHECK), AuthError)


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (302, RejectedError, "redirect"),
        (400, RejectedError, "refused"),
        (401, AuthError, "Correct the connection"),
        (403, NotEnabledError, "denied access"),
        (404, NotEnabledError, "host is wrong"),
        (409, RejectedError, "another hash"),
        (418, RejectedError, "refused"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"Invalid WhatsApp Token", b"<html>"])
def test_a_response_without_a_code_is_classified_by_its_status(status, kind, told, body):
    error = error_from_response(Response(status, {}, body), CHECK)

    assert (type(error), error.status, error.operation) == (kind, status, CHECK)
    assert told in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"errors": {"code": "1024", "title": "Password change required"}},
        {"errors": [{"code": 1024, "detail": "change it"}]},
        {"error": {"errorcode": 1024, "errortext": "Password change required"}},
        {"meta": {"version": "2.27.8"}, "errors": [None, "odd", {"code": 1024}]},
    ],
)
def test_errors_are_found_in_every_known_form(body):
    error = error_from_response(failed(400, **body), CHECK)

    assert isinstance(error, AuthError)
    assert "new_password" in str(error)


def test_an_error_shows_only_the_code_of_the_response():
    title = "Bad +16315551000 tok3n="
    error = error_from_response(failed(400, {"code": 1009, "title": title, "details": "16315551000"}), CHECK)

    assert "It may be of another version. Error code: 1009." in str(error)
    assert "631555" not in str(vars(error))
