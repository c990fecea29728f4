"""GREEN-API's methods: requests and responses."""

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_wacontacts.clients.green_api import (
    Instance,
    WaSettings,
    get_contacts,
    get_state,
    get_usable_state,
    get_wa_settings,
)
from airflow_provider_wacontacts.clients.http import Request, Response
from airflow_provider_wacontacts.exceptions import ConfigError, ContractError, NotEnabledError, TransientError

INSTANCE = Instance("7103000000", "example-token")
READ = {"contacts": get_contacts, "state": get_state, "settings": get_wa_settings}


def asked(flow):
    return next(flow)


def answered(flow, body, status=200, **headers):
    next(flow)
    try:
        flow.send(Response(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()))
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it asks again")


@pytest.mark.parametrize(
    ("flow", "operation", "method"),
    [
        (get_contacts(INSTANCE), "green_api.contacts.get", "getContacts"),
        (get_state(INSTANCE), "green_api.state.get", "getStateInstance"),
        (get_usable_state(INSTANCE), "green_api.state.get", "getStateInstance"),
        (get_wa_settings(INSTANCE), "green_api.wa_settings.get", "getWaSettings"),
    ],
)
def test_a_request_has_the_token_in_its_path_and_no_other_credentials(flow, operation, method):
    path = f"/waInstance7103000000/{method}/example-token"

    assert asked(flow) == Request(operation, "GET", path, {"accept": "application/json"})


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ({}, ""),
        ({"group": True}, "?group=true"),
        ({"group": False}, "?group=false"),
        ({"count": 1}, "?count=1"),
        ({"group": False, "count": 250}, "?group=false&count=250"),
    ],
)
def test_only_given_filters_are_sent(given, query):
    assert asked(get_contacts(INSTANCE, **given)).path == f"/waInstance7103000000/getContacts/example-token{query}"


@pytest.mark.parametrize("count", [0, -1])
def test_an_invalid_count_fails_before_a_request(count):
    with pytest.raises(ConfigError, match=f"count is {count}. It must be a whole number, 1 or more."):
        asked(get_contacts(INSTANCE, count=count))


@pytest.mark.parametrize(
    ("token", "quoted"),
    [
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        ("50%+=&;", "50%25%2B%3D%26%3B"),
        ("..%2f", "..%252f"),
        ("plain-._~0", "plain-._~0"),
    ],
)
def test_a_token_is_quoted(token, quoted):
    instance = Instance("7103000000", token)

    assert asked(get_state(instance)).path == f"/waInstance7103000000/getStateInstance/{quoted}"
    assert instance.secrets == (token, quoted)


@pytest.mark.parametrize("id_instance", ["1", "0012", "110100000012", "9" * 20])
def test_an_id_of_any_length_is_sent_unchanged(id_instance):
    assert asked(get_state(Instance(id_instance, "t"))).path == f"/waInstance{id_instance}/getStateInstance/t"


def test_reprs_of_instances_and_requests_hide_the_token():
    instance = Instance("7103000000", "a/b-5ec2e7")
    shown = repr(instance) + repr(asked(get_contacts(instance)))

    assert [secret for secret in instance.secrets if secret in shown] == []


def test_a_snapshot_has_the_servers_time():
    snapshot = answered(get_contacts(INSTANCE), b'[{"id":"a"}]', date="Mon, 20 Apr 2020 19:54:33 GMT")

    assert (snapshot.rows, snapshot.date) == (1, datetime(2020, 4, 20, 19, 54, 33, tzinfo=UTC))


