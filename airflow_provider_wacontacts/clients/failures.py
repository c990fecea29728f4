"""Reasons why a request got no complete response, for both drivers."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from enum import Enum

__all__ = ["CONFIGURATION", "UNSENT", "Failure", "causes", "connect_failure", "tls_failure"]

#: OpenSSL's codes of a certificate for another host name or another IP address.
NAME_MISMATCH = {62, 64}
NOT_TLS = {"HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "WRONG_VERSION_NUMBER"}
#: Parts of OpenSSL's reasons. Alerts come from the server.
REFUSED_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED", "PROTOCOL_VERSION")
OUTDATED = ("UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS", "NO_SHARED_CIPHER", "TOO_SMALL", "TOO_WEAK", "LEGACY_RENEGOTIATION")


class Failure(Enum):
    """Reasons why no complete response arrived, with the remedy."""

    UNKNOWN_HOST = "The host name is unknown. Correct the connection's host."
    UNRESOLVED = "The host name could not be resolved. Check the connection's host and the name server."
    REFUSED = "The host refused the connection. Check that the server runs, and the connection's host and port."
    UNREACHABLE = "The host could not be reached. Check the network, and the connection's host and port."
    CONNECT_TIMED_OUT = "The connection attempt timed out. Check the network, and the connection's host and port."
    PROXY = "The proxy could not be reached, or did not connect to the host. Check extra 'proxies' of the connection."
    NOT_TRUSTED = (
        "The server's TLS certificate is not trusted, or has expired. If a private CA issued it, set extra 'verify' of"
        " the connection to the CA's file."
    )
    OTHER_NAME = "The server's TLS certificate is for another host name. Correct the connection's host."
    NOT_TLS = "The server does not use TLS on this port. Correct the connection's port or schema."
    TLS_REFUSED = (
        "The server refused the TLS handshake. It may require a client certificate (extra 'cert' of the connection), or"
        " support only other TLS versions."
    )
    TLS_OUTDATED = "The server's TLS version, cipher or key is too weak to be accepted. Update the server."
    DROPPED = "The connection was dropped before a response arrived. Try again later."
    TIMED_OUT = "The server took too long to respond. Try again later, or raise extra 'timeout' of the connection."
    INCOMPLETE = "The response is incomplete or damaged. Try again later."
    MALFORMED = "The response is not valid HTTP. Check which server responds at the connection's host."


#: The request was never sent, so no server can have processed it.
UNSENT = (
    Failure.UNKNOWN_HOST,
    Failure.UNRESOLVED,
    Failure.REFUSED,
    Failure.UNREACHABLE,
    Failure.CONNECT_TIMED_OUT,
    Failure.PROXY,
)
#: The connection has to be corrected; a retry does not help.
CONFIGURATION = (
    Failure.NOT_TRUSTED,
    Failure.OTHER_NAME,
    Failure.NOT_TLS,
    Failure.TLS_REFUSED,
    Failure.TLS_OUTDATED,
)


def connect_failure(error: BaseException) -> Failure:
    """Return why no connection was made, by the operating system's error among the causes."""
    for cause in causes(error):
        if isinstance(cause, socket.gaierror):
            return Failure.UNRESOLVED if cause.errno == socket.EAI_AGAIN else Failure.UNKNOWN_HOST
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return Failure.REFUSED
        if isinstance(cause, TimeoutError):
            return Failure.CONNECT_TIMED_OUT
    return Failure.UNREACHABLE


def tls_failure(error: BaseException) -> Failure:
    """Return why TLS failed, by the error of :mod:`ssl` among the causes."""
    for cause in causes(error):
        if verify_code := getattr(cause, "verify_code", None):
            return Failure.OTHER_NAME if verify_code in NAME_MISMATCH else Failure.NOT_TRUSTED
        # Some errors of aiohttp are instances of this class as well, but have no reason.
        if isinstance(cause, ssl.SSLError) and (reason := getattr(cause, "reason", None)):
            return _by_reason(str(reason))
    return Failure.DROPPED


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors inside it, as requests, urllib3 and aiohttp keep them."""
    yield error
    inner = [getattr(error, name, None) for name in ("reason", "original_error", "os_error", "__cause__")]
    for cause in {id(each): each for each in [*inner, *error.args] if isinstance(each, BaseException)}.values():
        yield from causes(cause)


def _by_reason(reason: str) -> Failure:
    if reason in NOT_TLS:
        return Failure.NOT_TLS
    if "UNRECOGNIZED_NAME" in reason:
        return Failure.OTHER_NAME
    if "ALERT" in reason and any(part in reason for part in REFUSED_ALERTS):
        return Failure.TLS_REFUSED
    # Anything else is a dropped or damaged connection, which a retry can fix.
    return Failure.TLS_OUTDATED if any(part in reason for part in OUTDATED) else Failure.DROPPED
