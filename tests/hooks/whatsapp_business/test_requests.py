"""Requests in a worker and on an event loop, and retries."""

import pytest

from airflow_provider_wacontacts.clients.retry import Clock
from airflow_provider_wacontacts.clients.whatsapp_business import acknowledge_identity, get_identity
from airflow_provider_wacontacts.exceptions import (
    NetworkError,
    ServerError,
)
from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
from airflow_provider_wacontacts.records.identities import Identity
from tests.clients.wire import DROP, Answer, Wire
from tests.hooks.whatsapp_business.api import (
    CHECK,
    IDENTITY,
    KNOWN,
    VALID,
    check,
    checked,
    failed,
    fixed,
    paths,
    sent,
)


def test_identities_are_requested_and_acknowledged(by_token, process, wire):
    wire.will(KNOWN, Answer(body=b"null"))

    found, done = process.do(
        lambda api: api.run_flow(get_identity("16315551000")),
        lambda api: api.run_flow(acknowledge_identity("16315551000", "UKD6Y/5SqDU=")),
    )

    assert (found.hash, found.acknowledged, done) == ("UKD6Y/5SqDU=", False, None)
    assert isinstance(found, Identity)
    assert paths(wire) == [("GET", IDENTITY), ("PUT", IDENTITY)]
    assert wire.asked[1].body == b'{"hash":"UKD6Y/5SqDU="}'


def test_only_the_intended_headers_are_sent(connect, process, wire, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    fixed(connect, wire, "bearer", extra={"sender": "+919876500000", "X-Api": "v", "daily_checks": 5})
    wire.will(Answer(checked().status, checked().body, {"set-cookie": "sticky=yes"}), checked())

    process.do(check, check)
    names = {"host", "user-agent", "accept-encoding", "accept", "authorization", "content-type", "content-length"}
    assert [asked.headers.keys() - {"connection"} for asked in wire.asked] == [names] * 2
    assert {agent.split("/")[0] for agent in sent(wire, "user-agent")} == {"airflow-provider-wacontacts"}


DIALOG_360 = Answer(400, b'{"meta": {"success": false, "httpCode": 400, "developerMessage": "Rate limit exceeded"}}')


@pytest.mark.parametrize("broken", [Answer(429, b""), DIALOG_360, failed(404, 1011), DROP])
def test_transient_failures_are_retried(by_token, process, wire, clock, broken):
    wire.will(broken, broken, checked())

    assert process.do(check)[0].results == VALID
    assert (paths(wire), len(clock.sleeps)) == ([CHECK] * 3, 2)


def test_the_connections_proxy_is_used(connect, process):
    with Wire() as proxy:
        extra = {"auth": "bearer", "proxies": {"http": proxy.url}, "allow_http": True}
        connect(
            "whatsapp_business_default",
            conn_type="whatsapp_business",
            host="http://waba.example.org",
            password="t",
            extra=extra,
        )
        proxy.will(checked())

        assert process.do(check)[0].results == VALID
        assert paths(proxy) == [("POST", "http://waba.example.org/v1/contacts")]


def test_a_path_in_the_host_is_kept(connect, process, wire):
    fixed(connect, wire, "bearer", host=f"{wire.url}/gateway/")
    wire.will(checked())

    process.do(check)
    assert paths(wire) == [("POST", "/gateway/v1/contacts")]


@pytest.mark.parametrize(
    "broken",
    [
        Answer(502, b""),
        Answer(503, b""),
        Answer(503, b"<html>"),
        failed(400, 1014),
        failed(503, 1014),
        DROP,
        Answer(cut=1),
    ],
)
@pytest.mark.parametrize("options", [{"idempotent": False}, {"blocking": "wait"}], ids=str)
@pytest.mark.usefixtures("by_token")
def test_a_non_idempotent_check_is_not_retried_if_it_may_have_been_processed(wire, broken, options):
    wire.will(ever_after=broken)

    with pytest.raises((ServerError, NetworkError)):
        WhatsAppBusinessHook().check_contacts([*VALID], **options)
    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    "broken",
    [
        Answer(503, b"", {"retry-after": "1"}),
        failed(503, 1016),
        failed(400, 1016),
        failed(400, 1015),
        Answer(429, b""),
    ],
)
@pytest.mark.usefixtures("by_token")
def test_a_non_idempotent_check_is_retried_if_it_was_not_processed(wire, clock, broken):
    wire.will(broken, checked())
    times = Clock(sleep=clock.sleep, monotonic=clock.monotonic, now=clock.now)

    assert WhatsAppBusinessHook(clock=times).check_contacts([*VALID], idempotent=False).results == VALID
    assert len(wire.asked) == 2
