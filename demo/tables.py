"""Tables and lines for a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

__all__ = ["Progress", "heading", "mask", "table"]

INDENT = "  "


def heading(text: str) -> str:
    """Underline a line, with an empty one before it."""
    return f"\n{text}\n{'-' * len(text)}"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Align cells below their columns: numbers to the right, in groups of thousands, and the rest to the left."""
    body = [[_cell(value) for value in row] for row in rows]
    numeric = [bool(body) and all(_is_number(row[i]) for row in body) for i in range(len(columns))]
    widths = [max(len(line[i]) for line in [list(columns), *body]) for i in range(len(columns))]
    lines = [list(columns), ["-" * width for width in widths], *body]
    return "\n".join(INDENT + _line(line, widths, numeric) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    aligned = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    )
    return "  ".join(aligned).rstrip()


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(cell: str) -> bool:
    return cell.replace(",", "").isdigit() or cell in ("", "-")


class Progress:
    """Prints lines behind the time that has gone by."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def say(self, text: str = "") -> None:
        """Print a line, with minutes and seconds since the start."""
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        print(f"{INDENT}{minutes}:{seconds:02d}  {text}", flush=True)


def mask(number: str) -> str:
    """Show the first digits, which tell the country, and the last two of a number."""
    return f"{number[:3]}{'•' * (len(number) - 5)}{number[-2:]}"
