"""What landed, and what would have been lost: counted against the mock server's own history, not asserted."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from airflow_provider_wacontacts.sandbox import World
from demo import landed
from demo.landed import Pulled
from demo.output import AIRFLOW_HOME, FILES, STORE, shown_path
from demo.tables import heading, table
from demo.week import AFTER, BOB, DAYS, Day, Truth, truth_of

__all__ = ["NotKeptError", "print_places", "print_report"]


class NotKeptError(RuntimeError):
    """The store does not hold what it should."""


def print_report(world: World, *, pulled_again_at: datetime) -> None:
    """
    Print tables of what landed, compared with what happened.

    :param pulled_again_at: the mock server's time of the second pulls.
    :raises NotKeptError: something that a pull could see is not in the store.
    """
    truth = truth_of(world, pulled_again_at)
    pulls = landed.pulls(STORE)
    _check_clock(pulls)
    _print_windows(pulls)
    _print_states(truth)
    _print_bob(world)
    _check_states(truth)


def _print_windows(pulls: list[Pulled]) -> None:
    first, again = pulls[:DAYS], pulls[DAYS:]
    print(heading("Contacts that Turn.io returned for each day"))
    rows = [
        [day.name, one.row_count, one.new_versions, two.row_count, two.new_versions, "yes" if two.lossy else "no"]
        for day, one, two in zip(Day.week(), first, again, strict=True)
    ]
    total = ["the week", *(sum(int(row[i]) for row in rows) for i in range(1, 5)), ""]
    print(table(["day", "that night", "new versions", "second sync", "new versions", "lossy"], [*rows, total]))
    minutes = int(AFTER.total_seconds() // 60)
    print(
        f"\n  An old day shrinks, because Turn.io returns a contact only by its latest update. A day is lossy if its"
        f"\n  first sync was more than an hour after its end. Each was {minutes} minutes after it."
    )


def _print_states(truth: Truth) -> None:
    in_store = len(landed.states(STORE) & truth.seen)
    in_files = len(landed.states_in_files(FILES) & truth.seen)
    seen, lost = len(truth.seen), len(truth.lost_by_overwriting)
    hourly = f"no nightly sync sees them; hourly syncs see {len(truth.seen_hourly):,} of {len(truth.happened):,}"
    print(heading("Versions in the store, compared with all that happened"))
    rows = [
        ["happened in the week", len(truth.happened), f"of {landed.contacts(STORE):,} contacts"],
        ["a nightly sync could see", seen, "the latest of each contact and day"],
        ["are in the store", in_store, ""],
        ["are in the files", in_files, ""],
        ["would be left by overwriting", len(truth.kept_by_overwriting), "if the second sync replaced the first"],
        ["would be lost by overwriting", lost, f"{lost / seen:.0%} of what was seen"],
        ["were replaced within their day", len(truth.never_seen), hourly],
    ]
    print(table(["versions that", "count", ""], rows))


def _print_bob(world: World) -> None:
    uuid = next(event.uuid for event in world if event.id == BOB)
    print(heading("Example: Bob, of the example in Turn.io's documentation"))
    rows = [[start, end or "(now)", savings] for start, end, savings in landed.history_of(STORE, uuid)]
    print(table(["from", "until", "savings"], rows))


def print_places() -> None:
    """Print where to look further."""
    history = "SELECT valid_from, valid_to, wa_id FROM wacontacts_history LIMIT 5"
    numbers = "SELECT status, count(*), min(checked_at), max(checked_at) FROM wacontacts_number GROUP BY status"
    rows = [
        ["store, SQLite", shown_path(STORE)],
        ["query", f'.venv/bin/python -m demo.query "{history}"'],
        ["", f'.venv/bin/python -m demo.query "{numbers}"'],
        ["of Turn.io", "wacontacts_current, wacontacts_history, wacontacts_extraction (all syncs)"],
        [
            "of WhatsApp",
            "wacontacts_number, wacontacts_check, wacontacts_check_result; whatsapp_ids, written by a DAG",
        ],
        ["files", shown_path(_an_extraction()) + "/"],
        ["Airflow's logs", shown_path(AIRFLOW_HOME / "logs") + "/"],
    ]
    print(heading("Where to look"))
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"  {name.ljust(width)}  {place}" for name, place in rows) + "\n")


def _an_extraction() -> Path:
    return min(FILES.rglob("_manifest.json")).parent


def _check_clock(pulls: list[Pulled]) -> None:
    late = [pull for pull in pulls[:DAYS] if pull.lateness_s != AFTER.total_seconds()]
    if late or len(pulls) != 2 * DAYS:
        raise NotKeptError(f"not all of {DAYS} windows were synced {AFTER} after their end, and then once more")


def _check_states(truth: Truth) -> None:
    for place, kept in (("store", landed.states(STORE)), ("files", landed.states_in_files(FILES))):
        if missing := truth.seen - kept:
            raise NotKeptError(
                f"{len(missing)} of {len(truth.seen)} versions that Turn.io returned are not in the {place}"
            )
