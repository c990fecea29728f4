"""A connection of type ``whatsapp_business``: its endpoint, its sender and its credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import Connection, mask_secret

from airflow_provider_wacontacts.clients.auth import Credentials, bearer_header
from airflow_provider_wacontacts.clients.whatsapp_business_login import login
from airflow_provider_wacontacts.hooks.connections import (
    Endpoint,
    invalid_field,
    parse_endpoint,
    read_count,
    read_extras,
    read_token,
)
from airflow_provider_wacontacts.identifiers.identifier import InvalidIdentifierError
from airflow_provider_wacontacts.identifiers.numbers import infer_region, read_sender
from airflow_provider_wacontacts.store.checks.model import SenderBudget

__all__ = ["MAX_SECONDS", "UNVERIFIED", "WhatsAppConnection", "parse_connection", "parse_sender"]

DEFAULT_DAILY_CHECKS = 1000
DEFAULT_WAIT_TIMEOUT = 600
#: Together with the ten minutes of retries, it is shorter than the lease of the numbers.
MAX_SECONDS = 100
UNVERIFIED = "Connection %r does not verify certificates, so its traffic can be read and changed. Set extra 'verify'."


@dataclass(frozen=True, slots=True)
class WhatsAppConnection:
    """
    A connection's endpoint, sender and credentials.

    :param budget: the sender and its budget. The sender is the registered number in E.164, or a name, by default the
        connection's ID.
    :param region: the sender's region, for numbers without a plus sign; ``None`` if the sender is not a number.
    :param wait_timeout: seconds that a check may wait for its results, 1 and up.
    :param auth: ``login``, ``bearer`` or ``d360``.
    :param secret: the password of the login, the token, or the key.
    """

    endpoint: Endpoint
    budget: SenderBudget
    region: str | None
    wait_timeout: int
    auth: str
    username: str
    secret: str = field(repr=False)

    @property
    def credentials(self) -> Credentials:
        """What the client authenticates with."""
        if self.auth == "login":
            return Credentials(login=partial(login, self.username, self.secret))
        return Credentials(header=_HEADERS[self.auth](self.secret))

    def credentials_for(self, base_url: str) -> Credentials | None:
        """Return the credentials; ``None`` if the connection's host has changed: the new host must not receive them."""
        return self.credentials if self.endpoint.base_url == base_url else None


def parse_connection(connection: Connection) -> WhatsAppConnection:
    """
    Parse a connection; nothing is sent.

    :raises ConfigError: a field or an extra is missing or invalid; the message names it.
    """
    endpoint, extras = parse_endpoint(connection), read_extras(connection)
    if (endpoint.max_response_seconds or 1) > MAX_SECONDS:
        raise invalid_field(
            connection,
            "extra 'max_response_seconds'",
            f"must be at most {MAX_SECONDS}: a number is leased for 12 minutes.",
        )
    sender = parse_sender(connection, extras)
    region = infer_region(sender)
    auth = _auth_kind(connection, extras, endpoint)
    username, secret = _login(connection) if auth == "login" else ("", read_token(connection))
    daily_checks = read_count(connection, "daily_checks", DEFAULT_DAILY_CHECKS)
    wait_timeout = read_count(connection, "wait_timeout", DEFAULT_WAIT_TIMEOUT)
    budget = SenderBudget(sender, daily_checks)
    return WhatsAppConnection(endpoint, budget, region, wait_timeout, auth, username, secret)


_HEADERS: dict[str, Callable[[str], Mapping[str, str]]] = {
    "bearer": bearer_header,
    "d360": lambda key: {"d360-api-key": key},
}


def _auth_kind(connection: Connection, extras: Mapping[str, Any], endpoint: Endpoint) -> str:
    auth = str(extras.get("auth") or "").strip().lower() or "login"
    if auth not in ("login", *_HEADERS):
        raise invalid_field(connection, "extra 'auth'", "must be login, bearer or d360.")
    host = urlsplit(endpoint.base_url).hostname or ""
    if host == "graph.facebook.com":
        raise invalid_field(
            connection,
            "host",
            "is Meta's Cloud API, which cannot check numbers. Set it to an on-premises client, or to a gateway with"
            " /v1/contacts.",
        )
    if auth == "login" and f".{host}".endswith(".turn.io"):
        raise invalid_field(
            connection,
            "extra 'auth'",
            "is login, which at Turn.io revokes the token in use. Set it to bearer, and the token as password.",
        )
    return auth


def _login(connection: Connection) -> tuple[str, str]:
    username, password = (connection.login or "").strip(), connection.password or ""
    if not username:
        raise invalid_field(
            connection, "login", "is empty. Set it to the user name, or set extra 'auth' to bearer or d360."
        )
    if ":" in username:
        raise invalid_field(connection, "login", "has a colon, which is not allowed in a user name.")
    if not password:
        raise invalid_field(connection, "password", "is empty. Set it to the user's password.")
    mask_secret(password)
    return username, password


def parse_sender(connection: Connection, extras: Mapping[str, Any]) -> str:
    """
    Return what a connection's numbers are stored under: extra ``sender``, or the connection's ID.

    :raises ConfigError: it is neither a phone number nor a name.
    """
    given = str(extras.get("sender") or "").strip()
    try:
        return read_sender(given or connection.conn_id)
    except InvalidIdentifierError as error:
        reason = error.reason
    raise invalid_field(
        connection, "extra 'sender'", f"is neither a name nor a phone number: {reason}. Set it to the number in E.164."
    )