def test_an_empty_list_is_accepted():
    assert answered(get_contacts(INSTANCE), b"[]").rows == 0


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize(
    "body", [b"", b"null", b"<html></html>", b'{"code":401,"description":"Unauthorized"}', b"[1]", b'[{"id":"a"}']
)
def test_a_success_that_is_not_a_list_of_objects_is_a_contract_error(status, body):
    with pytest.raises(ContractError) as caught:
        answered(get_contacts(INSTANCE), body, status)

    assert (caught.value.source, caught.value.operation, caught.value.status) == (
        "green_api",
        "green_api.contacts.get",
        status,
    )


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ({"stateInstance": "authorized"}, "authorized"),
        ({"stateInstance": "notAuthorized"}, "notAuthorized"),
        ({"stateInstance": "brandNew", "more": 1}, "brandNew"),
        ({"stateInstance": "not a word: 79001234567"}, "unknown"),
        ({"stateInstance": ""}, ""),
        ({"stateInstance": None}, ""),
        (b"null", ""),
        (b"", ""),
    ],
)
def test_any_state_is_read_and_null_is_empty(body, state):
    assert answered(get_state(INSTANCE), body) == state
    assert answered(get_wa_settings(INSTANCE), body).state == state


@pytest.mark.parametrize(
    "body", [b"[]", b"<html>", b'"authorized"', b"{}", {"code": 401}, {"stateInstance": 1}, b"[" * 100_000]
)
@pytest.mark.parametrize("read", [get_state, get_wa_settings])
def test_an_object_without_a_state_is_a_contract_error(body, read):
    with pytest.raises(ContractError):
        answered(read(INSTANCE), body)


#: From the vendor's Postman collection, except the picture (green-api/green-api-postman-collection, MIT).
ACCOUNT = {
    "avatar": "https://example.org/picture.jpg",
    "phone": "79001234567",
    "stateInstance": "authorized",
    "deviceId": "79001234567:8@s.whatsapp.net",
}


@pytest.mark.parametrize(
    ("progress", "percent"),
    [
        ({}, None),
        ({"historySyncProgress": 100}, 100),
        ({"historySyncProgress": 0}, 0),
        ({"historySyncProgress": 37.5}, 37.5),
        ({"historySyncProgress": "100"}, 100),
        ({"historySyncProgress": " 87 %"}, 87),
        ({"historySyncProgress": ""}, None),
        ({"historySyncProgress": None}, None),
        ({"historySyncProgress": True}, None),
        ({"historySyncProgress": -1}, None),
        ({"historySyncProgress": 101}, None),
        ({"historySyncProgress": "nan"}, None),
        ({"historySyncProgress": 10**400}, None),
        ({"historySyncProgress": [100]}, None),
    ],
)
def test_progress_is_a_percentage_or_unknown(progress, percent):
    assert answered(get_wa_settings(INSTANCE), ACCOUNT | progress) == WaSettings("authorized", percent)


@pytest.mark.parametrize("state", ["authorized", "yellowCard", "suspended", "brandNew", "7"])
def test_an_unknown_state_is_accepted(state):
    assert answered(get_usable_state(INSTANCE), {"stateInstance": state}) == ("unknown" if state == "7" else state)


@pytest.mark.parametrize(
    ("state", "kind", "told"),
    [
        ("notAuthorized", NotEnabledError, "Scan its QR code"),
        ("pendingCode", NotEnabledError, "Scan its QR code"),
        ("pendingPassword", NotEnabledError, "Scan its QR code"),
        ("blocked", NotEnabledError, "banned"),
        ("starting", TransientError, "up to 5 minutes"),
        ("sleepMode", TransientError, "phone is switched off"),
        (None, TransientError, "being created"),
    ],
)
def test_an_unusable_state_raises_an_error_with_a_remedy(state, kind, told):
    with pytest.raises(kind, match=rf"^green_api\.state\.get: .*{told}"):
        answered(get_usable_state(INSTANCE), {"stateInstance": state})


@pytest.mark.parametrize("read", READ.values(), ids=READ.keys())
def test_an_error_names_its_operation(read):
    flow = read(INSTANCE)
    operation = asked(flow).operation

    with pytest.raises(NotEnabledError, match=f"^{operation}, HTTP 403: The server denied access"):
        flow.send(Response(403, {}, b"<html>"))
