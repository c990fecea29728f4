"""Refusals tell nothing: each forged delivery is refused alike, and in the same time."""

import hmac
import re
from types import SimpleNamespace

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks import whatsapp_business_webhook
from airflow_provider_wacontacts.receiver import create_app
from tests.receiver.conftest import CONN_ID, PATH, SECRET, sign
from tests.receiver.load import bodies_of
from tests.receiver.test_receiver import exchange

BODY = bodies_of(2)[1]
TARGETS = ["*", "/x%0ay", f"/{CONN_ID}%0d%0aX", f"http://hooks.example.org/{CONN_ID}", "//"]


def request(receiver, method, target):
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(BODY)}\r\n"
    head += f"X-Turn-Hook-Signature: {sign(BODY)}\r\n\r\n"
    return exchange(receiver, head.encode() + BODY, end=False)


@pytest.mark.parametrize("target", TARGETS)
def test_a_delivery_to_any_path_is_refused_like_a_forged_one(receiver, target):
    received = request(receiver, "POST", target)

    assert re.sub(rb"\r\ndate: [^\r]*", b"", received) == re.sub(
        rb"\r\ndate: [^\r]*", b"", request(receiver, "POST", "/nowhere")
    )
    assert received.startswith(b"HTTP/1.1 401 ")
    assert receiver.is_untouched


@pytest.mark.parametrize("target", ["*", "/x%0ay"])
def test_other_methods_are_refused_for_any_path(receiver, target):
    assert request(receiver, "GET", target).startswith(b"HTTP/1.1 405 ")


def test_a_signature_is_computed_by_all_algorithms_for_any_path(run_receiver, connect, sqlite_url, monkeypatch):
    connect("gateway", extra={"webhook_secret": SECRET, "webhook_algorithm": "sha512"})
    connect("signs_nothing", extra={"webhook_path": PATH, "webhook_algorithm": "sha1"})
    receiver = run_receiver(sqlite_url, conn_ids=(CONN_ID, "gateway", "signs_nothing"))
    used = []

    def digest(key, body, algorithm):
        used.append(algorithm)
        return hmac.digest(key, body, algorithm)

    spied = SimpleNamespace(digest=digest, compare_digest=hmac.compare_digest)
    monkeypatch.setattr(whatsapp_business_webhook, "hmac", spied)

    for path in (CONN_ID, "gateway", "signs_nothing", "nowhere"):
        used.clear()
        assert receiver.post(BODY, path).status_code == 401
        assert sorted(used) == ["sha1", "sha256", "sha512"]


def test_only_algorithms_of_connections_are_computed(run_receiver, connect, sqlite_url, monkeypatch):
    connect(extra={"webhook_secret": SECRET, "webhook_algorithm": "sha512"})
    receiver = run_receiver(sqlite_url)
    used = []
    spied = SimpleNamespace(
        digest=lambda *given: used.append(given[2]) or hmac.digest(*given), compare_digest=hmac.compare_digest
    )
    monkeypatch.setattr(whatsapp_business_webhook, "hmac", spied)

    assert {receiver.post(BODY, path).status_code for path in (CONN_ID, "nowhere")} == {401}
    assert used == ["sha512"] * 2


def test_a_receiver_whose_connection_no_url_can_name_does_not_start(connect):
    connect("team/whatsapp", extra={"webhook_secret": SECRET})

    with pytest.raises(ConfigError, match="Connection 'team/whatsapp' has a slash in its ID"):
        create_app(["team/whatsapp"])
