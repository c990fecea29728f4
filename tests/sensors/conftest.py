"""Checks that are made and waited for over a real socket."""

from tests.triggers.conftest import api, connect_api, declare, hasty, place, sandbox

__all__ = ["api", "connect_api", "declare", "hasty", "place", "sandbox"]
