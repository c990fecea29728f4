"""An export of 200,000 contacts into files, by us and by others; and what it takes of memory when it grows tenfold."""

from __future__ import annotations

from typing import Any

from benchmarks.contest import Contender, FailedError, Figures, contest, first_run
from benchmarks.environments import NotInstalledError, python_of
from benchmarks.server import serving
from benchmarks.tables import show

__all__ = ["run", "run_memory"]

SMALL = 2_000
COPY = Contender("(a) the bytes, copied through one requests session", "benchmarks.contenders.copy")
OURS = Contender("ours: TurnContactsToObjectStorageOperator", "benchmarks.contenders.ours")
ONE_READ = Contender("(a') the same, each response in one read of urllib3", "benchmarks.contenders.one_read_copy")
PARQUET = Contender("ours (parquet)", "benchmarks.contenders.ours", arguments=("parquet",))
HTTP = Contender("(b) HttpOperator, pagination_function, gzip.open", "benchmarks.contenders.http_operator", most_runs=3)
HTTP_FAST = Contender(
    "(b') the same at gzip level 1", "benchmarks.contenders.http_operator", arguments=("1",), most_runs=3
)
PEERS = (
    ("dlt", "(c) dlt, REST client to filesystem", "benchmarks.peers.dlt_pull", ()),
    ("dlt", "(c') the same, details left in one piece", "benchmarks.peers.dlt_pull", ("0",)),
    ("singer", "(d) Singer SDK tap, without a target", "benchmarks.peers.singer_tap", ()),
)


def run(rows: int, runs: int) -> dict[str, Any]:
    """Export, turn by turn, print the table, and return the figures."""
    peers, missing = _peers()
    with serving(rows) as export, serving(min(SMALL, rows)) as small:
        figures = contest([COPY, OURS, ONE_READ, PARQUET, HTTP, HTTP_FAST, *peers], export, small, runs)
        figures += missing
    show(
        f"Export of {rows:,} contacts, {export.size / 1e6:.0f} MB of answers, to files",
        ("", "runs", "CPU s", "wall s", "peak MB", "CPU by (a)", "CPU by ours"),
        [(f.name, f.runs, f.cpu_s, f.wall_s, f.peak_mb, f.cpu_by_copy, f.cpu_by_ours) for f in figures],
        [f"{f.name}: skipped, {f.failure}" for f in figures if f.failure],
    )
    return {"rows": rows, "bytes": export.size, "contenders": [f.as_dict() for f in figures]}


def run_memory(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Export ever more contacts, each time in a fresh process, print the table, and return the figures."""
    taken = {rows: _alone(rows) for rows in sizes}
    show(
        "Resident memory at its peak, a fresh process each",
        ("contacts", "peak MB", "CPU s", "wall s"),
        [(f"{rows:,}", took["peak_mb"], took["cpu_s"], took["wall_s"]) for rows, took in taken.items()],
    )
    return {"sizes": [{"rows": rows} | took for rows, took in taken.items()]}


def _alone(rows: int) -> dict[str, float]:
    with serving(rows) as export:
        try:
            return first_run(OURS, export)
        except FailedError as error:
            raise SystemExit(f"the export of {rows:,} contacts failed: {error}") from None


def _peers() -> tuple[list[Contender], list[Figures]]:
    there, missing = [], []
    for peer, name, module, arguments in PEERS:
        try:
            there.append(Contender(name, module, python_of(peer), arguments, most_runs=3))
        except NotInstalledError as error:
            missing.append(Figures(name, failure=str(error)))
    return there, missing
