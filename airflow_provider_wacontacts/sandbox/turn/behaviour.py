"""
Settings of the mock server of Turn.io, for questions that the contract leaves open.

The contract has no paging, no limits and no error bodies. Turn.io's other pages and users of the API contradict each
other. Each such question is a field here, so that a client can be tested against every response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airflow_provider_wacontacts.sandbox.core.clock import TimeFormat
from airflow_provider_wacontacts.sandbox.core.options import Option, RetryAfter

__all__ = ["TurnBehaviour"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnBehaviour:
    """
    Settings of the mock server. The defaults follow the contract, and the most widely documented behavior elsewhere.

    :param token: the token accepted in ``Authorization: Bearer``; other tokens get 401 Unauthorized.
    :param export: ``forbidden`` refuses a new cursor with 403 Forbidden (not in the plan), ``unavailable`` with 404 Not
        Found.
    :param number_id: ``number_id`` of every contact, instead of the world's: simulates the token of another number.
    :param send_date: whether responses have the sandbox's time as the header ``Date``.
    :param page_size: contacts on a page if the request sets no size; 1 or more.
    :param page_size_option: reaction to ``page_size`` in the request.
    :param scrubbing_option: reaction to ``scrubbing_rules``; ``ignore`` sends unscrubbed contacts.
    :param default_ordering: order if the request sets none: by ``updated_at`` ascending or descending, by ``id``, or at
        random.
    :param from_inclusive: whether an update exactly at ``from`` is in the window.
    :param until_inclusive: whether an update exactly at ``until`` is in the window.
    :param cursor_kind: ``keyset`` continues after the last contact that was read; ``offset`` after the number of
        contacts that were read, so it skips contacts when others leave the window.
    :param cursor_pages: number of pages after which an export expires, at any time; 0 at once.
    :param expired_status: status for an expired cursor; other than 400, the body does not mention expiry.
    :param single_use_cursors: whether a cursor expires after it was read once.
    :param cursor_needs_quoting: whether cursors contain ``/``, ``+`` and ``=``.
    :param max_open_cursors: maximum open cursors; one more gets 403 Forbidden.
    :param last_page: form of the last page: no ``paging``, ``null``, ``{}``, ``{"next": null}``, ``{"next": ""}``.
    :param trailing_empty_page: whether a full last page names a next page, which is empty.
    :param moves_per_page: number of contacts of the window that are updated after each page, at the sandbox's time.
    :param moving: contacts to move: ones that this export has returned, ones that it has not returned, or any.
    :param advance_per_page_s: seconds that the sandbox clock advances after each page, before contacts move.
    :param time_format: format of ``inserted_at`` and ``updated_at``; windows compare the full time.
    :param deleted: form of a deleted contact: ``absent``, or a ``tombstone`` without details.
    :param rate_limit: requests in a minute of real time; None for no limit; 60 is Turn.io's default.
    :param retry_after: format of ``Retry-After`` in a 429; a date has the time of ``Date``.
    """

    token: str = "example-token"  # noqa: S105
    export: Literal["enabled", "forbidden", "unavailable"] = "enabled"
    number_id: int | None = None
    send_date: bool = True

    page_size: int = 100
    page_size_option: Option = "accept"
    scrubbing_option: Option = "accept"
    default_ordering: Literal["asc", "desc", "id", "shuffled"] = "asc"
    from_inclusive: bool = True
    until_inclusive: bool = False

    cursor_kind: Literal["keyset", "offset"] = "keyset"
    cursor_pages: int | None = None
    expired_status: Literal[400, 401, 403, 404, 410] = 400
    single_use_cursors: bool = False
    cursor_needs_quoting: bool = False
    max_open_cursors: int | None = None
    last_page: Literal["missing", "null", "empty", "next_null", "next_empty"] = "missing"
    trailing_empty_page: bool = False

    moves_per_page: int = 0
    moving: Literal["served", "unserved", "any"] = "any"
    advance_per_page_s: float = 0.0

    time_format: TimeFormat = "millis"
    deleted: Literal["absent", "tombstone"] = "absent"

    rate_limit: int | None = None
    retry_after: RetryAfter = "integer"

    def __post_init__(self) -> None:
        if self.page_size < 1:
            raise ValueError("page_size is at least 1")
