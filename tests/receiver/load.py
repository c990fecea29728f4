"""Clients that deliver at a steady rate, and repeat each delivery until it is acknowledged."""

from __future__ import annotations

import asyncio
import json
import random
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest

import aiohttp
import phonenumbers
from sqlalchemy import text
from sqlalchemy.engine import Engine

__all__ = ["Outcome", "bodies_of", "deliver_all", "differences", "large_body"]

TIMEOUT = aiohttp.ClientTimeout(total=10)
#: How long a client waits after another response than 200 OK; it doubles.
BACKOFF_S, MAX_BACKOFF_S = 0.5, 15.0
#: What the store has of deliveries: each number, and each change of an identity.
RECORDED = """
SELECT number AS recorded FROM wacontacts_number
UNION ALL SELECT i.wa_id || ' ' || i.hash FROM wacontacts_identity_change c
JOIN wacontacts_identity i ON i.identity_id = c.identity_id
"""
EXAMPLE = phonenumbers.format_number(phonenumbers.example_number("US"), phonenumbers.PhoneNumberFormat.E164)


@dataclass
class Outcome:
    """
    What became of deliveries.

    :ivar statuses: of all responses; 0 for none.
    :ivar milliseconds: of each response of 200 OK.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return the milliseconds that this share of the deliveries took at most."""
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def bodies_of(count: int) -> list[bytes]:
    """Make deliveries: nine with the result of a number that is new, and one with a changed identity, and so on."""
    return [_body(number) for number in range(count)]


def large_body(first: int, results: int = 1_000) -> bytes:
    """Make a delivery with many results of new numbers."""
    return json.dumps({"contacts": [_result(first + number) for number in range(results)]}).encode()


def differences(engine: Engine, bodies: Iterable[bytes]) -> tuple[int, int]:
    """
    Compare a store with all that was delivered to it.

    :returns: how many results and changes the store lacks, and how many it has that were not delivered, or has twice.
    """
    sent = set().union(*map(_contents, bodies))
    with engine.connect() as connection:
        recorded = Counter(connection.execute(text(RECORDED)).scalars())
    return len(sent - recorded.keys()), recorded.total() - len(sent & recorded.keys())


def _contents(body: bytes) -> set[str]:
    read = json.loads(body)
    changed = [message["system"] for message in read.get("messages", ())]
    return {result["input"] for result in read.get("contacts", ())} | {
        f"{change['user']} {change['identity']}" for change in changed
    }


def _body(number: int) -> bytes:
    if number % 10:
        return json.dumps({"contacts": [_result(number)]}).encode()
    system = {"type": "user_identity_changed", "identity": f"hash{number}", "user": _wa_id(number)}
    message = {"from": _wa_id(number), "id": "example", "system": system, "timestamp": "1602535356", "type": "system"}
    return json.dumps({"messages": [message]}).encode()


def _result(number: int) -> dict[str, str]:
    return {"input": f"+{_wa_id(number)}", "status": "valid", "wa_id": _wa_id(number)}


def _wa_id(number: int) -> str:
    """Return a number of nobody, next to the example of the United States."""
    return f"{EXAMPLE[1:5]}{555_0000 + number}"


async def deliver_all(url: str, bodies: Sequence[bytes], *, secret: str, per_second: float) -> Outcome:
    """Deliver each body when its time has come, however long others take."""
    outcome, began = Outcome(), time.monotonic()
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(timeout=TIMEOUT, connector=connector) as session, asyncio.TaskGroup() as group:
        for number, body in enumerate(bodies):
            await asyncio.sleep(began + number / per_second - time.monotonic())
            group.create_task(_deliver(session, url, body, secret, outcome))
    return outcome


async def _deliver(session: aiohttp.ClientSession, url: str, body: bytes, secret: str, outcome: Outcome) -> None:
    headers = {"X-Turn-Hook-Signature": b64encode(digest(secret.encode(), body, sha256)).decode()}
    backoff_s = BACKOFF_S
    while True:
        began, status = time.perf_counter(), 0
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(url, data=body, headers=headers) as response:
                status = response.status
        outcome.statuses[status] += 1
        if status == 200:
            outcome.milliseconds.append((time.perf_counter() - began) * 1_000)
            return
        await asyncio.sleep(backoff_s * random.uniform(0.5, 1))
        backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
