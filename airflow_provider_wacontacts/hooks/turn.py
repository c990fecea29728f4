"""Turn.io's contacts, through an Airflow connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import Connection, mask_secret

from airflow_provider_wacontacts.clients import turn
from airflow_provider_wacontacts.clients.auth import AuthState, Credentials, bearer_header
from airflow_provider_wacontacts.clients.http import Flow
from airflow_provider_wacontacts.clients.retry import Clock, RetryPolicy
from airflow_provider_wacontacts.clients.turn_export import Export
from airflow_provider_wacontacts.exceptions import ApiError
from airflow_provider_wacontacts.hooks.connections import parse_endpoint, read_connection, read_token
from airflow_provider_wacontacts.hooks.feed import FeedHook
from airflow_provider_wacontacts.records.turn import TurnPage
from airflow_provider_wacontacts.records.windows import Window

__all__ = ["TurnHook"]


class TurnHook(FeedHook):
    """
    Reads the contacts of one Turn.io number.

    The connection's host is Turn's, or that of a private cloud; its password is the API token. If the token is
    not accepted, the hook reads the connection once more: the token may have been replaced.

    :param turn_conn_id: the connection.
    :param method: of :meth:`run`.
    :param policy: how long a request is retried.
    :param clock: for tests.
    """

    conn_name_attr = "turn_conn_id"
    default_conn_name = "turn_default"
    conn_type = "turn"
    hook_name = "Turn.io"

    def __init__(
        self,
        turn_conn_id: str = default_conn_name,
        *,
        method: str = "GET",
        policy: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(turn_conn_id, method=method, policy=policy, clock=clock)
        self.turn_conn_id = turn_conn_id

    def create_cursor(self, window: Window, options: turn.ExportOptions | None = None) -> str:
        """
        Create a cursor for the contacts whose latest update is in a window.

        :returns: the cursor. It is a secret: with the token, it gives access to the contacts.
        :raises WaContactsError: the server created none.
        """
        return self.run_flow(turn.create_cursor(window.start, window.end, options or turn.ExportOptions())).cursor

    def read_pages(
        self,
        window: Window,
        *,
        ordering: str | None = None,
        page_size: int | None = None,
        scrubbing_rules: Mapping[str, Any] | None = None,
        resume_from: datetime | None = None,
    ) -> Iterator[TurnPage]:
        """
        Read the contacts whose latest update is in a window, a page at a time.

        If a cursor expires, contacts can repeat.

        :param window: half-open; it does not return contacts that were updated after it.
        :param ordering: ``asc`` or ``desc``, by time of update; the server's choice by default.
        :param page_size: contacts per page, 1 and up; some numbers refuse it with 400 Bad Request.
        :param scrubbing_rules: field to rule; some numbers refuse them with 400 Bad Request.
        :param resume_from: ``updated_at`` of the last contact that is already stored.
        :returns: pages in the server's order; an empty page does not end the export.
        :raises WaContactsError: a page could not be read.
        """
        options = turn.ExportOptions(ordering, page_size, scrubbing_rules)
        export = Export(window, options, resume_from=resume_from)
        while (page := self.run_flow(export.next_page())) is not None:
            yield page

    def get_schemas(self) -> list[dict[str, Any]]:
        """
        Return the contact fields of the number: the only documented source of the types of custom fields.

        :returns: one object per field (``name``, ``type``, ``custom``, …).
        :raises WaContactsError: they could not be read.
        """
        return self.run_flow(turn.get_schemas())

    def get_declared_types(self) -> dict[str, str] | None:
        """
        Return the types of contact fields as Turn.io declares them, by field: ``details.name`` and so on.

        :returns: ``None`` if Turn.io does not respond with them within seconds.
        """
        try:
            fields = self.quick_driver.run(turn.get_schemas())
        except ApiError as error:
            self.log.info("The contact fields of the number could not be read: %s", error)
            return None
        named = ((field.get("name"), field.get("type")) for field in fields)
        return {f"details.{name}": type_ for name, type_ in named if isinstance(name, str) and isinstance(type_, str)}

    def _probe(self) -> Flow[str]:
        fields = yield from turn.get_schemas()
        return f"Connected to Turn.io. Contacts have {len(fields)} fields."

    @cached_property
    def _auth(self) -> AuthState:
        return AuthState(
            _credentials(self._connection),
            read=self._read_credentials,
            mask=mask_secret,
            lock=threading.Lock(),
            now=self._clock.now,
        )

    def _read_credentials(self) -> Credentials | None:
        """Read the token once more; ``None`` if the connection's host has changed: the new host must not receive it."""
        connection = read_connection(self.turn_conn_id, self.conn_type)
        is_same_host = parse_endpoint(connection).base_url == self._endpoint.base_url
        return _credentials(connection) if is_same_host else None


def _credentials(connection: Connection) -> Credentials:
    return Credentials(header=bearer_header(read_token(connection)))
