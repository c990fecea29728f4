"""The whole landing into PostgreSQL, beside a bare COPY and INSERT ... ON CONFLICT of the same rows."""

from __future__ import annotations

from typing import Any

from benchmarks import landing_postgres
from benchmarks.tables import show

__all__ = ["run"]

LOADS = (("first load", "first_load"), ("the same again", "re_pull"))
WAYS = (("COPY, INSERT ... ON CONFLICT", "plain"), ("ours: history, current, ledger", "ours"))

HASHING = "With the client's hashing ({} s) inside the clock, the first load takes {} times as long as the plain one."


def run(rows: int, runs: int) -> dict[str, Any]:
    """Land, turn by turn, print the table, and return the figures."""
    figures = landing_postgres.run(rows, runs)
    show(
        f"Landing of {rows:,} contacts into PostgreSQL, {runs} runs",
        ("", "", "wall s", "server CPU s", "CPU s here", "wall, ours by plain", "growth on re-pull"),
        [_row(figures, load, way) for load in LOADS for way in WAYS],
        notes=[HASHING.format(figures["hashing_s"], figures["wall_s_ratio_first_load_with_hashing"])],
    )
    return figures


def _row(figures: dict[str, Any], load: tuple[str, str], way: tuple[str, str]) -> tuple[str | float | None, ...]:
    took = figures[f"{way[1]}_{load[1]}"]
    ratio = figures[f"wall_s_ratio_{load[1]}"] if way[1] == "ours" else None
    growth = figures[f"{way[1]}_growth_on_re_pull"] if load[1] == "re_pull" else None
    return (way[0], load[0], took["wall_s"], took["server_cpu_s"], took["cpu_s"], ratio, growth)
