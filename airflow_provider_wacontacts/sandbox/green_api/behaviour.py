"""
Settings of the GREEN-API mock server, for questions that the contract leaves open.

The contract has one example of a list, and one remark: after an empty list, request it again. The vendor's other pages,
its tracker and its users report states, limits, quotas and errors. Each such question is a field here, so that a client
can be tested against every response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airflow_provider_wacontacts.sandbox.core.options import Option, RetryAfter

__all__ = ["GreenApiBehaviour"]

_READY = ("authorized", "yellowCard", "suspended")


@dataclass(frozen=True, slots=True, kw_only=True)
class GreenApiBehaviour:
    """
    Settings of the mock server. The defaults follow the contract, and the most widely documented behavior elsewhere.

    Shares are from 0 to 1. ``seed`` and the ID of a contact decide whether the contact belongs to a share.

    :param id_instance: ID of the only instance; other IDs get 403 Forbidden and a page of HTML.
    :param token: token of the instance; other tokens get 401 Unauthorized without a body.
    :param base_path: path before ``/waInstance``, such as ``/v3``; other paths get 403 Forbidden.
    :param state: state of the instance, any string; None while it is being created.
    :param null_state: form of the state None: a null ``field``, or a ``body`` of ``null``.
    :param refusal: message of a 400 Bad Request for every method, in any state: ``Instance is deleted``,
        ``Instance account is expired. Renew your instance from personal area`` or another; None for none.
    :param unauthorized_as: response to an unknown token: 401 without a body (``empty``), or 200 with the 401 in its
        body (``success``).
    :param error_form: body of a 400, 404 or 500: a JSON object that repeats the path with the token (``full``), one
        with the ``message`` only, or the message as ``text``.
    :param history_sync_progress: percent of the history that is loaded, in ``getWaSettings``; None for an older
        instance without this field.
    :param monthly_quota: maximum lists in a month of the sandbox's time; None for no limit; one more gets 466.
    :param check_quota: maximum checked numbers in a month; None for no limit; one more gets 466.
    :param check_rate_limit: checks in a second of real time; None for no limit; 10 is documented.
    :param check_form: version of ``checkWhatsapp``: ``2023`` accepts only a ``phoneNumber``; ``2025`` also a
        ``chatId``; ``2026`` adds linked IDs and ``fromCache``.
    :param on_whatsapp: share of the numbers that are on WhatsApp, for numbers without a set state.
    :param quota_numbers_as: whether the counts in a 466 are numbers, or strings.
    :param rate_limit: requests in a second of real time, for each method; None for no limit; 1 is documented.
    :param retry_after: format of ``Retry-After`` in a 429; a date has the time of ``Date``.
    :param empty_answers: number of empty lists after this is set; None for all.
    :param shown_share: share of the contacts that the list contains.
    :param group_option: reaction to ``group``; ``ignore`` lists users and groups.
    :param odd_rows: JSON texts at the end of the list, for rows that are not contacts: ``null``, ``{"name":"x"}``.
    :param seed: seed of the shares.
    """

    id_instance: str = "1101000001"
    token: str = "example-token"  # noqa: S105
    base_path: str = ""

    state: str | None = "authorized"
    null_state: Literal["field", "body"] = "field"
    refusal: str | None = None
    unauthorized_as: Literal["empty", "success"] = "empty"
    error_form: Literal["full", "message", "text"] = "full"
    history_sync_progress: int | None = 100

    monthly_quota: int | None = None
    check_quota: int | None = None
    check_rate_limit: float | None = None
    check_form: Literal["2023", "2025", "2026"] = "2026"
    on_whatsapp: float = 0.8
    quota_numbers_as: Literal["number", "text"] = "number"
    rate_limit: float | None = None
    retry_after: RetryAfter = "missing"

    empty_answers: int | None = 0
    shown_share: float = 1.0
    group_option: Option = "accept"

    odd_rows: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.id_instance or "/" in self.id_instance:
            raise ValueError("id_instance is not empty and has no slash")
        if not self.token:
            raise ValueError("token is not empty")
        if self.base_path and (not self.base_path.startswith("/") or self.base_path.endswith("/")):
            raise ValueError("base_path begins with a slash and ends without one")
        if self.rate_limit is not None and self.rate_limit <= 0:
            raise ValueError("rate_limit is more than 0")

    @property
    def is_ready(self) -> bool:
        """Whether the instance lists contacts."""
        return self.state in _READY
