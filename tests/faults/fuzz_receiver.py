"""Generated bodies, posted to the receiver concurrently: in parts, signed or forged, complete or interrupted."""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from airflow_provider_wacontacts.receiver import create_app

__all__ = ["post_bodies"]

SECRET = "example-secret-of-the-webhook"
#: In memory where there is such a folder: a million bodies are committed.
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


class Delivery(NamedTuple):
    """
    A body on its way.

    :param parts: of the body, as they arrive.
    :param is_half: the client closes the connection before the end.
    :param expected: the status that the receiver has to return.
    """

    headers: Sequence[tuple[bytes, bytes]]
    parts: Sequence[bytes]
    is_half: bool
    expected: int


def post_bodies(chance: random.Random, bodies: Sequence[bytes]) -> Counter[int]:
    """
    Post bodies at once.

    :returns: how often which status was returned; 503 is repeated.
    :raises AssertionError: one is not what the receiver has to return.
    """
    place = _place()
    deliveries = [_delivery(chance, body) for body in bodies]

    async def post_all() -> list[int]:
        return await asyncio.gather(*(_post(place.app, number, delivery) for number, delivery in enumerate(deliveries)))

    repeated = place.loop.run_until_complete(post_all())
    return Counter(delivery.expected for delivery in deliveries) + Counter({503: sum(repeated)})


def _delivery(chance: random.Random, body: bytes) -> Delivery:
    is_genuine, is_half = chance.random() < 0.9, chance.random() < 0.02
    signed = body if is_genuine else body + b" "
    headers = [
        (b"x-turn-hook-signature", b64encode(digest(SECRET.encode(), signed, sha256))),
        (b"content-encoding", chance.choice(ENCODINGS)),
    ]
    return Delivery(headers, _parts(chance, body), is_half, 400 if is_half else 200 if is_genuine else 401)


def _parts(chance: random.Random, body: bytes) -> list[bytes]:
    cut = chance.randrange(len(body)) if body and chance.random() < 0.2 else len(body)
    return [body[:cut], body[cut:]]


async def _post(app: Any, number: int, delivery: Delivery) -> int:
    """Post a body until the store has time for it; return how often it was posted again."""
    where = f"body {number} of those posted at once"
    for repeated in range(ATTEMPTS):
        status, sent = await _send(app, delivery)
        if status != 503:
            assert (status, sent) == (delivery.expected, b""), f"{where}: {status} {sent!r}"
            return repeated
    raise AssertionError(f"{where}: 503 for {ATTEMPTS} times")


async def _send(app: Any, delivery: Delivery) -> tuple[int, bytes]:
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
        "headers": delivery.headers,
    }
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": True} for part in delivery.parts
    ]
    messages.append({"type": "http.disconnect"} if delivery.is_half else {"type": "http.request", "body": b""})
    received = iter(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(received)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
