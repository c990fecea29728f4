"""Contacts of about one kilobyte, the same ones every time, on pages as Turn.io writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

__all__ = ["PAGE", "WINDOW", "contact", "cursor", "pages"]

PAGE = 1_000
WINDOW = (datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))

NAMES = ("Amahle", "Baraka", "Chipo", "Divya", "Esperança", "Farid", "Grace", "Habiba", "Imani", "José", "नेहा", "Zoë")
SURNAMES = ("Adebayo", "Botha", "Çelik", "Dlamini", "Eze", "Fernández", "Gupta", "Hassan", "Ibrahim", "Juma", "Khumalo")
LANGUAGES = ("eng", "zul", "xho", "swa", "hin", "por", "fra")
PLACES = ("North clinic", "Harbour road clinic", "Old market clinic", "Hillside school", "Lake district hospital")
NOTES = (
    "Asked to be called back in the morning, before eight, because of the shifts at work",
    "Prefers voice notes; reads the messages together with a daughter who translates them",
    "Moved to another district in spring and wants to go on with the programme from there",
    "Has finished the first course and would like to know when the second one begins",
)


def pages(rows: int, more_fields: int = 0) -> Iterator[bytes]:
    """
    Write the pages of an export, each naming the cursor of the next; the last names none.

    :param more_fields: of each contact, some 30 bytes each.
    """
    last = -(-rows // PAGE) - 1
    step = (WINDOW[1] - WINDOW[0]) / rows
    for number in range(last + 1):
        numbers = range(number * PAGE, min(rows, (number + 1) * PAGE))
        contacts = [contact(i, WINDOW[0] + i * step, more_fields) for i in numbers]
        following = cursor(number + 1) if number < last else None
        yield _text({"data": contacts, "paging": {"next": following}})


def cursor(number: int) -> str:
    """Name the cursor of a page, 0 and up."""
    return f"example-cursor-{number:06d}"


def contact(number: int, updated_at: datetime, more_fields: int = 0) -> dict[str, Any]:
    """Make up a contact: reserved fields, and custom ones of which some were never filled in."""
    dice = blake2b(number.to_bytes(8, "big"), digest_size=32).digest()
    return {
        "id": number,
        "uuid": _uuid(dice.hex()),
        "number_id": 1,
        "inserted_at": _time(updated_at - timedelta(hours=dice[0], seconds=dice[1])),
        "updated_at": _time(updated_at),
        "details": _reserved(number, dice) | _custom(dice) | _more(dice, more_fields),
    }


def _reserved(number: int, dice: bytes) -> dict[str, Any]:
    name = _pick(NAMES, dice[2])
    agreed_at = f"2025-{1 + dice[8] % 12:02}-{1 + dice[9] % 28:02}T08:15:30.{number % 10**6:06}Z"
    opted_in = dice[3] % 3 > 0
    return {
        "birthday": f"{1950 + dice[4] % 60}-{1 + dice[5] % 12:02}-{1 + dice[6] % 28:02}T00:00:00.000000Z",
        "language": _pick(LANGUAGES, dice[7]),
        "location": None,
        "name": name,
        "opted_in": opted_in,
        "opted_in_at": agreed_at if opted_in else None,
        "surname": _pick(SURNAMES, dice[10]),
        "whatsapp_id": f"999{number:09}",
        "whatsapp_profile_name": name if dice[11] % 4 else f"{name} \N{SUNFLOWER}",
    }


def _custom(dice: bytes) -> dict[str, Any]:
    return {
        "current_savings": dice[12] * 10,
        "average_deposit": dice[13] + dice[14] / 4,
        "consent_given": dice[15] % 2 == 0,
        "facility_name": _pick(PLACES, dice[16]),
        "facility_code": f"FAC-{dice[17]:03}-{dice[18]:03}",
        "last_visit_date": f"2025-{1 + dice[19] % 12:02}-{1 + dice[20] % 28:02}T00:00:00.000000Z",
        "next_visit_date": None if dice[21] % 2 else f"2026-{1 + dice[21] % 12:02}-15T00:00:00.000000Z",
        "preferred_channel": _pick(("whatsapp", "sms", "voice"), dice[22]),
        "survey_score": dice[23] % 11,
        "survey_answers": json.dumps({f"q{i}": byte % 5 for i, byte in enumerate(dice[:6])}),
        "campaign_reference": dice[24:32].hex(),
        "referred_by": None,
        "household_size": 1 + dice[25] % 9,
        "reminders_paused": dice[26] % 8 == 0,
        "preferred_time_of_day": _pick(("morning", "afternoon", "evening"), dice[27]),
        "notes": _pick(NOTES, dice[24]),
    }


def _more(dice: bytes, fields: int) -> dict[str, Any]:
    """Make up fields, in no order: a third are numbers, some were never filled in."""
    values = (*dice[:10], *PLACES, *LANGUAGES, None, None)
    return {
        f"questionnaire_{place * 101 % fields:03}": values[(place + dice[11]) % len(values)] for place in range(fields)
    }


def _pick(choices: tuple[str, ...], die: int) -> str:
    return choices[die % len(choices)]


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
