"""Routes to hosts on an event loop: proxies and certificates, like with requests."""

import asyncio
import ssl
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.aiohttp_driver import (
    LOOP_CLOCK,
    AsyncDriver,
    Route,
    open_session,
    resolve_route,
)
from airflow_provider_wacontacts.clients.retry import RetryLoop, RetryPolicy
from airflow_provider_wacontacts.exceptions import ConfigError, NetworkError
from tests.clients.test_requests_driver import ask
from tests.clients.test_tls import certificate, served_with
from tests.clients.wire import Wire

ONCE = RetryPolicy(budget=timedelta(0))


def reach(route):
    async def once():
        async with open_session("tests/1") as session:
            return await AsyncDriver(session, route, RetryLoop(policy=ONCE, clock=LOOP_CLOCK), timeout=(5, 5)).run(
                ask("/v1/secret-cursor")
            )

    return asyncio.run(once())


@pytest.fixture(autouse=True)
def no_proxies_of_this_machine(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_private_ca_can_be_trusted(tmp_path):
    path = certificate(tmp_path / "pem", address="127.0.0.1")

    with served_with(path) as wire:
        assert reach(resolve_route(wire.url, verify=path)).status == 200


def test_a_ca_of_the_environment_is_trusted_if_trust_env_is_set(tmp_path, monkeypatch):
    path = certificate(tmp_path / "pem", address="127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", path)

    with served_with(path) as wire:
        assert reach(resolve_route(wire.url)).status == 200
        with pytest.raises(ConfigError, match="certificate is not trusted"):
            reach(resolve_route(wire.url, trust_env=False))


def test_an_unknown_ca_is_refused_immediately_and_named(tmp_path):
    with served_with(certificate(tmp_path / "pem", address="127.0.0.1")) as wire:
        with pytest.raises(ConfigError, match=r"certificate is not trusted.* extra 'verify'"):
            reach(resolve_route(wire.url))
        assert wire.asked == []


def test_a_certificate_of_another_host_is_refused_immediately(tmp_path):
    path = certificate(tmp_path / "pem", address="192.0.2.1")

    with served_with(path) as wire:
        with pytest.raises(ConfigError, match="certificate is for another host name"):
            reach(resolve_route(wire.url, verify=path))
        assert wire.asked == []


def test_certificates_are_not_verified_if_verification_is_off(tmp_path):
    with served_with(certificate(tmp_path / "pem", address="192.0.2.1")) as wire:
        assert reach(resolve_route(wire.url, verify=False)).status == 200


@pytest.mark.parametrize("pair", [True, False])
def test_a_client_certificate_is_sent(tmp_path, pair):
    path = certificate(tmp_path / "pem", address="127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.load_verify_locations(path)
    context.verify_mode = ssl.CERT_REQUIRED

    with Wire(tls=context) as wire:
        assert reach(resolve_route(wire.url, verify=path, cert=(path, path) if pair else path)).status == 200
        with pytest.raises(NetworkError):
            reach(resolve_route(wire.url, verify=path))


@pytest.mark.parametrize("given", [{"verify": "/no/such/file"}, {"cert": "/no/such/file"}, {"cert": ("/no", "/such")}])
def test_an_unreadable_file_is_a_config_error(given):
    with pytest.raises(ConfigError, match="'verify' or 'cert'") as caught:
        resolve_route("https://127.0.0.1:9", **given)
    assert "/no" not in str(caught.value)


@pytest.mark.parametrize(
    ("proxies", "environment", "proxy"),
    [
        ({}, {}, None),
        ({"https": "http://proxy.example:1"}, {}, "http://proxy.example:1"),
        ({"https": "proxy.example:1"}, {}, "http://proxy.example:1"),
        ({"http": "http://proxy.example:1"}, {}, None),
        ({}, {"HTTPS_PROXY": "http://proxy.example:2"}, "http://proxy.example:2"),
        ({}, {"HTTPS_PROXY": "http://proxy.example:2", "NO_PROXY": "waba.example.org"}, None),
        ({"no_proxy": "waba.example.org"}, {"HTTPS_PROXY": "http://proxy.example:2"}, None),
        ({"https": "http://proxy.example:1"}, {"HTTPS_PROXY": "http://proxy.example:2"}, "http://proxy.example:1"),
    ],
)
def test_the_proxy_is_chosen_like_in_requests(monkeypatch, proxies, environment, proxy):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert resolve_route("https://waba.example.org", proxies=proxies).proxy == proxy


def test_the_environments_proxy_can_be_ignored(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:2")

    assert resolve_route("https://waba.example.org", trust_env=False).proxy is None


def test_a_proxy_that_is_not_http_is_refused():
    with pytest.raises(ConfigError, match="extra 'proxies'"):
        resolve_route("https://waba.example.org", proxies={"https": "socks5://proxy.example:1"})


def test_a_proxy_is_used():
    with Wire() as proxy:
        assert reach(Route("http://waba.example.org", proxy=proxy.url)).status == 200
        assert [asked.path for asked in proxy.asked] == ["http://waba.example.org/v1/secret-cursor"]


def test_a_failing_proxy_is_a_network_error():
    with pytest.raises(NetworkError):
        reach(Route("http://waba.example.org", proxy="http://127.0.0.1:9"))


def test_the_repr_of_a_route_hides_its_proxy():
    assert "secret" not in repr(Route("https://waba.example.org", proxy="http://user:secret@proxy.example"))
