"""
How the Turn.io stand-in behaves, where the contract leaves it open, and what goes wrong on demand.

The contract shows no paging, no limits and no error bodies; Turn's other pages and the users of the API say
different things about them. Each such question is a field here, so that a client can be shown to survive every answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from airflow_provider_wacontacts.sandbox.clock import TimeFormat
from airflow_provider_wacontacts.sandbox.hostile import HOSTILE

__all__ = [
    "Fault",
    "FaultKind",
    "Option",
    "RequestKind",
    "RetryAfter",
    "TurnBehaviour",
    "changed",
    "fault_from_json",
    "to_json",
]

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T")
_B = TypeVar("_B", bound="DataclassInstance")

Option = Literal["accept", "refuse", "ignore"]
RequestKind = Literal[
    "create",
    "page",
    "schemas",
    "login",
    "check",
    "identity",
    "acknowledge",
    "contacts",
    "state",
    "wa_settings",
    "other",
]
RetryAfter = Literal["integer", "fraction", "date", "missing"]
FaultKind = Literal[
    "status",
    "drop",
    "cut",
    "html",
    "empty",
    "body",
    "delay",
    "no_cursor",
    "repeat_cursor",
    "empty_page",
    "expired",
    "rate_limited",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnBehaviour:
    """
    What the stand-in does. The defaults answer as the contract does, with the most widely documented rest.

    :param token: what ``Authorization: Bearer`` must carry, else 401.
    :param token_expires_at: sandbox time from which the token is answered with 401.
    :param export: ``forbidden`` answers a new cursor with 403 (not in the plan), ``unavailable`` with 404.
    :param strict_headers: refuse what lacks the contract's Accept (406) and Content-Type (415).
    :param number_id: in every contact, in place of the world's: another line's token.
    :param send_date: send the sandbox's time as the header ``Date``.
    :param create_status: status of a made cursor.
    :param page_size: contacts on a page that nobody asked a size of; any number from 1.
    :param max_page_size: a larger ``page_size`` in the request is answered with 400.
    :param page_size_option: what becomes of ``page_size`` in the request.
    :param scrubbing_option: what becomes of ``scrubbing_rules``; ``ignore`` sends unscrubbed contacts.
    :param ordering_option: what becomes of ``ordering`` (``asc`` or ``desc``).
    :param unknown_options: what becomes of other keys; ``accept`` is as ``ignore``.
    :param default_ordering: when none is asked: by ``updated_at`` up or down, by ``id``, or in no order at all.
    :param from_inclusive: an update at ``from`` sharp is in the window.
    :param until_inclusive: an update at ``until`` sharp is in the window.
    :param future_until: ``refuse`` answers an ``until`` after the sandbox's now with 400.
    :param cursor_kind: ``keyset`` goes on after the last contact that was read; ``offset`` after as many as were
        read, and so passes over contacts when others leave the window.
    :param cursor_lifetime_s: sandbox seconds from the making of a cursor, for all of its pages.
    :param cursor_pages: an export expires after that many pages, whatever the clock says; 0 at once.
    :param single_use_cursors: a cursor that was read is answered as expired.
    :param cursor_needs_quoting: cursors hold ``/``, ``+`` and ``=``.
    :param expired_title: what the 400 of an expired cursor says.
    :param max_open_cursors: one more at a time is answered with 403.
    :param open_cursor_idle_s: real seconds without a page after which an unfinished export is no longer open.
    :param last_page: what stands for "no more": no ``paging``, ``null``, ``{}``, ``{"next": null}``, ``{"next": ""}``.
    :param trailing_empty_page: a full last page names a next one, which is empty.
    :param moves_per_page: contacts of the window that are updated after each page, at the sandbox's now.
    :param moving: which of them: those already on a page of this export, those not yet, or any.
    :param advance_per_page_s: the sandbox clock goes on by this after each page (before contacts move).
    :param time_format: how ``inserted_at`` and ``updated_at`` are written; windows compare the full time.
    :param deleted: a deleted contact is ``absent``, or a ``tombstone`` without details.
    :param null_custom_fields: custom fields never set are ``null`` or ``absent``.
    :param extra_keys: add the undocumented top-level keys that users have seen.
    :param custom_fields: that many more custom fields on each contact, one in eight of them set.
    :param hostile_share: share of the contacts, of 1, that get a custom field ``hostile`` of hard text.
    :param hostile: the kinds to take turns in, as named in :mod:`airflow_provider_wacontacts.sandbox.hostile`;
        empty for all.
    :param rate_limit: requests allowed in a window of ``rate_window_s``, None for no limit; 60 is Turn's default.
    :param rate_window_s: real seconds.
    :param retry_after: how a 429 says when to come back; a date is in the time that ``Date`` tells.
    :param rate_headers: send ``X-Ratelimit-*`` with every answer while there is a limit.
    """

    token: str = "example-token"  # noqa: S105
    token_expires_at: datetime | None = None
    export: Literal["enabled", "forbidden", "unavailable"] = "enabled"
    strict_headers: bool = True
    number_id: int | None = None
    send_date: bool = True

    create_status: Literal[200, 201] = 200
    page_size: int = 100
    max_page_size: int = 1000
    page_size_option: Option = "accept"
    scrubbing_option: Option = "accept"
    ordering_option: Option = "accept"
    unknown_options: Option = "refuse"
    default_ordering: Literal["asc", "desc", "id", "shuffled"] = "asc"
    from_inclusive: bool = True
    until_inclusive: bool = False
    future_until: Literal["accept", "refuse"] = "accept"

    cursor_kind: Literal["keyset", "offset"] = "keyset"
    cursor_lifetime_s: float = 172_800.0
    cursor_pages: int | None = None
    single_use_cursors: bool = False
    cursor_needs_quoting: bool = False
    expired_title: str = "Cursor has expired"
    max_open_cursors: int | None = None
    open_cursor_idle_s: float = 30.0
    last_page: Literal["missing", "null", "empty", "next_null", "next_empty"] = "missing"
    trailing_empty_page: bool = False

    moves_per_page: int = 0
    moving: Literal["served", "unserved", "any"] = "any"
    advance_per_page_s: float = 0.0

    time_format: TimeFormat = "millis"
    deleted: Literal["absent", "tombstone"] = "absent"
    null_custom_fields: Literal["null", "absent"] = "null"
    extra_keys: bool = False
    custom_fields: int = 0
    hostile_share: float = 0.0
    hostile: tuple[str, ...] = ()

    rate_limit: int | None = None
    rate_window_s: float = 60.0
    retry_after: RetryAfter = "integer"
    rate_headers: bool = True

    def __post_init__(self) -> None:
        if self.page_size < 1:
            raise ValueError("page_size is at least 1")
        unknown = sorted(set(self.hostile) - set(HOSTILE))
        if unknown:
            raise ValueError(f"hostile has no {', '.join(unknown)}; it has {', '.join(HOSTILE)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    Something that goes wrong once, a few times, or again and again.

    Faults wait in a line. The first whose ``on`` fits a request applies to it; behind it the next waits its turn.
    Those with ``every`` stand outside the line and apply when no fault of the line does.

    =================  =================================================================================
    kind               what is answered
    =================  =================================================================================
    ``status``         ``status`` with the stand-in's error shape and ``code`` or ``message``, or with ``body``
    ``drop``           nothing: the connection is closed
    ``cut``            the true answer's headers and the first ``share`` of its body, then the connection is closed
    ``html``           ``status`` (200 unless given) with a page of HTML
    ``empty``          ``status`` (200 unless given) without a body
    ``body``           ``status`` (200 unless given) with ``body`` (Latin-1: one character a byte)
    ``delay``          the true answer after ``delay_s``
    ``no_cursor``      a made cursor without ``cursor``
    ``repeat_cursor``  a page whose ``next`` is the cursor just read
    ``empty_page``     a page without contacts; the same cursor's page comes next
    ``expired``        400, the cursor has expired, and the whole export with it
    ``rate_limited``   429 as the behaviour words it, to come back after ``delay_s``
    =================  =================================================================================

    Those from ``no_cursor`` to ``expired`` are Turn's alone; elsewhere the true answer comes.

    :param on: the kind of request, or ``any``.
    :param code: the number of a WhatsApp Business API error, where it is not the status; Turn's is always that.
    :param message: of a GREEN-API error, where it is not what its status usually says.
    :param times: how many requests in a row.
    :param skip: so many fitting requests are answered truly before.
    :param every: 0 for once; else the first ``times`` of each ``every`` requests after ``skip``, for ever.
    :param headers: added to the answer, in place of its own of the same name.
    :param delay_s: real seconds; for all kinds, before anything is answered, except ``rate_limited``.
    """

    kind: FaultKind
    on: RequestKind | Literal["any"] = "any"
    times: int = 1
    skip: int = 0
    every: int = 0
    status: int | None = None
    code: int | None = None
    message: str | None = None
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    share: float = 0.5
    delay_s: float = 0.0


