"""
The fields and extras of an Airflow connection, and its form in Airflow 2.11 to 3.1.

Errors name the connection and the field, never a value.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, Connection, mask_secret

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.get_provider_info import get_provider_info

__all__ = [
    "Endpoint",
    "describe_unknown_extras",
    "extras_of_form",
    "field_behaviour",
    "form_widgets",
    "invalid_field",
    "parse_endpoint",
    "read_bool",
    "read_connection",
    "read_connection_async",
    "read_count",
    "read_extras",
    "read_file_mode",
    "read_token",
    "warn_of_unknown_extras",
]

log = logging.getLogger(__name__)

#: What the provider declares of its connection types, by name.
CONNECTION_TYPES = {
    each["connection-type"]: each for each in cast(list[dict[str, Any]], get_provider_info()["connection-types"])
}
DEFAULT_TIMEOUT = 60.0
NO_HOST = "is not a host name. Set it to a name such as whatsapp.turn.io, without user name and query."
FILE_MODE = re.compile(r"0?[0-6]{3}")
DEFAULT_PORTS = {"https": 443, "http": 80}
MAX_COUNT_DIGITS = 9
#: How alike names must be, from 0 to 1: to suggest one for an unknown extra, and to call an extra of a driver a typo.
ALIKE, TYPO = 0.6, 0.7
DefaultT = TypeVar("DefaultT", int, None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    A connection's URL, and how it is reached.

    :param account: what its contacts are stored under.
    :param base_url: scheme, host, port and optional path; without a slash at the end.
    :param timeout: seconds to connect, and between two packets.
    :param verify: whether certificates are verified, or a file of the CAs to trust.
    :param cert: path of the client's certificate, or the paths of the certificate and its key.
    :param proxies: proxy URL by scheme.
    :param trust_env: whether the environment's proxies and CAs apply.
    :param file_mode: permissions of files that its contacts are written to in a local directory.
    :param max_response_mb: maximum decompressed size of a response; ``None`` for the hook's default.
    :param max_response_seconds: maximum time for a response; ``None`` for the hook's default.
    :param label: the connection's ID, host and port, for errors.
    """

    account: str
    base_url: str
    timeout: tuple[float, float]
    verify: bool | str
    cert: str | tuple[str, str] | None
    proxies: dict[str, str] = field(repr=False)
    trust_env: bool
    file_mode: int
    max_response_mb: int | None = None
    max_response_seconds: int | None = None
    label: str = ""


def read_connection(conn_id: str, conn_type: str | None = None) -> Connection:
    """
    Read a connection from Airflow.

    :param conn_type: the type it must have; ``None`` for any.
    :raises ConfigError: it is not defined, or of another type.
    """
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        connection = None
    return _require(connection, conn_id, conn_type)


async def read_connection_async(conn_id: str, conn_type: str | None = None) -> Connection:
    """Read a connection without blocking the event loop, see :func:`read_connection`."""
    try:
        connection = await get_async_connection(conn_id)
    except AirflowNotFoundException:
        connection = None
    return _require(connection, conn_id, conn_type)


def _require(connection: Connection | None, conn_id: str, conn_type: str | None) -> Connection:
    if connection is None:
        raise ConfigError(f"Connection {conn_id!r} is not defined. Create it, or correct the argument that names it.")
    if conn_type and connection.conn_type != conn_type:
        kind = f"is of type {connection.conn_type!r}" if connection.conn_type else "has no type"
        # Its password must not be sent to a system that it is not for.
        raise ConfigError(
            f"Connection {conn_id!r} {kind}. {conn_type}_conn_id needs a connection of type {conn_type!r}."
        )
    return connection


def warn_of_unknown_extras(connection: Connection, known: Collection[str], *, only_typos: bool = False) -> None:
    """Log a warning for each extra that has no effect, see :func:`describe_unknown_extras`."""
    for description in describe_unknown_extras(connection, known, only_typos=only_typos):
        log.warning("Connection %r: %s", connection.conn_id, description)


def describe_unknown_extras(connection: Connection, known: Collection[str], *, only_typos: bool = False) -> list[str]:
    """
    Return a sentence for each extra that has no effect, with the known extra whose name is nearest.

    :param only_typos: other extras have an effect that is not known here, for example on a database's driver.
    """
    described = []
    for name in sorted(read_extras(connection).keys() - set(known)):
        nearest = get_close_matches(name, known, n=1, cutoff=TYPO if only_typos else ALIKE)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        if hint or not only_typos:
            described.append(f"extra {name!r} is unknown.{hint}")
    return described


