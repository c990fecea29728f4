"""
Errors of the WhatsApp Business API client, and of 360dialog's gateway.

Public sources: Meta's page on errors (https://developers.facebook.com/docs/whatsapp/on-premises/errors) and 360dialog's
(https://docs.360dialog.com/docs/useful/api-error-message-list).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from airflow_provider_wacontacts.sandbox.core.responses import Response, json_response
from airflow_provider_wacontacts.sandbox.whatsapp_business.behaviour import WhatsAppBehaviour

__all__ = ["TITLES", "WhatsAppError", "dialog360_response", "error_item", "with_meta"]

TITLES: Mapping[int, str] = MappingProxyType(
    {
        429: "Rate limit hit",
        500: "Message failed to send because of an unknown error",
        1000: "Generic error",
        1005: "Access denied",
        1006: "Resource not found",
        1008: "Required parameter is missing",
        1009: "Parameter value is not valid",
        1010: "Parameter is not required",
        1011: "Service not ready",
        1013: "User is not valid",
        1014: "Internal error",
        1015: "Too many requests",
        1016: "System overloaded",
        1017: "Not Primary Master",
        1018: "Not Primary Coreapp",
        1021: "Bad user",
        1022: "Webhook URL is not configured",
        1023: "Database error occurred",
        1024: "Password change required",
        1025: "Invalid request",
        1028: "Identity acknowledgement required",
        1031: "Sender account locked",
    }
)
"""By code."""


class WhatsAppError(Exception):
    """A response other than a success."""

    def __init__(self, status: int, code: int, details: str) -> None:
        super().__init__(details)
        self.status = status
        self.code = code
        self.details = details

    def answer(self, behaviour: WhatsAppBehaviour) -> Response:
        """Return the response."""
        return json_response(with_meta({"errors": [error_item(self.code, self.details)]}, behaviour), self.status)


def error_item(code: int, details: str) -> dict[str, Any]:
    """Return one of the ``errors`` of a response."""
    return {"code": code, "title": TITLES.get(code, "Error"), "details": details}


def with_meta(content: dict[str, Any], behaviour: WhatsAppBehaviour) -> dict[str, Any]:
    """Return a response's content, and its client version."""
    return {**content, "meta": {"version": behaviour.version, "api_status": "stable"}} if behaviour.meta else content


def dialog360_response(status: int, http_code: int, message: str) -> Response:
    """
    Return an error of 360dialog's gateway.

    :param http_code: the status in the body, which may differ from the response's.
    """
    return json_response({"meta": {"success": False, "httpCode": http_code, "developerMessage": message}}, status)
