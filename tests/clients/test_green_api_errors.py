"""GREEN-API's errors: each has its class and its remedy, and quotes nothing of the response."""

import json

import pytest

from airflow_provider_wacontacts.clients.green_api import error_from_response, normalize_status
from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.exceptions import AuthError, NotEnabledError, RejectedError, TransientError

CONTACTS = "green_api.contacts.get"
PATH = "/waInstance7103000000/getContacts/example-token"


def echoing(message, status=400):
    """The body of a refusal: it contains the path with the token."""
    told = {"statusCode": status, "timestamp": "2026-11-22T12:00:00.000Z", "path": PATH, "message": message}
    return json.dumps(told).encode()


SAID = [
    ("instance in starting process try later", TransientError, "is starting, which takes"),
    ("instance is starting or not authorized", TransientError, "is starting, or not authorized"),
    ("instance account not authorized", NotEnabledError, "Scan its QR code"),
    ("Instance account is expired. Renew your instance from personal area", NotEnabledError, "Renew it"),
    ("Instance is deleted", NotEnabledError, "deleted"),
    ("bad request data", RejectedError, "refused the request"),
    ("Bad Request Validation failed", RejectedError, "refused the request"),
    ("Validation failed. Details: 'count' must be a number", RejectedError, "refused the request"),
    ("Unexpected token _ in JSON at position 10", RejectedError, "refused the request"),
]


@pytest.mark.parametrize(("message", "kind", "told"), SAID)
@pytest.mark.parametrize(
    "body",
    [echoing, lambda message: json.dumps({"message": message}).encode(), str.encode, lambda text: f'"{text}"'.encode()],
    ids=["echoing", "message only", "text", "JSON text"],
)
def test_a_400_is_classified_by_its_message_in_any_form(message, kind, told, body):
    error = error_from_response(Response(400, {}, body(message)), CONTACTS)

    assert (type(error), error.source, error.operation, error.status) == (kind, "green_api", CONTACTS, 400)
    assert told in str(error)


SAYING_NOTHING = [b"", b"null", b"{}", b"[]", b"<html>", b'{"message":["a"]}', b'{"message":7}', b"\xff"]


@pytest.mark.parametrize("body", SAYING_NOTHING)
def test_a_400_without_a_message_is_a_rejected_error(body):
    assert type(error_from_response(Response(400, {}, body), CONTACTS)) is RejectedError


def test_a_400_is_not_classified_by_its_path():
    body = json.dumps({"path": "/waInstance1/getContacts/starting", "message": "bad request data"}).encode()

    assert type(error_from_response(Response(400, {}, body), CONTACTS)) is RejectedError


QUOTA = {
    "invokeStatus": {"method": "getContacts", "used": 1000, "total": 1000, "status": "QUOTE_EXCEEDED"},
    "correspondentsStatus": {"status": "QUOTE_ALLOWED", "description": "11001234567@c.us"},
}


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (302, RejectedError, "redirect"),
        (401, AuthError, "apiTokenInstance"),
        (403, NotEnabledError, "apiUrl"),
        (404, NotEnabledError, "apiUrl"),
        (418, RejectedError, "refused"),
        (466, NotEnabledError, "quota"),
        (469, RejectedError, "refused"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>403 Forbidden</html>", echoing(f"Cannot GET {PATH}"), json.dumps(QUOTA).encode()],
    ids=["empty", "html", "echo", "quota"],
)
def test_every_other_status_has_its_class_with_any_body(status, kind, told, body):
    error = error_from_response(Response(status, {}, body), CONTACTS)

    assert (type(error), error.status) == (kind, status)
    assert told in str(error)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 418, 466, 469])
@pytest.mark.parametrize(
    "body", [echoing("instance is starting or not authorized example-token"), b"example-token 11001234567@c.us"]
)
def test_an_error_does_not_quote_the_body(status, body):
    error = error_from_response(Response(status, {}, body), CONTACTS)

    shown = str(error) + repr(error) + repr(vars(error))
    assert [secret for secret in ("example-token", "11001234567", "waInstance", "7103000000") if secret in shown] == []


def test_499_becomes_504():
    assert normalize_status(Response(499, {"date": "x"}, b"body")) == Response(504, {"date": "x"}, b"body")


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 466, 500, 502, 503])
def test_other_statuses_are_unchanged(status):
    response = Response(status, {}, echoing("instance in starting process try later"))

    assert normalize_status(response) is response
