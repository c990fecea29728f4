"""
How the WhatsApp Business API mock server behaves, where the contract leaves it open.

The contract names four statuses and one way in. Versions of the client, gateways that speak its language, and those
who use them say different things about the rest. Each such question is a field here, so that a client can be shown to
survive every answer.
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
    What the mock server does. The defaults answer as the contract does, with the most widely documented rest.

    Shares are of 1, and say of each number what follows from ``seed`` and from its WhatsApp id alone. The numbers of
    the contract's examples are as they are there, whatever the shares.

    :param sender: the registered number, with ``+``. A number without ``+`` is a national one of its country.
    :param version: what ``meta`` says of the client.
    :param meta: answers tell ``meta``.
    :param auth: what lets in: a token of ``login``, the ``bearer`` ``token``, ``api_key`` as ``D360-API-KEY``
        (``d360``), or any of the three.
    :param username: of the only user; of ``login``.
    :param password: of the same.
    :param token: what ``Authorization: Bearer`` may carry without a login.
    :param api_key: what ``D360-API-KEY`` carries.
    :param must_change_password: a login is answered with code 1024 until one brings a ``new_password``.
    :param rate_limit: requests a second of real time, after a burst of three seconds' worth; None for no limit; 20 is
        documented.
    :param rate_answer: one too many is 429 with ``errors``, 429 without a body (``empty``), or 400 in 360dialog's own
        form (``dialog360``).
    :param retry_after: how that says when to come back; a date is in the time of ``Date``.
    :param success_status: status of an answered check.
    :param order: of the entries in an answer.
    :param duplicates: an input given twice has two entries (``each``), or one (``once``).
    :param wa_id_with: the statuses that come with a ``wa_id``.
    :param user_ids: valid numbers also come with a ``user_id``, the business-scoped ID of their user.
    :param processing_word: what stands for ``processing``.
    :param missing_share: so many numbers have no entry the first ``missing_times`` times they are asked.
    :param missing_times: see there.
    :param missing_as: such an entry is ``absent``, or ``null``.
    :param errors_beside: an answered check has no ``errors`` (``absent``), an empty list of them (``empty``), one for
        each missing entry (``missing``), or always one (``always``).
    :param seed: what follows for each number.
    :param on_whatsapp: share of the numbers that are on WhatsApp.
    :param failing_share: share of the numbers whose check fails at first.
    :param processing_share: share of the numbers whose check takes a while.
    :param processing_answers: how often in a row such a number is at least answered ``processing``.
    :param processing_s: seconds that such a check takes at least.
    :param processing_time: the time that they are counted in.
    :param wait_s: real seconds that a request with ``wait`` takes while one of its numbers takes a while. The check
        continues, whether or not the caller still waits.
    :param resolved_by: how the result of such a check can be had: by ``asking`` again, by ``callback``, by ``either``,
        or ``never``. What is left to callbacks alone is answered ``processing`` until its callback was made.
    :param callback_url: where callbacks are posted to, once they are due; None makes them only when they are asked
        for, and keeps them in the log.
    :param callback_copies: how often each is delivered.
    :param callback_backoff_s: real seconds until a callback that was not answered with 200 is posted again; they
        double each time, up to 900.
    :param security_notifications: a changed identity is reported by a callback.
    :param created_as: an identity's time is a number of milliseconds, or that number as text.
    :param acknowledged_as: whether an identity was acknowledged is a truth value, or text.
    :param acknowledge_answer: the body of a success: ``null``, ``{}`` (``object``) or nothing (``empty``).
    :param stale_hash: a hash that is not the newest is answered with 400 (``refuse``), 404 (``not_found``) or 409
        (``conflict``); is answered as a success which changes nothing (``ignore``); or acknowledges the newest
        (``accept``).
    :param ban_ratio: real checks allowed for one message sent, None for any number of them.
    :param ban_grace: real checks allowed before that.
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
        """Whether ``invalid`` is never answered."""
        parsed = re.match(r"v?(\d+)\.(\d+)", self.version)
        return parsed is not None and (int(parsed[1]), int(parsed[2])) >= (2, 43)