def extras_of_form(conn_type: str) -> set[str]:
    """Return the extras that the form of a connection type has."""
    return set(CONNECTION_TYPES[conn_type]["conn-fields"])


def read_extras(connection: Connection) -> dict[str, Any]:
    """
    Return a connection's extras; empty if it has none.

    :raises ConfigError: they are not a JSON object. (Airflow would ignore them.)
    """
    try:
        extras = json.loads(connection.extra or "{}")
    except ValueError:
        extras = None
    if not isinstance(extras, dict):
        raise invalid_field(connection, "extra", 'is not a JSON object. Correct it, for example to {"timeout": 60}.')
    mask_secret(extras)
    return extras


def parse_endpoint(connection: Connection) -> Endpoint:
    """
    Read the URL and the options of an HTTP connection.

    :raises ConfigError: a field is invalid, there is no host, or it is ``http://`` to another machine
        without extra ``allow_http``.
    """
    extras = read_extras(connection)
    url = _parse_url(connection)
    is_local = _is_loopback(url.hostname or "")
    is_open = read_bool(connection, extras, "allow_http", default=False)
    if url.scheme == "http" and not is_local and not is_open:
        raise invalid_field(
            connection,
            "host",
            "would get the token over unencrypted http://. Set it to https://, or set extra 'allow_http' in a trusted"
            " network.",
        )
    proxies = _read_proxies(connection, extras)
    if is_local and not proxies:
        proxies = {"no_proxy": url.hostname or ""}
    return Endpoint(
        account=_read_account(connection, extras),
        base_url=url.geturl().rstrip("/"),
        timeout=_read_timeout(connection, extras),
        verify=_read_verify(connection, extras),
        cert=_read_cert(connection, extras),
        proxies=proxies,
        trust_env=read_bool(connection, extras, "trust_env", default=True),
        file_mode=read_file_mode(connection, extras),
        max_response_mb=read_count(connection, "max_response_mb", None),
        max_response_seconds=read_count(connection, "max_response_seconds", None),
        label=f"connection {connection.conn_id!r} ({url.hostname}:{url.port or DEFAULT_PORTS[url.scheme]})",
    )


def read_count(connection: Connection, name: str, default: DefaultT) -> int | DefaultT:
    """
    Read an extra that is a whole number, 1 or more. Forms and URIs write it as a string.

    :raises ConfigError: it is anything else.
    """
    value = read_extras(connection).get(name)
    if value is None or value == "":
        return default
    text = str(value).strip() if isinstance(value, (int, float, str)) else ""
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_COUNT_DIGITS and int(text)):
        raise invalid_field(connection, f"extra {name!r}", "must be a whole number, 1 or more.")
    return int(text)


def read_token(connection: Connection) -> str:
    """
    Return the token in a connection's password, without spaces around it, and have Airflow mask it in logs.

    :raises ConfigError: it is empty, or has characters that a token cannot have.
    """
    token = (connection.password or "").strip()
    if not token:
        raise invalid_field(connection, "password", "is empty. Set it to the API token.")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise invalid_field(
            connection, "password", "has spaces or characters that an API token cannot have. Copy it again."
        )
    mask_secret(token)
    return token


def read_bool(connection: Connection, extras: dict[str, Any], name: str, *, default: bool) -> bool:
    """
    Read a Boolean extra, which forms and URIs write as a string.

    :raises ConfigError: it is neither true nor false.
    """
    value = extras.get(name)
    if value is None or value == "":
        return default
    choice = _FLAGS.get(str(value).strip().lower())
    if choice is None:
        raise invalid_field(connection, f"extra {name!r}", "is neither true nor false. Set it to one of them.")
    return choice


def read_file_mode(connection: Connection, extras: dict[str, Any]) -> int:
    """
    Read the permissions of new files, as octal digits.

    :raises ConfigError: they are invalid, or the owner could not read and write.
    """
    value = str(extras.get("file_mode") or "0600").strip()
    mode = int(value, 8) if FILE_MODE.fullmatch(value) else 0
    if mode & 0o600 != 0o600:
        raise invalid_field(
            connection,
            "extra 'file_mode'",
            "is not a mode such as 0600 or 0640, in which the owner may read and write.",
        )
    return mode


