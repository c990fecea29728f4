"""
What is read of the WhatsApp Business API's bodies: JSON that may be missing, mangled, or of another shape.

Errors are documented as ``{"errors": [{"code", "title", "details"}]}``; clients before v1 and gateways have forms of
their own. Public sources: https://developers.facebook.com/docs/whatsapp/api/errors and
https://docs.360dialog.com/docs/useful/api-error-message-list
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from airflow_provider_wacontacts.clients.redaction import server_title
from airflow_provider_wacontacts.identifiers.wa_ids import wa_id_digits
from airflow_provider_wacontacts.records.json import decode_leniently, repair

__all__ = ["ApiErrorItem", "client_version", "error_items", "from_epoch", "plain_words", "read_object", "read_wa_id"]

NUL = b"\\u0000"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ApiErrorItem:
    """
    One error of a body.

    :param code: of the API; ``None`` where it has none.
    :param title: as the server wrote it: not fit for a log.
    :param details: likewise.
    """

    code: int | None
    title: str = field(default="", repr=False)
    details: str = field(default="", repr=False)


def read_object(body: bytes) -> dict[str, Any]:
    """
    Decode a JSON object, with what databases refuse replaced by U+FFFD.

    :raises ValueError: the body is anything else.
    """
    try:
        value = _decode(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if type(value) is not dict:
        raise ValueError("not an object")
    return value


def error_items(answer: dict[str, Any]) -> list[ApiErrorItem]:
    """Return the errors of an answer, in its order; empty where it has none."""
    errors = answer.get("errors") or answer.get("error") or []
    found = [_trouble(error) for error in (errors if type(errors) is list else [errors])]
    meta = answer.get("meta")
    if not found and type(meta) is dict and meta.get("success") is False:
        found = [ApiErrorItem(None, _text(meta.get("developerMessage")))]
    return found


def client_version(answer: dict[str, Any]) -> str | None:
    """Return the version that a client reports of itself, such as ``v2.45.1``; at most 40 characters."""
    meta = answer.get("meta")
    version = _text(meta.get("version")) if type(meta) is dict else ""
    return version[:40] or None


def read_wa_id(value: object) -> str | None:
    """Return a WhatsApp id as digits, whether it comes as a number, with a plus sign, or as ``…@s.whatsapp.net``."""
    if type(value) is int:
        value = str(value)
    return wa_id_digits(value.partition("@")[0].partition(":")[0]) if type(value) is str else None


def from_epoch(value: object, unit: timedelta) -> datetime | None:
    """Read a time that is a count since 1970, as a number or as text; ``None`` where it is none."""
    try:
        count = float(value) if type(value) in (int, float, str) else math.nan  # type: ignore[arg-type]
        return EPOCH + unit * count
    except (ValueError, OverflowError):
        return None


def plain_words(text: str) -> str:
    """Keep what of a server's text is fit for a log, see :func:`~.redaction.server_title`."""
    return server_title(msgspec.json.encode({"errors": [{"title": text}]}))


def _decode(body: bytes) -> Any:
    if NUL not in body:
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return repair(decode_leniently(body))[0]


def _trouble(error: object) -> ApiErrorItem:
    if type(error) is not dict:
        return ApiErrorItem(None, _text(error))
    code = error.get("code", error.get("errorcode"))
    title = _text(error.get("title")) or _text(error.get("errortext"))
    return ApiErrorItem(_whole(code), title, _text(error.get("details")) or _text(error.get("detail")))


def _whole(value: object) -> int | None:
    if type(value) is str and value.isascii() and value.isdecimal() and len(value) <= 9:
        return int(value)
    # What is longer is no code, and may be a number.
    return value if type(value) is int and abs(value) < 10**9 else None


def _text(value: object) -> str:
    return value if type(value) is str else ""
