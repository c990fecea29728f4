"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["table"]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """
    Align cells below the names of their columns: numbers to the right, the rest to the left.

    What would move the terminal's cursor is replaced. A cell of ``None`` is a dash.

    :returns: lines, the first is the title; empty where there are no rows.
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