_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def invalid_field(connection: Connection, name: str, what: str) -> ConfigError:
    """
    Make the error of a field or an extra.

    :param name: the field; with ``extra`` before the name of an extra.
    :param what: the rest of the sentence, then a sentence with the remedy.
    """
    return ConfigError(f"Connection {connection.conn_id!r}: {name} {what}")


def _parse_url(connection: Connection) -> SplitResult:
    host = (connection.host or "").strip()
    if not host:
        raise invalid_field(connection, "host", "is empty. Set it to the host name of the API.")
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{_bracket_ipv6(host)}"
    try:
        url = urlsplit(host)
        has_port = url.port is not None
    except ValueError:
        raise invalid_field(connection, "host", NO_HOST) from None
    if url.scheme not in ("https", "http"):
        raise invalid_field(connection, "schema", "is neither https nor http. Leave it empty for https.")
    if not url.hostname or url.query or url.fragment or "@" in url.netloc or not host.isprintable() or " " in host:
        raise invalid_field(connection, "host", NO_HOST)
    return url if has_port or not connection.port else url._replace(netloc=f"{url.netloc}:{connection.port}")


def _bracket_ipv6(host: str) -> str:
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_account(connection: Connection, extras: dict[str, Any]) -> str:
    return str(extras.get("account") or "").strip() or connection.conn_id


def _read_timeout(connection: Connection, extras: dict[str, Any]) -> tuple[float, float]:
    value = extras.get("timeout")
    if value is None or value == "":
        return DEFAULT_TIMEOUT, DEFAULT_TIMEOUT
    pair = value if isinstance(value, list) else [value, value]
    try:
        connect, read = (float(part) for part in pair)
    except (TypeError, ValueError):
        connect = read = math.nan
    if not (0 < connect < math.inf and 0 < read < math.inf):
        raise invalid_field(
            connection, "extra 'timeout'", "is not a number of seconds above 0, or a list of two: to connect, to read."
        )
    return connect, read


def _read_verify(connection: Connection, extras: dict[str, Any]) -> bool | str:
    value = extras.get("verify", extras.get("verify_ssl"))
    if isinstance(value, str) and value.strip().lower() not in ("", *_FLAGS):
        return value.strip()
    return read_bool(connection, {"verify": value}, "verify", default=True)


def _read_cert(connection: Connection, extras: dict[str, Any]) -> str | tuple[str, str] | None:
    match extras.get("cert"):
        case None | "":
            return None
        case str(path):
            return path
        case [str(path), str(key)]:
            return path, key
    raise invalid_field(
        connection, "extra 'cert'", "is neither the path of a file nor a list of two: certificate, key."
    )


def _read_proxies(connection: Connection, extras: dict[str, Any]) -> dict[str, str]:
    value = extras.get("proxies", extras.get("proxy"))
    if isinstance(value, str) and value:
        value = {"http": value, "https": value}
    value = value or {}
    if not isinstance(value, dict) or not all(isinstance(url, str) for url in value.values()):
        raise invalid_field(
            connection, "extra 'proxies'", "is neither a URL nor an object of URLs by scheme, such as https."
        )
    return value


def field_behaviour(conn_type: str) -> dict[str, Any]:
    """Return which standard fields the connection form hides, renames and explains."""
    behaviour = CONNECTION_TYPES[conn_type]["ui-field-behaviour"]
    return {name.replace("-", "_"): value for name, value in behaviour.items()}


def form_widgets(conn_type: str) -> dict[str, Any]:
    """Return a form field for each extra of the connection form."""
    from flask_babel import lazy_gettext

    return {
        name: _form_field(form_field["schema"])(
            lazy_gettext(form_field["label"]),
            description=form_field["description"],
            default=form_field["schema"].get("default"),
        )
        for name, form_field in CONNECTION_TYPES[conn_type]["conn-fields"].items()
    }


def _form_field(schema: dict[str, Any]) -> Callable[..., Any]:
    """Return a factory of a form field: a check box, a select, a password or a line of text."""
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget, Select2Widget
    from wtforms import BooleanField, IntegerField, PasswordField, SelectField, StringField
    from wtforms.validators import Optional

    if schema["type"][0] == "boolean":
        return partial(BooleanField)
    if choices := schema.get("enum"):
        return partial(SelectField, choices=[choice for choice in choices if choice], widget=Select2Widget())
    if schema.get("format") == "password":
        return partial(PasswordField, widget=BS3PasswordFieldWidget(), validators=[Optional()])
    kind = IntegerField if schema["type"][0] == "integer" else StringField
    return partial(kind, widget=BS3TextFieldWidget(), validators=[Optional()])
