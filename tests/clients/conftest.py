"""A fake server, and a clock that only advances by its own sleep."""

import socket
from datetime import UTC, datetime, timedelta

import pytest

from tests.clients.wire import Wire


class StoppedClock:
    """A clock that advances only in :meth:`sleep`, and when a test sets it."""

    def __init__(self):
        self.start = datetime(2022, 9, 14, 12, tzinfo=UTC)
        self.passed = 0.0
        self.sleeps = []

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.passed += seconds

    def monotonic(self):
        return 1000.0 + self.passed

    def now(self):
        return self.start + timedelta(seconds=self.passed)


@pytest.fixture
def clock():
    return StoppedClock()


@pytest.fixture
def wire():
    with Wire() as wire:
        yield wire


@pytest.fixture
def unused_url():
    """A URL that nothing listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"
