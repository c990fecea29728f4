"""``make bench``: measure, show the figures as tables, and keep them as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.readme import KEPT, keep
from benchmarks.server import ROOT

BENCHMARKS = (
    *("walk", "imports", "export", "memory", "landing", "directory", "numbers", "checks", "waiting", "snapshots"),
    *(
        "erasure",
        "green_api_checks",
        "purge",
        "queries",
        "size",
        "page",
        "overlap",
        "unchanged",
        "cursors",
        "typed_view",
        "receiver",
        "iceberg",
        "partitions",
    ),
)
PACKAGES = (
    "airflow-provider-wacontacts",
    "apache-airflow",
    "apache-airflow-providers-http",
    "isal",
    "msgspec",
    "requests",
)
OUTPUT = ROOT / "benchmarks" / "output" / "figures.json"


def main() -> None:
    options = _options()
    figures: dict[str, Any] = {"machine": _machine()}
    for name in BENCHMARKS:
        if options.names and name not in options.names:
            continue
        print(f"Measuring {name} ...", file=sys.stderr, flush=True)
        figures[name] = _measure(name, options)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nAlso in {options.json}")
    if options.readme:
        keep(figures)
        print(f"and in {KEPT.relative_to(ROOT)} and README.md")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The figures of the README.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(BENCHMARKS)}; all of it")
    parser.add_argument("--rows", type=int, default=200_000, help="contacts to export and to land (200,000)")
    parser.add_argument("--large", type=int, default=2_000_000, help="contacts of the large export; once (2,000,000)")
    parser.add_argument(
        "--contacts",
        type=int,
        default=1_000_000,
        help="contacts in the directory, and of queries, size, erasure, typed_view and partitions (1,000,000)",
    )
    parser.add_argument("--viewers", type=int, default=200, help="viewers of the page at once (200)")
    parser.add_argument("--numbers", type=int, default=1_000_000, help="phone numbers to normalise (1,000,000)")
    parser.add_argument("--sensors", type=int, default=1_000, help="sensors that wait in one triggerer (1,000); once")
    parser.add_argument("--checks", type=int, default=100_000, help="numbers to check; once with each store (100,000)")
    parser.add_argument("--green-api-checks", type=int, default=600, help="numbers to check with GREEN-API (600); once")
    parser.add_argument("--seconds", type=int, default=60, help="how long clients deliver to the receiver (60); once")
    parser.add_argument("--outage", type=int, default=60, help="seconds that the receiver's store is down (60); once")
    parser.add_argument("--extractions", type=int, default=1_000, help="extractions in one Iceberg table (1,000); once")
    parser.add_argument("--runs", type=int, default=5, help="runs, of which the median is shown (5)")
    parser.add_argument("--json", type=Path, default=OUTPUT, help="file for the figures")
    parser.add_argument("--readme", action="store_true", help="keep the figures, and write README's section from them")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    counts = (
        "rows",
        "runs",
        "large",
        "contacts",
        "numbers",
        "sensors",
        "checks",
        "green_api_checks",
        "seconds",
        "outage",
        "extractions",
    )
    if min(getattr(options, name) for name in counts) < 1:
        parser.error("rows and runs start at 1")
    return options


def _measure(name: str, options: argparse.Namespace) -> Any:
    """Import late: what one figure needs, the others do without, and this process stays small."""
    module = importlib.import_module(f"benchmarks.{'export' if name == 'memory' else name}")
    arguments = {
        "walk": (),
        "cursors": (),
        "overlap": (),
        "imports": (options.runs,),
        "memory": ((2_000, options.rows, options.large),),
        "waiting": (options.sensors,),
        "checks": (options.checks,),
        "green_api_checks": (options.green_api_checks,),
        "snapshots": (options.rows,),
        "numbers": (options.numbers, options.runs),
        "directory": (options.contacts, options.runs),
        "erasure": (options.contacts,),
        "queries": (options.contacts, options.runs),
        "size": (options.contacts,),
        "purge": (options.contacts,),
        "typed_view": (options.contacts, options.runs),
        "page": (options.viewers, options.runs),
        "receiver": (options.seconds, options.outage),
        "iceberg": (options.extractions,),
        "partitions": (options.contacts,),
    }.get(name, (options.rows, options.runs))
    return (module.run_memory if name == "memory" else module.run)(*arguments)


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES},
    }


if __name__ == "__main__":
    main()
