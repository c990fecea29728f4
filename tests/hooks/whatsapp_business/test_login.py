"""Tokens: by a shared and renewed login, or fixed and reread from the connection."""

import asyncio
import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_wacontacts.exceptions import (
    AuthError,
)
from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
from airflow_provider_wacontacts.hooks.whatsapp_business_shared import AsyncWhatsAppNumberClient
from tests.clients.wire import Answer, Wire
from tests.hooks.whatsapp_business.api import (
    CHECK,
    DAY,
    DENIED,
    LOGIN,
    NUMBER,
    VALID,
    check,
    checked,
    failed,
    fixed,
    granted,
    logging_in,
    paths,
    sent,
)


def test_a_login_returns_a_token_that_checks_send(by_login, process, wire):
    wire.will(granted(), checked(), checked(NUMBER, "+1 631 555 1001"))

    first, second = process.do(
        check, lambda api: check(api, "+1 631 555 1001", NUMBER, blocking="wait", force_check=True)
    )

    assert (first.results, first.client_version) == (VALID, "v2.41.2")
    assert list(second.results) == ["+1 631 555 1001", NUMBER]
    assert paths(wire) == [LOGIN, CHECK, CHECK]
    basic = base64.b64encode(b"user:pass word").decode()
    assert sent(wire) == [f"Basic {basic}", "Bearer example-token", "Bearer example-token"]
    assert wire.asked[0].body == b""
    assert json.loads(wire.asked[2].body) == {
        "blocking": "wait",
        "contacts": ["+1 631 555 1001", NUMBER],
        "force_check": True,
    }
    assert wire.lines == 1


@pytest.mark.parametrize(
    ("auth", "header"),
    [("bearer", {"authorization": "Bearer example-token"}), ("d360", {"d360-api-key": "example-token"})],
)
def test_a_token_or_a_key_is_sent_without_a_login(connect, process, wire, auth, header):
    fixed(connect, wire, auth, login="ignored")
    wire.will(checked())

    process.do(check)
    (asked,) = wire.asked
    assert (asked.method, asked.path) == CHECK
    assert {name: asked.headers[name] for name in ("authorization", "d360-api-key") if name in asked.headers} == header


def test_a_rejected_token_is_replaced_by_one_new_login(by_login, process, wire):
    wire.will(granted("old"), checked(), DENIED, granted("new"), checked())

    process.do(check, check)
    assert paths(wire) == [LOGIN, CHECK, CHECK, LOGIN, CHECK]
    assert sent(wire)[1:] == ["Bearer old", "Bearer old", sent(wire)[0], "Bearer new"]


def test_a_rejected_new_token_is_an_auth_error(by_login, process, wire):
    wire.will(granted("old"), DENIED, granted("new"), DENIED)

    with pytest.raises(AuthError) as caught:
        process.do(check)
    assert paths(wire) == [LOGIN, CHECK, LOGIN, CHECK]
    assert (caught.value.operation, caught.value.attempts) == ("whatsapp_business.contacts.check", 2)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (DENIED, r"^whatsapp_business\.login, .*HTTP 401: The server denied access"),
        (failed(400, 1024), r"^whatsapp_business\.login, .*HTTP 400: The password must be changed"),
        (failed(500, 1024), r"^whatsapp_business\.login, .*HTTP 400: The password must be changed"),
    ],
)
def test_a_rejected_login_is_an_auth_error(by_login, process, wire, answer, told):
    wire.will(answer)

    with pytest.raises(AuthError, match=told):
        process.do(check)
    assert paths(wire) == [LOGIN]


def test_a_login_is_retried_like_any_request(by_login, process, wire, clock):
    wire.will(Answer(503, b""), failed(400, 1011), granted(), checked())

    process.do(check)
    assert paths(wire) == [LOGIN, LOGIN, LOGIN, CHECK]
    assert len(clock.sleeps) == 2


@pytest.mark.parametrize(
    "expires_after", ["2022-09-21 12:00:00+00:00", "2022-09-21T12:00:00.000Z", "2022-09-21T12:00:00+00:00"]
)
def test_a_token_is_renewed_before_it_expires(by_login, process, wire, clock, expires_after):
    def wait(seconds):
        return process.meanwhile(lambda: clock.sleep(seconds))

    wire.will(granted("old", expires_after), checked(), checked(), granted("new"), checked())

    process.do(check, wait(7 * DAY - 301), check, wait(1), check)
    assert paths(wire) == [LOGIN, CHECK, CHECK, LOGIN, CHECK]


def test_threads_that_share_a_hook_share_a_login(by_login, wire, clock):
    wire.will(granted("old"), ever_after=checked())
    hook = WhatsAppBusinessHook(clock=clock)
    hook.validate_connection()
    gate = threading.Barrier(4)

    def begin(_):
        gate.wait()
        return check(hook)

    with ThreadPoolExecutor(4) as pool:
        assert [answer.results for answer in pool.map(begin, range(4))] == [VALID] * 4
    assert sorted(paths(wire)) == [CHECK] * 4 + [LOGIN]


def test_tasks_that_share_a_client_share_a_login(by_login, wire, clock):
    wire.will(granted("old"), ever_after=checked())

    async def together():
        async with AsyncWhatsAppNumberClient("whatsapp_business_default") as contacts:
            return await asyncio.gather(*(check(contacts) for _ in range(20)))

    assert [answer.results for answer in asyncio.run(together())] == [VALID] * 20
    assert sorted(paths(wire)) == [CHECK] * 20 + [LOGIN]


def test_a_replaced_token_is_reread_from_the_connection(by_token, process, connect, wire):
    wire.will(checked(), DENIED, checked())

    replaced = process.meanwhile(lambda: fixed(connect, wire, "bearer", "new-example-token"))

    process.do(check, replaced, check)
    assert sent(wire) == ["Bearer example-token", "Bearer example-token", "Bearer new-example-token"]


def test_a_login_uses_the_connections_current_password(by_login, process, connect, wire):
    wire.will(granted("old"), checked(), DENIED, granted("new"), checked())

    replaced = process.meanwhile(lambda: logging_in(connect, wire, "new pass word"))

    process.do(check, replaced, check)
    assert sent(wire)[3:] == [f"Basic {base64.b64encode(b'user:new pass word').decode()}", "Bearer new"]


def test_a_password_for_another_host_is_not_sent_to_this_one(by_login, process, connect, wire):
    with Wire() as other:
        replaced = process.meanwhile(lambda: logging_in(connect, other, "others pass word"))
        wire.will(granted("old"), checked(), DENIED, granted("new"), checked())

        process.do(check, replaced, check)
        assert (sent(wire)[3], other.asked) == (sent(wire)[0], [])


def test_an_unchanged_token_is_not_sent_again(by_token, process, wire):
    wire.will(ever_after=DENIED)

    with pytest.raises(AuthError, match=r"^whatsapp_business\.contacts\.check, .*HTTP 401: The server denied access"):
        process.do(check)
    assert paths(wire) == [CHECK]


def test_a_token_for_another_host_is_not_sent_to_this_one(by_token, process, connect, wire):
    with Wire() as other:
        replaced = process.meanwhile(lambda: fixed(connect, other, "bearer", "others-example-token"))
        wire.will(checked(), DENIED)
        with pytest.raises(AuthError):
            process.do(check, replaced, check)
        assert (set(sent(wire)), other.asked) == ({"Bearer example-token"}, [])
