"""
The webhooks of connections.

The connections are read again every half minute, so a secret can be replaced while the receiver runs.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence

from airflow_provider_wacontacts.exceptions import ConfigError, WaContactsError
from airflow_provider_wacontacts.hooks.connections import read_connection
from airflow_provider_wacontacts.hooks.whatsapp_business_webhook import (
    CONN_TYPE,
    DEFAULT_ALGORITHM,
    Webhook,
    parse_webhook,
)

__all__ = ["Webhooks"]

log = logging.getLogger(__name__)

#: How long a connection that cannot be read stays valid: if Airflow's database is down, Airflow returns nothing.
UNREADABLE_FOR_S = 600.0


class Webhooks:
    """
    The webhooks of some connections, by connection ID.

    :ivar algorithms: all that a signature may have.
    :raises ConfigError: a connection is not defined or invalid, or none is of type ``whatsapp_business``.
    """

    def __init__(self, conn_ids: Sequence[str]) -> None:
        self._conn_ids = list(dict.fromkeys(conn_ids))
        self._webhooks: Mapping[str, Webhook] = {}
        self._read_at: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        for conn_id in self._conn_ids:
            if "/" in conn_id:
                raise ConfigError(
                    f"Connection {conn_id!r} has a slash in its ID, so no URL can name it. Give the receiver a"
                    " connection whose ID has none."
                )
            if (connection := read_connection(conn_id)).conn_type == CONN_TYPE:
                parse_webhook(connection)
        self.refresh()
        if not self._webhooks:
            raise ConfigError(
                f"The receiver has no connection of type {CONN_TYPE!r}. Name one that has extra 'webhook_secret' or"
                " 'webhook_path'."
            )

    def find(self, conn_id: str) -> Webhook:
        """Return the webhook of a connection; for an unknown one, a webhook that accepts nothing."""
        return self._webhooks.get(conn_id, self._nobody)

    def refresh(self) -> None:
        """Read the connections again. Deliveries for one that is no longer valid are refused."""
        found = {}
        for conn_id in self._conn_ids:
            webhook = self._read(conn_id)
            if webhook is not None:
                found[conn_id] = webhook
        self._webhooks = found
        self.algorithms = sorted({webhook.algorithm for webhook in found.values()} or {DEFAULT_ALGORITHM})
        # Deliveries for unknown connections take as long to refuse as forged ones.
        self._nobody = Webhook("", secrets.token_bytes(32), algorithm=self.algorithms[0])

    def _read(self, conn_id: str) -> Webhook | None:
        before = self._webhooks.get(conn_id)
        try:
            connection = read_connection(conn_id)
        except Exception as error:  # noqa: BLE001 - backends of secrets raise what they like, and may quote it
            self._report(conn_id, f"Connection {conn_id!r} cannot be read ({type(error).__name__}).")
            is_recent = time.monotonic() - self._read_at.get(conn_id, -UNREADABLE_FOR_S) < UNREADABLE_FOR_S
            return before if is_recent else None
        try:
            webhook = parse_webhook(connection)
        except WaContactsError as error:
            self._report(conn_id, f"Deliveries are refused. {error}")
            return None
        self._read_at[conn_id] = time.monotonic()
        self._problems.pop(conn_id, None)
        return webhook

    def _report(self, conn_id: str, problem: str) -> None:
        """Log a problem once, until it changes or is solved."""
        if self._problems.get(conn_id) != problem:
            self._problems[conn_id] = problem
            log.error("%s", problem)
