"""The webhook of a connection of type ``whatsapp_business``: the secret that a delivery must show."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow.providers.common.compat.sdk import Connection

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.connections import invalid_field, read_extras
from airflow_provider_wacontacts.hooks.whatsapp_business_connection import parse_sender

__all__ = ["CONN_TYPE", "DEFAULT_ALGORITHM", "Webhook", "parse_webhook"]

CONN_TYPE = "whatsapp_business"
TURN_HEADER = "X-Turn-Hook-Signature"
DEFAULT_ALGORITHM = "sha256"
ALGORITHMS = (DEFAULT_ALGORITHM, "sha512", "sha1")
MIN_SECRET_BYTES = 16
#: 32 characters of an alphabet that needs no encoding in URLs.
PATH = re.compile(r"[A-Za-z0-9._~-]{32,200}")
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


@dataclass(frozen=True, slots=True)
class Webhook:
    """
    What deliveries for a connection must show.

    :param sender: what the connection's numbers are stored under.
    :param secret: the key of the body's HMAC; ``None`` for a client that signs nothing.
    :param path: last part of the URL; empty without one.
    """

    sender: str
    secret: bytes | None = field(repr=False)
    path: str = field(default="", repr=False)
    header: str = TURN_HEADER
    algorithm: str = DEFAULT_ALGORITHM

    def accepts(self, path: str, signatures: Sequence[str], body: bytes, *, algorithms: Collection[str] = ()) -> bool:
        """
        Return whether a delivery comes from the client, in constant time.

        :param path: what follows the connection's ID in the URL.
        :param signatures: values of the header, of which there must be one.
        :param algorithms: of all connections. Each is computed, so that the time does not tell which one has which.
        """
        is_path = hmac.compare_digest(path.encode(errors="replace"), self.path.encode())
        names = {self.algorithm, *algorithms}
        digest = {name: hmac.digest(self.secret or b"", body, name) for name in names}[self.algorithm]
        given = signatures[0].strip() if len(signatures) == 1 else ""
        # Turn.io writes Base64. Gateways write hexadecimal digits, some of them with the algorithm before.
        spellings = (b64encode(digest).decode(), digest.hex(), f"{self.algorithm}={digest.hex()}")
        matches = [hmac.compare_digest(given.encode(errors="replace"), each.encode()) for each in spellings]
        return is_path and (self.secret is None or any(matches))


def parse_webhook(connection: Connection) -> Webhook:
    """
    Parse the extras of a connection that concern its webhook.

    :raises ConfigError: it is of another type, or an extra is missing or invalid; the message names it.
    """
    if connection.conn_type != CONN_TYPE:
        raise ConfigError(
            f"Connection {connection.conn_id!r} is of type {connection.conn_type!r}. The receiver needs one of type"
            f" {CONN_TYPE!r}."
        )
    extras = read_extras(connection)
    secret, path = _text(extras, "webhook_secret").encode(), _text(extras, "webhook_path")
    if not secret and not path:
        raise invalid_field(
            connection,
            "extra 'webhook_secret'",
            "is missing, so anybody could send deliveries. Set it to the secret that the client signs with, or set"
            " 'webhook_path' if it signs nothing.",
        )
    if secret and len(secret) < MIN_SECRET_BYTES:
        raise invalid_field(
            connection,
            "extra 'webhook_secret'",
            f"has less than {MIN_SECRET_BYTES} bytes. Set a longer one, also in the client.",
        )
    if path and not PATH.fullmatch(path):
        raise invalid_field(
            connection, "extra 'webhook_path'", "must be 32 to 200 random letters, digits, dots, dashes or underscores."
        )
    header = _text(extras, "webhook_header") or TURN_HEADER
    algorithm = _text(extras, "webhook_algorithm") or DEFAULT_ALGORITHM
    if not HEADER.fullmatch(header):
        raise invalid_field(
            connection, "extra 'webhook_header'", f"is not the name of an HTTP header, for example {TURN_HEADER}."
        )
    if algorithm not in ALGORITHMS or algorithm not in hashlib.algorithms_available:
        raise invalid_field(connection, "extra 'webhook_algorithm'", f"must be one of {', '.join(ALGORITHMS)}.")
    return Webhook(parse_sender(connection, extras), secret or None, path, header, algorithm)


def _text(extras: Mapping[str, Any], name: str) -> str:
    return str(extras.get(name) or "").strip()
