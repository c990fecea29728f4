"""Checks over a real socket."""

from tests.clients.conftest import clock
from tests.triggers.conftest import api, connect_api, declare, place, sandbox

__all__ = ["api", "clock", "connect_api", "declare", "place", "sandbox"]
