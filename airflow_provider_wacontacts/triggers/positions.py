"""How far watchers have read the log of identity changes."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from airflow_provider_wacontacts.records.windows import format_time

if TYPE_CHECKING:
    from airflow_provider_wacontacts.store.identities import ChangeLog

__all__ = ["Position"]

log = logging.getLogger(__name__)

#: Airflow's triggerer usually writes an event to the database within a second. The position is stored after that.
STORED_AFTER_S = 5.0


class Position:
    """
    The position of a watcher in the change log of a store's identities, stored in the state of its asset.

    Each sender of each store has its own.

    :param states: Airflow's accessor of the asset's state; ``None`` if there is none.
    """

    def __init__(self, states: Any) -> None:
        self._states = states
        self._key = ""
        self._value = 0
        self._moves: deque[tuple[float, int]] = deque()
        self._due: int | None = None
        self._is_reported = False

    async def load(self, change_log: ChangeLog, sender: str) -> int:
        """Return the position of a sender; 0 at first, or if the store has lost changes."""
        key = _key(change_log, sender)
        if key != self._key:
            stored = await self._get(key)
            self._key, self._value = key, stored if isinstance(stored, int) else 0
            self._moves.clear()
            self._due = None
        if self._value > change_log.newest:
            self.move(0)
        return self._value

    def move(self, value: int) -> None:
        """Move the position. It is stored later."""
        if value != self._value:
            self._value = value
            self._moves.append((time.monotonic() + STORED_AFTER_S, value))

    async def store(self) -> None:
        """Store the position of the last events that are in Airflow's database."""
        while self._moves and self._moves[0][0] <= time.monotonic():
            _, self._due = self._moves.popleft()
        if self._due is None or self._states is None:
            return
        try:
            await self._states.aset(self._key, self._due)
        except Exception as error:  # noqa: BLE001 - the API server is down
            if not self._is_reported:
                log.warning(
                    "The position in the log of identity changes was not stored (%s). The triggerer retries.",
                    type(error).__name__,
                )
            self._is_reported = True
        else:
            self._due, self._is_reported = None, False

    async def _get(self, key: str) -> Any:
        if self._states is None:
            return None
        try:
            return await self._states.aget(key)
        except ValueError:
            self._states = None
            log.warning(
                "One IdentityChangedTrigger watches several assets, so no position is stored: all pending"
                " identities are in the first event after each start of the triggerer. Use the watcher for one asset,"
                " or give the triggers different arguments, for example another limit."
            )
            return None


def _key(change_log: ChangeLog, sender: str) -> str:
    """Return the key of a sender's position, without the sender's number."""
    digest = hashlib.sha256(f"{format_time(change_log.created_at)} {sender}".encode()).hexdigest()
    return f"wacontacts.identity_change_id.{digest[:16]}"
