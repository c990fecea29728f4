"""
Errors of GREEN-API: JSON that repeats the path with the token, an empty body, or nginx's HTML.

Public sources: the page on common errors (https://green-api.com/en/docs/api/common-errors/) and the one on status 466
(https://green-api.com/en/docs/api/466-error-example-body).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from airflow_provider_wacontacts.sandbox.core.responses import Response, json_response
from airflow_provider_wacontacts.sandbox.green_api.behaviour import GreenApiBehaviour

__all__ = ["MESSAGES", "NOT_AUTHORIZED", "STARTING", "GreenApiError", "quota_response"]

STARTING = "instance in starting process try later"
NOT_AUTHORIZED = "instance is starting or not authorized"

MESSAGES: Mapping[int, str] = MappingProxyType(
    {400: "Validation failed", 404: "Cannot {line}", 500: "request entity too large"}
)
"""Default messages of JSON errors, by status; ``line`` is the method and the path."""

_NGINX = {403: "Forbidden", 499: "Client Closed Request", 502: "Bad Gateway", 503: "Service Temporarily Unavailable"}
_HTML = """\
<html>\r
<head><title>{title}</title></head>\r
<body>\r
<center><h1>{title}</h1></center>\r
<hr><center>nginx</center>\r
</body>\r
</html>\r
"""


class GreenApiError(Exception):
    """
    A response other than a success.

    :param message: None for the usual message of the status.
    """

    def __init__(self, status: int, message: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.message = message

    def answer(self, method: str, path: str, timestamp: str, behaviour: GreenApiBehaviour) -> Response:
        """
        Return the response.

        :param path: path and query as sent.
        :param timestamp: time in the body.
        """
        if self.status == 401 and behaviour.unauthorized_as == "success":
            return json_response({"code": 401, "description": "Unauthorized"})
        if self.status in (401, 429):
            return Response(self.status, media_type="application/json")
        if self.status not in MESSAGES and self.message is None:
            title = f"{self.status} {_NGINX.get(self.status, 'Error')}"
            return Response(self.status, _HTML.format(title=title).encode(), media_type="text/html")
        message = (self.message or MESSAGES[self.status]).replace("{line}", f"{method} {path}")
        if behaviour.error_form == "text":
            return Response(self.status, message.encode(), media_type="text/plain")
        full = {"statusCode": self.status, "timestamp": timestamp, "path": path, "message": message}
        return json_response(full if behaviour.error_form == "full" else {"message": message}, self.status)


def quota_response(
    method: str, used: int, total: int, chat_ids: Sequence[str], behaviour: GreenApiBehaviour
) -> Response:
    """
    Return the 466 response of a used up quota.

    :param chat_ids: chat IDs in the message, like in the real one.
    """
    numbers = {"used": used, "total": total}
    shown = {key: str(number) if behaviour.quota_numbers_as == "text" else number for key, number in numbers.items()}
    invoked = {"method": method, **shown, "status": "QUOTE_EXCEEDED", "description": "Monthly quota is exceeded"}
    named = f"You can only correspond with: {', '.join(chat_ids)}"
    content = {
        "invokeStatus": invoked,
        "correspondentsStatus": {
            "method": "correspondents",
            **shown,
            "status": "CORRESPONDENTS_QUOTE_EXCEEDED",
            "description": named,
        },
    }
    return Response(466, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
