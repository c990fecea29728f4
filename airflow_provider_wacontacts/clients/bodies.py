"""Decompress response bodies up to a size limit."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from airflow_provider_wacontacts.clients.errors import contract_error
from airflow_provider_wacontacts.exceptions import ContractError

__all__ = ["ACCEPT_ENCODING", "DEFAULT_LIMITS", "BodyTooLargeError", "Limits", "decompress"]

ACCEPT_ENCODING = "gzip, deflate"
#: zlib's argument for a gzip or a zlib header, and for none.
WITH_HEADER, WITHOUT_HEADER = 47, -15
MEGABYTE = 1_000_000


class BodyTooLargeError(Exception):
    """A body is larger than allowed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Limits of one request and its response.

    :param max_mb: megabytes of the decompressed body.
    :param max_seconds: from the request to the end of the response.
    """

    max_mb: int = 64
    max_seconds: int = 300

    def changed(self, max_mb: int | None, max_seconds: int | None) -> Limits:
        """Return the limits with changes, where given."""
        return Limits(max_mb or self.max_mb, max_seconds or self.max_seconds)

    @property
    def max_bytes(self) -> int:
        """Maximum size of the decompressed body."""
        return self.max_mb * MEGABYTE

    def too_large(self, operation: str) -> ContractError:
        """Return the error of a body that is too large."""
        return contract_error(
            f"The response is larger than {self.max_mb} MB. If that is expected, raise extra 'max_response_mb' of the"
            " connection.",
            operation,
        )

    def too_slow(self, operation: str) -> ContractError:
        """Return the error of a response that takes too long."""
        return contract_error(
            f"The response took longer than {self.max_seconds} s. If that is expected, raise extra"
            " 'max_response_seconds' of the connection.",
            operation,
        )


DEFAULT_LIMITS = Limits()


def decompress(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """
    Decompress a body.

    :param encoding: its ``Content-Encoding``; empty if it has none.
    :raises BodyTooLargeError: the result is larger than allowed. No more memory than that is used.
    :raises zlib.error: the body is damaged or incomplete, or the encoding is not one of :data:`ACCEPT_ENCODING`.
    """
    encoding = encoding.strip().lower()
    if not body or encoding in ("", "identity"):
        return _within(body, max_bytes)
    if encoding in ("gzip", "x-gzip"):
        return _inflate(body, WITH_HEADER, max_bytes)
    if encoding != "deflate":
        raise zlib.error
    try:
        return _inflate(body, WITH_HEADER, max_bytes)
    except zlib.error:
        # Some servers leave out the header.
        return _inflate(body, WITHOUT_HEADER, max_bytes)


def _inflate(body: bytes, header: int, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while body:
        member = zlib.decompressobj(header)
        parts.append(member.decompress(body, max_bytes - size + 1))
        size += len(parts[-1])
        if size > max_bytes:
            raise BodyTooLargeError
        if not member.eof:
            raise zlib.error
        # A gzip file may have several members, and padding after the last one.
        body = member.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _within(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise BodyTooLargeError
    return body
