"""Normalising and deduplicating phone numbers: ours, beside the bare library."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import phonenumbers

from airflow_provider_wacontacts.identifiers.numbers import NotANumberError, normalize
from benchmarks.memory import peak_mb
from benchmarks.server import ROOT
from benchmarks.tables import show

__all__ = ["run"]

REGION = "US"
WAYS = (("phonenumbers alone", "bare"), ("ours", "ours"))


def run(rows: int, runs: int) -> dict[str, Any]:
    """Measure each way in processes of its own, turn by turn, print the table, and return the figures."""
    taken: dict[str, list[dict[str, Any]]] = {way: [] for _, way in WAYS}
    for _ in range(runs):
        for way, took in taken.items():
            took.append(_in_a_process(way, rows))
    figures: dict[str, Any] = {"rows": rows, "runs": runs} | {way: _middle(took) for way, took in taken.items()}
    if len({(figures[way]["distinct"], figures[way]["rejected"]) for way in taken}) > 1:
        raise RuntimeError("the two ways do not find the same numbers")
    figures["rate_ratio"] = figures["ours"]["per_s"] / figures["bare"]["per_s"]
    show(
        f"Normalising and deduplicating {rows:,} numbers in four spellings, a tenth of them twice, {runs} runs",
        ("", "numbers/s", "µs each", "peak MB more", "distinct", "rejected"),
        [
            (title, *(figures[way][name] for name in ("per_s", "us", "peak_mb", "distinct", "rejected")))
            for title, way in WAYS
        ],
    )
    return figures


def spellings(rows: int) -> Iterator[str]:
    """Numbers as people write them, one in ten a second time in another spelling, one in a hundred impossible."""
    chance = random.Random(7)
    for row in range(rows):
        who = row - row % 10 // 9
        digits = f"{201 + who % 798}{who * 7919 % 10_000_000:07}"
        area, first, last = digits[:3], digits[3:6], digits[6:]
        style = chance.randrange(4) if row % 100 else 4
        yield (
            f"+1{digits}",
            f"+1 {area}-{first}-{last}",
            f"({area}) {first}-{last}",
            f"tel:+1-{area}-{first}-{last}",
            f"+1{digits[:5]}",
        )[style]


def bare(texts: Iterator[str]) -> tuple[set[str], int]:
    """Do what everybody does with phonenumbers."""
    found, rejected = set(), 0
    for text in texts:
        try:
            number = phonenumbers.parse(text, REGION)
        except phonenumbers.NumberParseException:
            rejected += 1
            continue
        if phonenumbers.is_possible_number(number):
            found.add(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
        else:
            rejected += 1
    return found, rejected


def ours(texts: Iterator[str]) -> tuple[set[str], int]:
    found, rejected = set(), 0
    for text in texts:
        try:
            found.add(normalize(text, REGION).e164)
        except NotANumberError:
            rejected += 1
    return found, rejected


def measure(way: str, rows: int) -> dict[str, Any]:
    """Go over the numbers once, for the time of it less that of making them up."""
    work: Callable[[Iterator[str]], tuple[set[str], int]] = {"bare": bare, "ours": ours}[way]
    work(spellings(1000))
    begun = time.process_time()
    for _ in spellings(rows):
        pass
    making, before = time.process_time() - begun, peak_mb()
    begun = time.process_time()
    found, rejected = work(spellings(rows))
    seconds = time.process_time() - begun - making
    return {
        "per_s": round(rows / seconds),
        "us": seconds / rows * 1e6,
        "peak_mb": peak_mb() - before,
        "distinct": len(found),
        "rejected": rejected,
    }


def _in_a_process(way: str, rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.numbers", way, str(rows)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    took: dict[str, Any] = json.loads(done.stdout)
    return took


def _middle(took: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: median(one[name] for one in took) for name in took[0]}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
