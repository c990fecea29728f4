"""Durations, times, tables, lines and paragraphs in a terminal."""

from __future__ import annotations

import argparse
import io
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

__all__ = ["ParagraphFormatter", "format_counts", "format_table", "format_utc", "lines_on_stdin", "parse_duration"]

UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION = re.compile("".join(rf"(?:(?P<{name}>[0-9]+){unit})?" for unit, name in UNITS.items()))


class ParagraphFormatter(argparse.HelpFormatter):
    """Wraps the paragraphs of a description, and keeps indented ones, which are examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.rstrip().split("\n\n")
        return "\n\n".join(
            paragraph
            if paragraph.startswith(" ")
            else textwrap.fill(" ".join(paragraph.split()), width, initial_indent=indent, subsequent_indent=indent)
            for paragraph in paragraphs
        )


def parse_duration(text: str) -> timedelta:
    """
    Read a duration, for example ``26h``, ``90m``, ``7d`` or ``1d12h``.

    :raises argparse.ArgumentTypeError: it is not a duration, or not greater than zero.
    """
    match = DURATION.fullmatch(text)
    parts = {name: int(count) for name, count in match.groupdict(default="0").items()} if match else {}
    try:
        duration = timedelta(**parts)
    except OverflowError:
        duration = timedelta(0)
    if duration <= timedelta(0):
        raise argparse.ArgumentTypeError(f"invalid duration {text!r}; use for example 26h, 90m, 7d or 1d12h")
    return duration


def format_counts(counts: Mapping[str, Any]) -> str:
    """Return a line for each count: right-aligned, before its name."""
    return "\n".join(f"{count:>9} {name}" for name, count in counts.items())


def format_utc(time: datetime) -> str:
    """Return a time to the minute; to the second if it is not a full minute."""
    return f"{time:%Y-%m-%d %H:%M}" if not time.second else f"{time:%Y-%m-%d %H:%M:%S}"


def format_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """
    Align cells below their column names: numbers to the right, text to the left, a dash for ``None``.

    Unprintable characters are replaced.

    :returns: the title and a line a row; empty if there are no rows.
    """
    if not rows:
        return ""
    body = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(columns, *body, strict=True)]
    is_number = [all(isinstance(value, int | None) for value in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells).rstrip()
        for cells in (zip(line, widths, is_number, strict=True) for line in ([*columns], *body))
    ]
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def lines_on_stdin() -> Iterator[str]:
    """Yield the lines of standard input that are not empty. Bytes that are not UTF-8 become lone surrogates."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    # Spreadsheets begin a file with a byte order mark.
    lines = (line.lstrip("\ufeff").strip() for line in sys.stdin)
    return filter(None, lines)
