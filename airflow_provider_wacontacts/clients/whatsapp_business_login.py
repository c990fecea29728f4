"""
Login to the WhatsApp Business API client: exchanges a user name and a password for a token.

Source: https://developers.facebook.com/docs/whatsapp/api/users/login
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from airflow_provider_wacontacts.clients.auth import Token
from airflow_provider_wacontacts.clients.errors import contract_error
from airflow_provider_wacontacts.clients.http import Flow, Request, Response
from airflow_provider_wacontacts.clients.whatsapp_business_errors import error_from_response, read_fields

__all__ = ["LOGIN", "login"]

LOGIN = "whatsapp_business.login"


def login(username: str, password: str) -> Flow[Token]:
    """
    Exchange a user name and a password for a token.

    :raises AuthError: they are not accepted, or the password must be changed first.
    :raises ContractError: the response has no token.
    """
    basic = base64.b64encode(f"{username}:{password}".encode()).decode()
    response = yield Request(LOGIN, "POST", "/v1/users/login", {"authorization": f"Basic {basic}"})
    if not response.is_success:
        raise error_from_response(response, LOGIN)
    user = _read_user(response)
    token = user.get("token")
    if type(token) is not str or not token or not token.isascii() or not token.isprintable():
        raise contract_error("The response has no token.", LOGIN, response)
    return Token(token, _read_expiry(user.get("expires_after")), response.date)


def _read_user(response: Response) -> dict[str, Any]:
    fields = read_fields(response, LOGIN)
    users = fields.get("users")
    user = users[0] if type(users) is list and users else users
    if type(user) is dict:
        return user
    if fields.get("errors"):
        raise error_from_response(response, LOGIN)
    raise contract_error("The response has no user.", LOGIN, response)


def _read_expiry(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value.strip()) if type(value) is str else None
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None
