"""README's section on benchmarks: written from figures that were measured, and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from textwrap import fill
from typing import Any

from benchmarks.server import ROOT

__all__ = ["KEPT", "keep", "put_into", "section"]

#: What README's figures are: the last of each part that somebody measured for it.
KEPT = ROOT / "benchmarks" / "figures.json"
README = ROOT / "README.md"
BEGINS, ENDS = "<!-- benchmarks -->\n", "<!-- /benchmarks -->"
#: By how a contender's name begins, in README's order.
CONTENDERS = {
    "(a)": "the bytes, copied to a file through one `requests` session",
    "ours": "**`TurnContactsToObjectStorageOperator`**",
    "(b) ": "`HttpOperator` with a `pagination_function`, as it comes",
    "(b')": "the same at gzip level 1",
    "(d)": "a tap of the Singer SDK, which writes no file",
    "(c')": "dlt, `details` left in one piece",
    "(c) ": "dlt, as it comes",
}
EXPORT = """\
{export[rows]:,} contacts of about one kilobyte, 1,000 a page from a server on loopback, into gzipped files. Medians of
{fewest} to {most} runs, taken turn by turn on two shared cores: the ratios travel, the seconds do not.
"""
MEMORY = """\
With {largest[rows]:,} contacts the peak is {largest[peak_mb]:.0f} MB; {smallest[peak_mb]:.0f} MB of it is there
with {smallest[rows]:,}. Importing the operators on top of Airflow and its HTTP hook takes {imports[wall_ms]:.0f} ms.
"""
LANDING = """\
The same contacts into PostgreSQL, with history, current state and ledger, beside a bare `COPY` and
`INSERT … ON CONFLICT` into one plain table: the first load takes {landing[wall_s_ratio_first_load]:.2f} times as long,
pulling all of them again {landing[wall_s_ratio_re_pull]:.2f} times. The tables do not grow by pulling again; the plain
one grows to {landing[plain_growth_on_re_pull]:.2f} times its size.
"""
CHECKS = """\
Checking {checks[rows]:,} numbers in batches of {checks[batch_size]}, a tenth of which take a while, takes
{checks[sqlite][by_limit]:.2f} times the {checks[allowed_s]:.0f} seconds that 20 requests a second allow with SQLite,
and {checks[postgres][by_limit]:.2f} times with PostgreSQL: normalising, storing and asking together.
{waiting[triggers]:,} deferred sensors in one triggerer send no more than 20 requests a second together, and stop its
loop no more often than as many timers do.
"""
ENDING = """\
`make bench` measures all of it on your machine, and sets the others up in environments of their own.
"""


def keep(measured: Mapping[str, Any]) -> None:
    """Keep the parts that were measured, beside those that were before, and write README's section anew."""
    before = json.loads(KEPT.read_text())
    figures = before | {part: measured[part] for part in before.keys() & measured.keys()}
    KEPT.write_text(json.dumps(figures, indent=2) + "\n")
    README.write_text(put_into(README.read_text(), section(figures)))


def put_into(page: str, text: str) -> str:
    """Return a page with a text between its marks."""
    before, _, rest = page.partition(BEGINS)
    _, _, after = rest.partition(ENDS)
    return f"{before}{BEGINS}{text}{ENDS}{after}"


def section(figures: Mapping[str, Any]) -> str:
    """
    Write the section.

    :raises KeyError: a figure is missing.
    :raises ValueError: a figure does not bear out what the section says.
    """
    _hold(figures)
    took = [_contender(figures, mark) for mark in CONTENDERS]
    runs = sorted(one["runs"] for one in took)
    sizes = figures["memory"]["sizes"]
    known = {**figures, "fewest": runs[0], "most": runs[-1], "smallest": sizes[0], "largest": sizes[-1]}
    first, *others = (
        fill(text.format_map(known), 120, break_on_hyphens=False) for text in (EXPORT, MEMORY, LANDING, CHECKS, ENDING)
    )
    head = ("| | CPU s | peak MB | CPU, ours = 1 |", "| --- | --- | --- | --- |")
    table = "\n".join([*head, *map(_row, CONTENDERS.values(), took)])
    return "\n\n".join([first, table, *others]) + "\n"


def _contender(figures: Mapping[str, Any], mark: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(one for one in figures["export"]["contenders"] if one["name"].startswith(mark))
    return found


def _row(title: str, one: Mapping[str, Any]) -> str:
    cells = [_short(one["cpu_s"]), f"{one['peak_mb']:.0f}", _short(one["cpu_by_ours"])]
    if title.startswith("**"):
        cells = [f"**{cell}**" for cell in (*cells[:2], "1")]
    return f"| {title} | {' | '.join(cells)} |"


def _short(figure: float) -> str:
    return f"{figure:.2f}" if figure < 2 else f"{figure:.1f}"


def _hold(figures: Mapping[str, Any]) -> None:
    """Make sure that what is said in words is so."""
    landing, sensors, timers = figures["landing"], figures["waiting"]["sensors"], figures["waiting"]["timers"]
    claims = {
        "the tables do not grow by pulling again": landing["ours_growth_on_re_pull"] < 1.01,
        "sensors send no more than 20 requests a second": sensors["most_per_s"] <= 20,
        "sensors stop a loop no more often than timers": sensors["blocked"] <= timers["blocked"],
    }
    if wrong := [claim for claim, is_so in claims.items() if not is_so]:
        raise ValueError(f"not so, by the figures: {'; '.join(wrong)}")
