"""
The side of a contest that does the work.

A contender imports what it needs, then does the work each time a line on its standard input asks for it, and answers
with what that took: one line of JSON on what was its standard output. Whatever it prints itself goes nowhere. What is
imported here needs the standard library alone: peers run this in environments of their own.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from benchmarks.memory import peak_mb

__all__ = ["compete", "lines_in"]


def compete(work: Callable[[str, Path], object], count: Callable[[Path], int]) -> None:
    """
    Do the work whenever asked to.

    :param work: takes the address of the export and an empty directory to land in.
    :param count: contacts that landed in that directory; not measured.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        asked = json.loads(line)
        out = Path(asked["out"])
        took = _measured(partial(work, asked["url"], out))
        took["rows"] = count(out) if asked["count"] else None
        answers.write(json.dumps(took) + "\n")


def lines_in(files: Iterable[Path]) -> int:
    """Count the lines of files compressed by gzip, little by little."""
    return sum(_lines(file) for file in files)


def _lines(path: Path) -> int:
    lines = 0
    with path.open("rb") as file:
        member = zlib.decompressobj(31)
        while text := member.unused_data or file.read(1 << 20):
            if member.eof:
                member = zlib.decompressobj(31)
            lines += member.decompress(text).count(b"\n")
    return lines


def _measured(work: Callable[[], object]) -> dict[str, float | int | None]:
    gc.collect()
    cpu, wall = _cpu(), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    return {"cpu_s": cpu, "wall_s": wall, "peak_mb": peak_mb()}


def _cpu() -> float:
    """Seconds of this process and of the children it has waited for, in user and in system."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
