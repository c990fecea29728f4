"""
How the mock server of Turn.io behaves where the contract leaves it open.

The contract shows no paging, no limits and no error bodies; Turn.io's other pages and users of the API say different
things about them. Each such question is a field here, so that a client can be tested against every answer.
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
    What the mock server does. The defaults answer as the contract does, with the most widely documented rest.

    :param token: what ``Authorization: Bearer`` must carry, else 401.
    :param export: ``forbidden`` answers a new cursor with 403 (not in the plan), ``unavailable`` with 404.
    :param number_id: in every contact, in place of the world's: another line's token.
    :param send_date: send the sandbox's time as the header ``Date``.
    :param page_size: contacts on a page if the request sets no size; any number from 1.
    :param page_size_option: what becomes of ``page_size`` in the request.
    :param scrubbing_option: what becomes of ``scrubbing_rules``; ``ignore`` sends unscrubbed contacts.
    :param default_ordering: when none is asked: by ``updated_at`` up or down, by ``id``, or in no order at all.
    :param from_inclusive: an update at ``from`` sharp is in the window.
    :param until_inclusive: an update at ``until`` sharp is in the window.
    :param cursor_kind: ``keyset`` continues after the last contact that was read; ``offset`` after as many as were
        read, and so passes over contacts when others leave the window.
    :param cursor_pages: an export expires after that many pages, whatever the clock says; 0 at once.
    :param expired_status: what an expired cursor is answered with; other than 400, without a word of expiry.
    :param single_use_cursors: a cursor that was read is answered as expired.
    :param cursor_needs_quoting: cursors hold ``/``, ``+`` and ``=``.
    :param max_open_cursors: one more at a time is answered with 403.
    :param last_page: what stands for "no more": no ``paging``, ``null``, ``{}``, ``{"next": null}``, ``{"next": ""}``.
    :param trailing_empty_page: a full last page names a next one, which is empty.
    :param moves_per_page: contacts of the window that are updated after each page, at the sandbox's now.
    :param moving: which of them: those already on a page of this export, those not yet, or any.
    :param advance_per_page_s: the sandbox clock advances by this after each page (before contacts move).
    :param time_format: how ``inserted_at`` and ``updated_at`` are written; windows compare the full time.
    :param deleted: a deleted contact is ``absent``, or a ``tombstone`` without details.
    :param rate_limit: requests allowed in a minute of real time, None for no limit; 60 is Turn's default.
    :param retry_after: how a 429 says when to come back; a date is in the time of ``Date``.
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
