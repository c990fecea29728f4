"""Generated bodies, posted to the receiver: whole or in parts, signed or forged, to the end or not."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from airflow_provider_wacontacts.receiver import create_app

__all__ = ["post_body"]

SECRET = "example-secret-of-the-webhook"
#: In memory where there is such a folder: a million bodies are committed one by one.
FOLDER = next((path for path in ("/dev/shm",) if Path(path).is_dir()), None)
#: The machine may be too busy for the time that the store has.
ATTEMPTS = 5
ENCODINGS = (b"", b"", b"gzip", b"deflate", b"identity", b"br")


class Place(NamedTuple):
    """A receiver, with a store that lasts as long as the process."""

    app: Any
    loop: asyncio.AbstractEventLoop
    folder: tempfile.TemporaryDirectory[str]


@cache
def _place() -> Place:
    folder = tempfile.TemporaryDirectory(dir=FOLDER)
    connections = {
        "WACONTACTS_STORE": {"conn_type": "wacontacts_store", "host": f"{folder.name}/store.db"},
        "WHATSAPP_BUSINESS_DEFAULT": {
            "conn_type": "whatsapp_business",
            "extra": {"sender": "+12015550100", "webhook_secret": SECRET},
        },
    }
    environment = {f"AIRFLOW_CONN_{name}": json.dumps(fields) for name, fields in connections.items()}
    with mock.patch.dict(os.environ, environment):
        app = create_app(max_deliveries_per_second=1e9)
    return Place(app, asyncio.new_event_loop(), folder)


def post_body(chance: random.Random, body: bytes) -> int:
    """
    Post a body.

    :returns: the status.
    :raises AssertionError: it is not what the receiver has to return.
    """
    is_genuine, is_half = chance.random() < 0.9, chance.random() < 0.02
    signed = body if is_genuine else body + b" "
    headers = [
        (b"x-turn-hook-signature", b64encode(digest(SECRET.encode(), signed, sha256))),
        (b"content-encoding", chance.choice(ENCODINGS)),
    ]
    parts = _parts(chance, body)
    for _ in range(ATTEMPTS):
        status, sent = _place().loop.run_until_complete(_post(headers, parts, is_half=is_half))
        if status != 503:
            break
    expected = 400 if is_half else 200 if is_genuine else 401
    assert (status, sent) == (expected, b""), (status, sent)
    return status


def _parts(chance: random.Random, body: bytes) -> list[bytes]:
    cut = chance.randrange(len(body)) if body and chance.random() < 0.2 else len(body)
    return [body[:cut], body[cut:]]


async def _post(headers: Sequence[tuple[bytes, bytes]], parts: list[bytes], *, is_half: bool) -> tuple[int, bytes]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/whatsapp_business_default",
        "raw_path": b"/whatsapp_business_default",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
    }
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.disconnect"} if is_half else {"type": "http.request", "body": b""})
    received = iter(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(received)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await _place().app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
