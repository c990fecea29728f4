"""Costs and results of the checks, counted at the mock server of WhatsApp, not asserted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from airflow_provider_wacontacts.sandbox import Sandbox
from demo.checks import CHECK, DAILY_CHECKS, Ran
from demo.crm import Crm
from demo.landed import query
from demo.output import STORE
from demo.report import NotKeptError
from demo.tables import heading, mask, table

__all__ = ["print_checks"]

#: Every digit but the last two.
HIDDEN = re.compile(r"\d(?=(?:\D*\d){2})")


class Result(NamedTuple):
    """A row of a check."""

    contact_key: str
    input: str
    number: str | None
    wa_id: str | None
    status: str
    reason: str | None
    duplicate: bool


def print_checks(whatsapp: Sandbox, crm: Crm, ran: Sequence[Ran]) -> None:
    """
    Print tables of what was asked and answered, compared with what is true.

    :param ran: the first check, the revalidation and the second check.
    :raises NotKeptError: something was asked that need not be, or is not known that should be.
    """
    results = [_results(one) for one in ran]
    needed = _needed(ran, results[0])
    _print_runs(ran, results)
    _print_questions(ran, needed)
    _print_some(results[0], results[2])
    _check_questions(ran, needed)
    _check_answers(whatsapp, crm, results[2])


def _needed(ran: Sequence[Ran], first: Sequence[Result]) -> list[frozenset[str]]:
    """Return the numbers that each run had to ask about: worked out from the table and the answers of the first."""
    check, revalidated, again = ran
    wanted = {row.number for row in first if row.status in ("valid", "failed")}
    grown_old = revalidated.allowed & wanted
    return [check.allowed, grown_old, again.allowed - grown_old]


def _print_runs(ran: Sequence[Ran], results: Sequence[Sequence[Result]]) -> None:
    print(heading("Which contacts of the CRM are on WhatsApp"))
    members = {
        "given": "inputs",
        "rejected": "no valid number",
        "duplicates": "duplicates",
        "not_asked": "opted out",
        "from_store": "reused from the store",
        "asked": "checked",
    }
    found = [Counter(row.status for row in rows if not row.duplicate) for rows in results]
    rows: list[list[object]] = [[text, *(one.summary[name] for one in ran)] for name, text in members.items()]
    rows += [[f"  {status}", *(counts[status] for counts in found)] for status in ("valid", "invalid", "failed")]
    rows.append([f"checks left of {DAILY_CHECKS:,} a day", *(one.summary["budget_left"] for one in ran)])
    print(table(["contacts", *map(_name, ran)], rows))
    print(
        "\n  A number is checked once in seven days. Invalid numbers are rechecked by a check, not by a revalidation."
        "\n  The budget uses Airflow's clock: all three runs were today."
    )


def _print_questions(ran: Sequence[Ran], needed: Sequence[frozenset[str]]) -> None:
    print(heading("Requests to WhatsApp, counted at the mock server"))
    rows: list[list[object]] = [
        ["requests", *(one.requests for one in ran)],
        ["new and stale numbers", *(len(numbers) for numbers in needed)],
        ["numbers checked", *(len(one.asked) for one in ran)],
        ["  again, while processing", *(len(one.asked_again) for one in ran)],
        ["numbers checked without need", *(len(_needless(*each)) for each in zip(ran, needed, strict=True))],
        ["seconds in the triggerer", *(round(one.deferred_s) for one in ran)],
    ]
    print(table(["", *map(_name, ran)], rows))


def _print_some(first: Sequence[Result], last: Sequence[Result]) -> None:
    then = {row.contact_key: row for row in first}
    rows = [
        [
            row.contact_key,
            HIDDEN.sub("•", row.input),
            _shown(row.number),
            _standing(then.get(row.contact_key)),
            _standing(row),
            _shown(row.wa_id),
        ]
        for row in _one_of_each(then, last)
    ]
    print(heading("Examples, masked"))
    print(table(["contact", "in the CRM", "number", "first check", "last check", "WhatsApp id"], rows))


def _one_of_each(then: dict[str, Result], last: Sequence[Result]) -> list[Result]:
    """Pick a contact for each thing that can happen to one."""
    twice = next(row.number for row in last if row.duplicate and row.status == "valid")
    kinds: tuple[Callable[[Result, Result | None], bool], ...] = (
        lambda row, _: row.number == twice and not row.duplicate,
        lambda row, _: row.number == twice and row.duplicate,
        lambda row, _: row.wa_id is not None and row.wa_id not in str(row.number),
        lambda row, was: was is not None and (was.status, row.status) == ("failed", "valid"),
        lambda row, was: was is not None and (was.status, row.status) == ("valid", "invalid"),
        lambda row, was: was is not None and (was.status, row.status) == ("valid", "not_asked"),
        lambda row, was: was is None and row.status == "valid",
        lambda row, _: row.status == "rejected",
    )
    return [next(row for row in last if kind(row, then.get(row.contact_key))) for kind in kinds]


def _check_questions(ran: Sequence[Ran], needed: Sequence[frozenset[str]]) -> None:
    for one, numbers in zip(ran, needed, strict=True):
        if needless := _needless(one, numbers):
            raise NotKeptError(f"{len(needless)} numbers were checked without need by {_name(one)}")
        if forgotten := numbers - one.asked.keys():
            raise NotKeptError(f"{len(forgotten)} numbers were not checked by {_name(one)}")
    spent = DAILY_CHECKS - ran[-1].summary["budget_left"]
    if spent != sum(map(len, needed)):
        raise NotKeptError(f"{spent} checks were spent for {sum(map(len, needed))} numbers")
    if not all(one.asked_again for one in ran[:2]):
        raise NotKeptError("every result came at once; there was nothing to wait for")


def _check_answers(whatsapp: Sandbox, crm: Crm, last: Sequence[Result]) -> None:
    true = {number: whatsapp.whatsapp.truth(number) for number in crm.numbers}
    results = {row.number: (row.status, row.wa_id) for row in last if row.number in true}
    if wrong := [n for n, one in true.items() if results.get(n) != (one.status, one.wa_id)]:
        raise NotKeptError(f"the store is wrong about {len(wrong)} of {len(true)} numbers")
    passed_on = {tuple(row) for row in query(STORE, "SELECT contact_key, wa_id FROM whatsapp_ids")[1]}
    if passed_on != {(row.contact_key, row.wa_id) for row in last if row.status == "valid"}:
        raise NotKeptError("whatsapp_ids does not hold the valid ids of the last check")


def _needless(one: Ran, needed: frozenset[str]) -> frozenset[str]:
    """Return the numbers that were requested without need: only processing numbers may be polled."""
    is_waiting = len(one.asked_again) <= one.summary["processing"]
    return frozenset(one.asked.keys() - needed) | (frozenset() if is_waiting else one.asked_again)


def _results(one: Ran) -> list[Result]:
    columns = ", ".join(Result._fields)
    sql = f"SELECT {columns} FROM wacontacts_check_result WHERE check_id = ? ORDER BY ordinal"
    return [Result(*row) for row in query(STORE, sql, one.check_id)[1]]


def _name(one: Ran) -> str:
    return f"{'check' if one.dag_id == CHECK else 'revalidate'}, {one.day:%d %b}"


def _shown(number: str | None) -> str:
    return mask(number) if number else ""


def _standing(row: Result | None) -> str:
    if row is None:
        return "(not there yet)"
    return row.reason or row.status if row.status == "not_asked" else row.status
