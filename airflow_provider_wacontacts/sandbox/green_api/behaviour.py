"""
How the GREEN-API mock server behaves, where the contract leaves it open.

The contract shows one list and one remark: an empty one means to ask again. The vendor's other pages, its tracker and
its users tell of states, limits, quotas and errors. Each such question is a field here, so that a client can be shown
to survive every answer.
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
    What the mock server does. The defaults answer as the contract does, with the most widely documented rest.

    Shares are of 1, and say of each contact what follows from ``seed`` and from its id alone.

    :param id_instance: of the only instance; any other is answered with 403 and a page of HTML.
    :param token: of the instance; any other is answered with 401 and no body.
    :param base_path: what stands before ``/waInstance``, such as ``/v3``; other paths are answered with 403.
    :param state: of the instance, whatever its name; None while it is being created.
    :param null_state: that is a ``field`` which is null, or a whole ``body`` of ``null``.
    :param refusal: what every method is refused with, whatever the state, by a 400: ``Instance is deleted``,
        ``Instance account is expired. Renew your instance from personal area`` or anything else; None for nothing.
    :param unauthorized_as: a token that is not known has its 401 without a body (``empty``), or a 200 which says 401
        in its body (``success``).
    :param error_form: a 400, 404 or 500 has a JSON object that repeats the path, and with it the token (``full``), one
        with the ``message`` alone, or the message as ``text``.
    :param history_sync_progress: percent of the history that is loaded, as ``getWaSettings`` reports it; None for an
        older instance, which does not.
    :param monthly_quota: lists that are answered in a month of the sandbox's time, None for any number; one more is
        answered with 466.
    :param check_quota: numbers that are checked in a month, None for any number; one more is answered with 466.
    :param check_rate_limit: checks a second of real time; None for no limit; 10 is documented.
    :param check_form: the form of ``checkWhatsapp``: of ``2023``, which takes a ``phoneNumber`` alone; of ``2025``,
        with a ``chatId``; or of ``2026``, with linked IDs and ``fromCache``.
    :param on_whatsapp: share of the numbers that are on WhatsApp, where nothing was set.
    :param quota_numbers_as: numbers in that answer are numbers, or text.
    :param rate_limit: requests a second of real time, for each method; None for no limit; 1 is documented.
    :param retry_after: how a 429 says when to come back; a date is in the time of ``Date``.
    :param empty_answers: so many times, from when this was set, the list is empty at first; None for ever.
    :param shown_share: share of the contacts that the list holds.
    :param group_option: what becomes of ``group``; ``ignore`` lists users and groups.
    :param odd_rows: JSON texts at the end of the list, for rows that are no contacts: ``null``, ``{"name":"x"}``.
    :param seed: what follows for each contact.
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
