"""An instance of GREEN-API whose list changes daily, a store, files, and the operators between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.hooks import green_api
from airflow_provider_wacontacts.operators.green_api import (
    GreenApiContactsToObjectStorageOperator,
    GreenApiContactsToSqlOperator,
)
from airflow_provider_wacontacts.sandbox import ContactList, GreenApiBehaviour, Sandbox, World

__all__ = [
    "ANN",
    "BEN",
    "CAT",
    "GROUP",
    "MONDAY",
    "Connect",
    "Context",
    "green",
    "logged",
    "operator",
    "run",
    "to_files",
    "to_store",
]

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
ANN, BEN, CAT = (f"1201555010{number}@c.us" for number in (1, 2, 3))
GROUP = "120363043968066561@g.us"

Connect = Callable[..., None]
Context = Callable[..., dict[str, Any]]


@pytest.fixture
def green(connect: Connect, store_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """On a Monday, three users and a group, and connections; nobody takes turns or tries twice."""
    monkeypatch.setattr(green_api, "RATE_LIMITERS", RateLimiters(timedelta(0)))
    monkeypatch.setattr(green_api, "RETRY_POLICY", RetryPolicy(budget=timedelta(0)))
    with Sandbox(World(), now=MONDAY, green_api=GreenApiBehaviour(), contact_list=ContactList()) as sandbox:
        for chat_id, name in ((ANN, "Ann"), (BEN, "Ben"), (CAT, "Cat"), (GROUP, "Choir")):
            sandbox.green_api.put(chat_id, name=name)
        behaviour = sandbox.green_api.behaviour
        fields = {"login": behaviour.id_instance, "password": behaviour.token}
        connect("green_api_default", conn_type="green_api", host=sandbox.url, **fields)
        connect("wacontacts_store", conn_type="sqlite", host=str(store_path))
        yield sandbox


@pytest.fixture
def run(context: Context) -> Context:
    """Give the context of a run; GREEN-API's operators have no use for an interval."""
    return lambda **more: context(None, None, **more)


@pytest.fixture(params=["store", "files"])
def operator(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    """Make either operator."""
    return to_store if request.param == "store" else lambda **given: to_files(tmp_path / "files", **given)


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Read what was logged or written since the last time."""
    caplog.set_level("DEBUG")

    def read() -> str:
        text = "".join((*capfd.readouterr(), caplog.text))
        caplog.clear()
        return text

    return read


def to_store(**arguments: Any) -> GreenApiContactsToSqlOperator:
    return GreenApiContactsToSqlOperator(task_id="take", **arguments)


def to_files(path: Path, **arguments: Any) -> GreenApiContactsToObjectStorageOperator:
    return GreenApiContactsToObjectStorageOperator(task_id="take", path=f"file://{path}", **arguments)
