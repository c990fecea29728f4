"""The side of a contest that keeps it fair: one contender at a time, turn by turn, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any

from benchmarks.server import ROOT, Export

__all__ = ["Contender", "FailedError", "Figures", "contest", "first_run"]


@dataclass(frozen=True, slots=True)
class Contender:
    """
    Somebody who does the work.

    :param module: what is started, with ``arguments``, see :mod:`benchmarks.contender`.
    :param most_runs: of those that take long.
    """

    name: str
    module: str
    python: str = sys.executable
    arguments: tuple[str, ...] = ()
    most_runs: int = 100


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What the work took.

    :param cpu_s: median of the runs, user and system.
    :param peak_mb: resident memory at its peak, of a process whose first whole run it was.
    :param cpu_by_copy: median of this run's CPU by that of the plain copy in the same turn.
    :param cpu_by_ours: likewise, by ours.
    :param failure: why there are no figures.
    """

    name: str
    runs: int = 0
    cpu_s: float | None = None
    wall_s: float | None = None
    peak_mb: float | None = None
    cpu_by_copy: float | None = None
    cpu_by_ours: float | None = None
    failure: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class FailedError(Exception):
    """A contender could not do the work."""


@dataclass(slots=True)
class _Running:
    contender: Contender
    process: subprocess.Popen[str]
    log: IO[str]
    took: list[dict[str, float]] = field(default_factory=list)

    def work(self, export: Export, *, count: bool = False) -> dict[str, float]:
        """
        Have it done once.

        :raises FailedError: it died, or something is missing from what landed.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with tempfile.TemporaryDirectory(prefix="wacontacts-bench-") as out:
            try:
                self.process.stdin.write(json.dumps({"url": export.url, "out": out, "count": count}) + "\n")
                self.process.stdin.flush()
                took: dict[str, float] = json.loads(self.process.stdout.readline())
            except (BrokenPipeError, json.JSONDecodeError):
                raise FailedError(self._last_words()) from None
        if count and took["rows"] != export.rows:
            raise FailedError(f"landed {took['rows']} contacts of {export.rows}")
        return took

    def _last_words(self) -> str:
        self.process.wait()
        self.log.seek(0)
        lines = self.log.read().strip().splitlines()
        return lines[-1] if lines else f"ended with {self.process.returncode}"


def contest(contenders: Sequence[Contender], export: Export, small: Export, runs: int) -> list[Figures]:
    """
    Have everybody do the work, turn by turn; the first is the plain copy, the second is ours.

    :param small: what they warm up on.
    """
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        running = [stack.enter_context(_started(contender)) for contender in contenders]
        for turn in range(-1, runs):
            for one in running:
                if one.contender.name in failures or turn >= one.contender.most_runs:
                    continue
                try:
                    _one_turn(one, small if turn < 0 else export, turn)
                except FailedError as error:
                    failures[one.contender.name] = str(error)
    copy, ours = running[0].took, running[1].took
    return [_figures(one, copy, ours, failures.get(one.contender.name)) for one in running]


def first_run(contender: Contender, export: Export) -> dict[str, float]:
    """
    Have the work done once, in a process that does nothing else.

    :raises FailedError: it could not be done.
    """
    with _started(contender) as one:
        return one.work(export, count=True)


def _one_turn(one: _Running, export: Export, turn: int) -> None:
    took = one.work(export, count=turn <= 0)
    if turn < 0:
        return
    one.took.append(took)
    print(f"  {one.contender.name}: {took['cpu_s']:.2f} s of CPU", file=sys.stderr, flush=True)


def _figures(one: _Running, copy: list[dict[str, float]], ours: list[dict[str, float]], failure: str | None) -> Figures:
    if failure or not one.took:
        return Figures(one.contender.name, failure=failure or "was not run")
    return Figures(
        one.contender.name,
        runs=len(one.took),
        cpu_s=median(took["cpu_s"] for took in one.took),
        wall_s=median(took["wall_s"] for took in one.took),
        peak_mb=one.took[0]["peak_mb"],
        cpu_by_copy=_ratio(one.took, copy),
        cpu_by_ours=_ratio(one.took, ours),
    )


def _ratio(these: list[dict[str, float]], those: list[dict[str, float]]) -> float | None:
    ratios = [a["cpu_s"] / b["cpu_s"] for a, b in zip(these, those, strict=False)]
    return median(ratios) if ratios else None


@contextmanager
def _started(contender: Contender) -> Iterator[_Running]:
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="wacontacts-bench-home-"))
        log = stack.enter_context(tempfile.TemporaryFile("w+"))
        process = subprocess.Popen(
            [contender.python, "-m", contender.module, *contender.arguments],
            cwd=ROOT,
            env=_environment(Path(home)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield _Running(contender, process, log)
        finally:
            process.kill()
            process.communicate()


def _environment(home: Path) -> dict[str, str]:
    """Give nobody a proxy, an old configuration, or anybody to report to."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    kept.pop("PYTHONPATH", None)
    return kept | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "DLT_DATA_DIR": str(home),
        "DLT_PROJECT_DIR": str(home),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "WARNING",
        "TAP_CONTACTS_LOGLEVEL": "WARNING",
    }
