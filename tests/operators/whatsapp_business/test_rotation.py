"""A token, a key or a password is replaced during a check."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
from airflow_provider_wacontacts.pipelines.check_numbers import MAX_THREADS
from airflow_provider_wacontacts.sandbox import Sandbox
from tests.operators.whatsapp_business.cases import numbers, summary_of

BATCHES = 20
BY_LOGIN = {"login": "example-user", "password": "example-password", "extra": {"auth": "login"}}


@pytest.fixture
def before_batch(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Have something happen before a batch, counted from 1, is asked about."""

    def happen(batch: int, what: Callable[[], None]) -> None:
        ask, lock = WhatsAppBusinessHook.check_contacts, threading.Lock()
        batches: Iterator[int] = iter(range(1, 1000))

        def counted(hook: WhatsAppBusinessHook, *given: Any, **options: Any) -> Any:
            with lock:
                if next(batches) == batch:
                    what()
            return ask(hook, *given, **options)

        monkeypatch.setattr(WhatsAppBusinessHook, "check_contacts", counted)

    return happen


@pytest.mark.parametrize(("auth", "field"), [("bearer", "token"), ("d360", "api_key")])
def test_a_check_continues_with_the_connections_new_token_or_key(
    tasks: Any, api: Sandbox, connect_api: Any, behave: Any, *, before_batch: Any, auth: str, field: str
) -> None:
    def rotate(secret: str) -> None:
        connect_api(password=secret, extra={"auth": auth})
        behave(auth=auth, **{field: secret})

    rotate("example-old")
    before_batch(10, lambda: rotate("example-new"))

    summary = tasks.check(numbers(BATCHES), batch_size=1)

    assert summary_of(summary) == {"given": 20, "asked": 20, "valid": 20, "budget_left": 980}
    assert api.asked_numbers == dict.fromkeys(numbers(BATCHES), 1)
    assert 1 <= api.requests.count(outcome=401) <= MAX_THREADS


def test_a_check_logs_in_with_the_connections_new_password(
    tasks: Any, api: Sandbox, connect_api: Any, behave: Any, before_batch: Any
) -> None:
    def rotate() -> None:
        connect_api(**BY_LOGIN | {"password": "example-new-password"})
        behave(password="example-new-password")
        api.whatsapp.revoke_tokens()

    behave(auth="login", username=BY_LOGIN["login"], password=BY_LOGIN["password"])
    connect_api(**BY_LOGIN)
    before_batch(10, rotate)

    summary = tasks.check(numbers(BATCHES), batch_size=1)

    assert summary_of(summary) == {"given": 20, "asked": 20, "valid": 20, "budget_left": 980}
    assert (api.requests.count("login", 200), api.requests.count("login", 401)) == (2, 0)
    assert 1 <= api.requests.count("check", 401) <= MAX_THREADS
