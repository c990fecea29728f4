"""A client whose users change, a store that records it, and the operators on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_wacontacts.callbacks import record_callback
from airflow_provider_wacontacts.hooks import feed
from airflow_provider_wacontacts.operators.whatsapp_business import (
    WhatsAppAcknowledgeIdentityOperator,
    WhatsAppGetIdentityOperator,
)
from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour, World

__all__ = ["ANNA", "BERT", "CLEO", "NOW", "SENDER", "Business", "Context", "acknowledge", "business", "get"]

SENDER = "+12015550100"
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
ANNA, BERT, CLEO = "16315551000", "16315551004", "16315551005"

Context = Callable[..., dict[str, Any]]


class Business:
    """A client whose callbacks are recorded, and the hashes it has given out."""

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox = sandbox
        self.whatsapp = sandbox.whatsapp
        self.hashes: list[str] = []
        self.url = url

    def change(self, *wa_ids: str, told: bool = True) -> None:
        for wa_id in wa_ids:
            self.sandbox.clock.advance(60)
            self.hashes.append(self.whatsapp.change_identity(wa_id).hash)
            if told:
                record_callback(self.url, SENDER, self.whatsapp.callbacks.log[-1].body)

    def asked(self) -> tuple[int, int]:
        return self.sandbox.requests.count("identity"), self.sandbox.requests.count("acknowledge")


@pytest.fixture
def business(connect: Callable[..., None], store_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Business]:
    monkeypatch.setattr(feed, "DEFAULT_POLICY", feed.RetryPolicy(budget=timedelta(0)))
    with Sandbox(World(), now=NOW, whatsapp=WhatsAppBehaviour(sender=SENDER)) as sandbox:
        connect(
            "whatsapp_business_default",
            conn_type="whatsapp_business",
            host=sandbox.url,
            password=sandbox.whatsapp.behaviour.token,
            extra={"auth": "bearer", "sender": SENDER},
        )
        connect("wacontacts_store", conn_type="sqlite", host=str(store_path))
        yield Business(sandbox, f"sqlite:///{store_path}")


def get(**arguments: Any) -> WhatsAppGetIdentityOperator:
    return WhatsAppGetIdentityOperator(task_id="look", **arguments)


def acknowledge(**arguments: Any) -> WhatsAppAcknowledgeIdentityOperator:
    return WhatsAppAcknowledgeIdentityOperator(task_id="acknowledge", **arguments)
