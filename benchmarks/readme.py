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
    "(a')": "the response bytes, each response read at once by urllib3: the floor",
    "(a)": "the response bytes, copied to a file through one `requests` session",
    "ours": "**`TurnContactsToObjectStorageOperator`**",
    "(b) ": "`HttpOperator` with a `pagination_function`, default settings",
    "(b')": "the same, at gzip level 1",
    "(d)": "a tap of the Singer SDK, which writes no file",
    "(c')": "dlt, `details` kept as one column",
    "(c) ": "dlt, default settings",
}
#: Not in figures that were kept before it competed.
ONE_READ = "(a')"
EXPORT = """\
{export[rows]:,} contacts of about 1 kB, 1,000 a page, from a server on loopback into gzipped files. Medians of {fewest}
to {most} runs on two shared cores. The ratios carry over to other machines; the seconds do not.
"""
MEMORY = """\
With {largest[rows]:,} contacts the peak is {largest[peak_mb]:.0f} MB. With {smallest[rows]:,} contacts it is
{smallest[peak_mb]:.0f} MB. Importing the operators takes {imports[wall_ms]:.0f} ms, on top of Airflow and its HTTP
hook.
"""
LANDING = """\
Loading the same contacts into PostgreSQL, with history, latest versions and ledger, is compared with a bare `COPY` and
`INSERT … ON CONFLICT` into one plain table. The first load takes {landing[wall_s_ratio_first_load]:.2f} times as long,
or {landing[wall_s_ratio_first_load_with_hashing]:.2f} times with the hashes of all contacts; loading all of them again
takes {landing[wall_s_ratio_re_pull]:.2f} times as long. The second load does not grow the
tables; it grows the plain table to {landing[plain_growth_on_re_pull]:.2f} times its size.
"""
CHECKS = """\
Checking {checks[rows]:,} numbers in batches of {checks[batch_size]}, a tenth of them with a delayed result, is limited
to 20 requests a second: {checks[allowed_s]:.0f} seconds. It takes {checks[sqlite][by_limit]:.2f} times as long with
SQLite and {checks[postgres][by_limit]:.2f} times with PostgreSQL.
"""
WAITING = """\
{waiting[triggers]:,} deferred sensors in one triggerer send at most 20 requests a second together. From its start until
{waiting[seconds]} seconds after all of them run, its event loop is blocked for more than 0.2 seconds
{waiting[sensors][blocked]} times. With as many timers of Airflow it is blocked {waiting[timers][blocked]} times.
"""
ENDING = """\
`make bench` measures all of this on your machine, with each contender in an environment of its own.
"""


def keep(measured: Mapping[str, Any]) -> None:
    """Keep the parts that were measured, beside those that were before, and rewrite README's section."""
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
    :raises ValueError: a figure contradicts what the section says.
    """
    _hold(figures)
    names = [one["name"] for one in figures["export"]["contenders"]]
    marks = [mark for mark in CONTENDERS if mark != ONE_READ or any(name.startswith(mark) for name in names)]
    took = {CONTENDERS[mark]: _contender(figures, mark) for mark in marks}
    runs = sorted(one["runs"] for one in took.values())
    sizes = figures["memory"]["sizes"]
    known = {**figures, "fewest": runs[0], "most": runs[-1], "smallest": sizes[0], "largest": sizes[-1]}
    texts = (EXPORT, MEMORY, LANDING, CHECKS, WAITING, ENDING)
    first, *others = (fill(text.format_map(known), 120, break_on_hyphens=False) for text in texts)
    head = ("| | CPU s | peak MB | CPU, ours = 1 |", "| --- | --- | --- | --- |")
    table = "\n".join([*head, *(_row(title, one) for title, one in took.items())])
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
    """Check that the figures support what the section says in words."""
    landing, sensors = figures["landing"], figures["waiting"]["sensors"]
    claims = {
        "the second load does not grow the tables": landing["ours_growth_on_re_pull"] < 1.01,
        "sensors send at most 20 requests a second": sensors["most_per_s"] <= 20,
    }
    if wrong := [claim for claim, is_so in claims.items() if not is_so]:
        raise ValueError(f"the figures contradict README: {'; '.join(wrong)}")
