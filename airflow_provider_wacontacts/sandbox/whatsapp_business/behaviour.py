"""
Settings of the WhatsApp Business API mock server, for questions that the contract leaves open.

The contract has four statuses and one kind of login. Versions of the client, gateways that implement its API, and users
report other behavior. Each such question is a field here, so that a client can be tested against every response.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from airflow_provider_wacontacts.sandbox.core.options import RetryAfter
from airflow_provider_wacontacts.sandbox.whatsapp_business.numbers import read_sender

__all__ = ["Status", "WhatsAppBehaviour"]

Status = Literal["valid", "invalid", "failed", "processing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatsAppBehaviour:
    """
    Settings of the mock server. The defaults follow the contract, and the most widely documented behavior elsewhere.

    Shares are from 0 to 1. ``seed`` and the WhatsApp ID of a number decide whether the number belongs to a share. The
    numbers of the contract's examples have the results of the contract, independent of the shares.

    :param sender: the registered number, with ``+``. A number without ``+`` is a national number of its country.
    :param version: version of the client in ``meta``.
    :param meta: whether responses contain ``meta``.
    :param auth: accepted credentials: a token of ``login``, the ``bearer`` ``token``, ``api_key`` as ``D360-API-KEY``
        (``d360``), or any of the three.
    :param username: name of the only user, for ``login``.
    :param password: password of the only user, for ``login``.
    :param token: token accepted in ``Authorization: Bearer`` without a login.
    :param api_key: key accepted in ``D360-API-KEY``.
    :param must_change_password: whether logins get error 1024 until one contains a ``new_password``.
    :param rate_limit: requests in a second of real time, after a burst of three seconds' worth; None for no limit; 20
        is documented.
    :param rate_answer: response to a request over the limit: 429 with ``errors``, 429 without a body (``empty``), or
        400 in 360dialog's form (``dialog360``).
    :param retry_after: format of ``Retry-After`` in it; a date has the time of ``Date``.
    :param success_status: status of a response to a check.
    :param order: order of the entries in a response; ``asked`` is that of the request.
    :param duplicates: whether an input given twice has two entries (``each``), or one (``once``).
    :param wa_id_with: statuses that come with a ``wa_id``.
    :param user_ids: whether valid numbers also come with a ``user_id``, the business-scoped ID of their user.
    :param processing_word: word in place of ``processing``.
    :param missing_share: share of numbers without an entry in the first ``missing_times`` responses.
    :param missing_times: number of responses in which such a number has no entry.
    :param missing_as: form of a missing entry: ``absent``, or ``null``.
    :param errors_beside: ``errors`` of a check's response: none (``absent``), an empty list (``empty``), one for each
        missing entry (``missing``), or always one (``always``).
    :param seed: seed of the shares.
    :param on_whatsapp: share of the numbers that are on WhatsApp.
    :param failing_share: share of the numbers whose check fails at first.
    :param processing_share: share of the numbers with a slow check.
    :param processing_answers: minimum number of responses in which a slow check is ``processing``.
    :param processing_s: minimum seconds of a slow check.
    :param processing_time: clock of these seconds.
    :param wait_s: real seconds that a request with ``wait`` takes if one of its checks is slow. The check continues if
        the caller stops waiting.
    :param resolved_by: how the result of a slow check arrives: by ``asking`` again, by ``callback``, by ``either``, or
        ``never``. If a result arrives only by callback, it is ``processing`` until its callback was created.
    :param callback_url: URL that due callbacks are posted to; None creates them only on request, and keeps them in the
        log.
    :param callback_copies: number of deliveries of each callback.
    :param callback_backoff_s: real seconds until a callback that did not get 200 OK is posted again; doubled each
        time, up to 900.
    :param security_notifications: whether a callback reports a changed identity.
    :param created_as: whether an identity's time in milliseconds is a number, or a string.
    :param acknowledged_as: whether ``acknowledged`` of an identity is a boolean, or a string.
    :param acknowledge_answer: body of a success: ``null``, ``{}`` (``object``) or nothing (``empty``).
    :param stale_hash: response to a hash that is not the newest: 400 (``refuse``), 404 (``not_found``), 409
        (``conflict``), a success that changes nothing (``ignore``), or one that acknowledges the newest (``accept``).
    :param ban_ratio: maximum real checks per sent message; None for no limit.
    :param ban_grace: real checks allowed before ``ban_ratio`` applies.
    """

    sender: str = "+12015550100"
    version: str = "v2.41.2"
    meta: bool = True

    auth: Literal["login", "bearer", "d360", "any"] = "any"
    username: str = "example-user"
    password: str = "example-Password-1"  # noqa: S105
    token: str = "example-bearer"  # noqa: S105
    api_key: str = "example-key"
    must_change_password: bool = False

    rate_limit: float | None = None
    rate_answer: Literal["errors", "empty", "dialog360"] = "errors"
    retry_after: RetryAfter = "missing"

    success_status: Literal[200, 201] = 200
    order: Literal["asked", "reversed", "shuffled"] = "asked"
    duplicates: Literal["each", "once"] = "each"
    wa_id_with: tuple[Status, ...] = ("valid", "processing")
    user_ids: bool = False
    processing_word: str = "processing"
    missing_share: float = 0.0
    missing_times: int = 1
    missing_as: Literal["absent", "null"] = "absent"
    errors_beside: Literal["absent", "empty", "missing", "always"] = "absent"

    seed: int = 0
    on_whatsapp: float = 0.8
    failing_share: float = 0.0

    processing_share: float = 0.1
    processing_answers: int = 1
    processing_s: float = 0.0
    processing_time: Literal["sandbox", "real"] = "sandbox"
    wait_s: float = 0.0
    resolved_by: Literal["asking", "callback", "either", "never"] = "either"

    callback_url: str | None = None
    callback_copies: int = 1
    callback_backoff_s: float = 3.0

    security_notifications: bool = True
    created_as: Literal["number", "text"] = "number"
    acknowledged_as: Literal["boolean", "text"] = "boolean"
    acknowledge_answer: Literal["null", "object", "empty"] = "null"
    stale_hash: Literal["refuse", "not_found", "conflict", "ignore", "accept"] = "refuse"

    ban_ratio: float | None = None
    ban_grace: int = 0

    def __post_init__(self) -> None:
        read_sender(self.sender)
        if self.rate_limit is not None and self.rate_limit <= 0:
            raise ValueError("rate_limit is more than 0")
        if self.callback_url is not None and not self.callback_url.startswith(("http://", "https://")):
            raise ValueError("callback_url begins with http:// or https://")
        if self.callback_backoff_s <= 0:
            raise ValueError("callback_backoff_s is more than 0")

    @property
    def everybody_is_valid(self) -> bool:
        """Whether no result is ``invalid``."""
        parsed = re.match(r"v?(\d+)\.(\d+)", self.version)
        return parsed is not None and (int(parsed[1]), int(parsed[2])) >= (2, 43)
