"""Sending any request through a hook."""

import pytest

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.exceptions import RejectedError
from airflow_provider_wacontacts.hooks.turn import TurnHook
from tests.clients.wire import Answer


@pytest.fixture
def hook_for(connect, wire, clock):
    connect(conn_type="turn", host=wire.url, password="example-token")
    return lambda method="GET": TurnHook(method=method, clock=clock)


@pytest.mark.parametrize("endpoint", ["v1/contacts/schemas", "/v1/contacts/schemas"])
def test_run_sends_the_credentials(hook_for, wire, endpoint):
    assert hook_for().run(endpoint) == Response(200, {"content-length": "2"}, b"{}")

    (asked,) = wire.asked
    assert (asked.method, asked.path) == ("GET", "/v1/contacts/schemas")
    assert asked.headers["authorization"] == "Bearer example-token"


@pytest.mark.parametrize(
    ("method", "given", "sent"),
    [
        ("GET", {}, ("/v1", b"", None)),
        ("GET", {"data": {"a": "b c", "d": ["1", "2"]}}, ("/v1?a=b+c&d=1&d=2", b"", None)),
        ("GET", {"data": "a=b"}, ("/v1?a=b", b"", None)),
        ("GET", {"endpoint": "v1?x=y", "data": {"a": "b"}}, ("/v1?x=y&a=b", b"", None)),
        ("POST", {"data": {"a": "b c"}}, ("/v1", b"a=b+c", "application/x-www-form-urlencoded")),
        ("POST", {"data": "text"}, ("/v1", b"text", None)),
        ("PUT", {"data": b"\x00"}, ("/v1", b"\x00", None)),
        ("POST", {"json": {"a": 1}}, ("/v1", b'{"a":1}', "application/json")),
        ("PATCH", {"json": {}, "headers": {"Content-Type": "a/b"}}, ("/v1", b"{}", "a/b")),
    ],
)
def test_run_accepts_data_like_http_hook(hook_for, wire, method, given, sent):
    hook_for(method).run(**{"endpoint": "v1"} | given)

    (asked,) = wire.asked
    assert asked.method == method
    assert (asked.path, asked.body, asked.headers.get("content-type")) == sent


def test_run_retries_transient_failures(hook_for, wire, clock):
    wire.will(Answer(429, headers={"retry-after": "7"}), Answer(503), Answer(200, b"whole"))

    assert hook_for().run("v1").body == b"whole"
    assert (len(wire.asked), 7 <= clock.sleeps[0] <= 7.7) == (3, True)


def test_the_error_of_a_refused_run_names_the_operation(hook_for, wire):
    wire.will(Answer(400, b"example-token"))

    with pytest.raises(RejectedError, match=r"^turn\.run, .*, HTTP 400: The server refused the request\."):
        hook_for().run("v1/secret")


@pytest.mark.parametrize("endpoint", ["https://evil.example/", "@evil.example/", "//evil.example/"])
def test_run_only_sends_to_the_connections_host(hook_for, wire, endpoint):
    hook_for().run(endpoint)

    assert len(wire.asked) == 1
