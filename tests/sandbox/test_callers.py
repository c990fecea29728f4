"""Pages of other sites cannot reach the sandbox, neither directly nor by DNS rebinding."""

import pytest
import requests

from airflow_provider_wacontacts.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(allowed_hosts=["Sandbox.Example.org"]) as started:
        yield started


def status(sandbox, method="GET", path="/sandbox/requests", **headers):
    return requests.request(method, sandbox.url + path, headers=headers, timeout=60).status_code


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1:8484", "localhost:8484", "localhost", "me.localhost", "[::1]:8484", "10.0.0.7", "sandbox:8484"),
        *("sandbox.example.org:8484", "SANDBOX.EXAMPLE.ORG", "host.docker.internal:8484"),
    ],
)
def test_addresses_names_without_a_dot_and_allowed_names_are_served(sandbox, host):
    assert status(sandbox, Host=host) == 200


@pytest.mark.parametrize(
    "host",
    ["attacker.example", "attacker.example:8484", "localhost.attacker.example", "127.0.0.1.nip.io", "[x]"],
)
@pytest.mark.parametrize("path", ["/sandbox/requests", "/v1/contacts", "/nowhere"])
def test_a_foreign_host_is_refused(sandbox, host, path):
    assert status(sandbox, path=path, Host=host) == 403


@pytest.mark.parametrize("origin", ["https://attacker.example", "null", "http://localhost:1", "http://127.0.0.1", ""])
def test_a_foreign_origin_is_refused_and_changes_nothing(sandbox, origin):
    before = sandbox.behaviour
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    answer = requests.post(f"{sandbox.url}/sandbox/behaviour", '{"page_size": 1}', headers=headers, timeout=60)
    assert (answer.status_code, sandbox.behaviour) == (403, before)


def test_a_page_from_the_sandbox_is_served(sandbox):
    assert status(sandbox, Origin=sandbox.url) == 200