def changed(behaviour: _B, changes: Mapping[str, Any], *, strict: bool = True) -> _B:
    """
    Give a behaviour with some fields changed.

    :param changes: field names and values as JSON has them.
    :param strict: numbers, truth values and null may not be written as text.
    :raises ValueError: a field is unknown, or its value is of another type; the message names it.
    """
    kind = type(behaviour)
    _known(kind, changes)
    return _converted({**to_json(behaviour), **changes}, kind, strict=strict)


def fault_from_json(item: Mapping[str, Any]) -> Fault:
    """
    Read a fault as control routes write it.

    :raises ValueError: a field is unknown, or its value is of another type; the message names it.
    """
    _known(Fault, item)
    return _converted(dict(item), Fault)


def to_json(thing: DataclassInstance) -> dict[str, Any]:
    """Tell its fields in JSON types, as control routes take them."""
    values: dict[str, Any] = msgspec.to_builtins(asdict(thing))
    return values


def _known(kind: type[DataclassInstance], names: Mapping[str, Any]) -> None:
    unknown = sorted(set(names) - {known.name for known in fields(kind)})
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(unknown)}")


def _converted(values: dict[str, Any], kind: type[_T], *, strict: bool = True) -> _T:
    try:
        return msgspec.convert(values, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise ValueError(f"{kind.__name__}: {error}") from None
