"""
Runs the tests of everything but deployments on each Airflow of ``points.toml``, and says what came of it.

Each has an environment of its own below ``.matrix``, from the pins beside this file, set up once. A point whose Python
is not to be had is left out, with the reason; one that was asked for by name has failed then.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
ENVIRONMENTS = ROOT / ".matrix"
UV = Path(sys.executable).with_name("uv")
#: What differs from Airflow to Airflow: no deployments, which are of one, and nothing that does not import it.
TESTS = (
    *("cli", "clients", "dags", "files", "hooks", "leaks", "metrics", "operators", "pipelines", "properties"),
    *("sensors", "store", "triggers", "upgrades"),
)
#: With ``--quick``: what imports Airflow, and what speaks to SQLAlchemy, whose 1.4 the older ones have; and of that
#: nothing that starts processes to kill them or to have them contend, no large store, and no search for leaks, which
#: take half of the time. What the operators, sensors and triggers do in the store is tested with them.
QUICK = ("dags", "hooks", "metrics", "operators", "sensors", "store", "triggers", "upgrades")
SLOW = (
    *("workers", "kill*", "plans", "directory_model", "erasure*", "handover", "purge", "pgbouncer", "rewriting"),
    "mistakes",
)
NOT_QUICK = (*(f"--ignore-glob=*/test_{name}.py" for name in SLOW), "--ignore-glob=*/tests/store/checks/*")


@dataclass(frozen=True)
class Point:
    """One Airflow on one Python."""

    name: str
    airflow: str
    python: str
    date: date
    resolution: str = "highest"
    without: Sequence[str] = ()

    @property
    def pins(self) -> Path:
        return HERE / f"{self.name}.txt"

    @property
    def environment(self) -> Path:
        return ENVIRONMENTS / self.name

    @property
    def interpreter(self) -> Path:
        return self.environment / "bin" / "python"


class NotToBeHadError(Exception):
    """The point cannot be set up on this machine."""


def points() -> dict[str, Point]:
    """Read the points, in their order."""
    return {name: Point(name, **point) for name, point in _file()["points"].items()}


def set_up(point: Point) -> None:
    """
    Make the environment, or make it anew where what it is made from has changed.

    :raises NotToBeHadError: its Python is not, or a package.
    """
    stamp, made_from = point.environment / ".made-from", _digest(point)
    if stamp.exists() and stamp.read_text() == made_from:
        return
    _uv("venv", "--quiet", "--clear", "--python", point.python, str(point.environment))
    for wanted in (("-r", str(point.pins)), ("-e", str(ROOT))):
        _uv("pip", "install", "--quiet", "--python", str(point.interpreter), "--no-deps", *wanted)
    stamp.write_text(made_from)


def test(point: Point, names: Sequence[str], arguments: Sequence[str]) -> str:
    """Run tests, folders of them, with pytest's own output; say what came of it."""
    folders = [str(ROOT / "tests" / name) for name in names]
    options = ["-q", "-p", "no:cacheprovider", "-n", "auto", "--maxprocesses=4"]
    command = [str(point.interpreter), "-m", "pytest", *options, *folders, *arguments]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    return f"failed: pytest ended with {code}" if code else "passed"


def lock(point: Point) -> None:
    """Write the pins of a point anew, as of its date."""
    newer = _file()["newer"]
    wanted = [f"apache-airflow=={point.airflow}"] if point.resolution == "highest" else []
    dated = [f"--exclude-newer-package={package}={newer['date']}" for package in newer["packages"]]
    constraints = ENVIRONMENTS / f"{point.name}.constraints"
    ENVIRONMENTS.mkdir(exist_ok=True)
    constraints.write_text("".join(f"{package.replace('>=', '<')}\n" for package in point.without))
    _uv(
        *(
            "pip",
            "compile",
            "--quiet",
            "--upgrade",
            "--extra",
            "test",
            "--no-emit-package",
            "airflow-provider-wacontacts",
        ),
        *("--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"),
        *("--python-version", point.python, "--resolution", point.resolution),
        *("--exclude-newer", str(point.date), *dated, "--constraints", str(constraints)),
        *(str(ROOT / "pyproject.toml"), "-", "--output-file", str(point.pins)),
        given="\n".join(wanted),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, and return the exit code."""
    options = _options(arguments)
    asked = _chosen(options.point)
    if options.lock:
        for point in asked:
            print(f"pinning {point.name}", flush=True)
            lock(point)
        return 0
    results = dict(_results(asked, options))
    print("\n".join(f"{name:<28} {result}" for name, result in results.items()), flush=True)
    return int(any(result.startswith("failed") for result in results.values()))


def _results(asked: Sequence[Point], options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    names, arguments = (QUICK, [*NOT_QUICK, *options.pytest]) if options.quick else (TESTS, options.pytest)
    for point in asked:
        print(f"--- {point.name}: Airflow {point.airflow} on Python {point.python}", flush=True)
        try:
            set_up(point)
        except NotToBeHadError as error:
            yield point.name, f"{'failed' if options.point else 'left out'}: {error}"
            continue
        yield point.name, "set up" if options.set_up else test(point, names, arguments)


def _chosen(names: Sequence[str]) -> list[Point]:
    known = points()
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"there is no point {unknown[0]}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(known.values())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m matrix", description=__doc__)
    parser.add_argument("point", nargs="*", help="which; all by default")
    parser.add_argument("--quick", action="store_true", help="only the tests that depend on Airflow most")
    parser.add_argument("--set-up", action="store_true", help="only make the environments")
    parser.add_argument("--lock", action="store_true", help="write the pins anew instead, as of each point's date")
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[], help="what follows goes to pytest")
    return parser.parse_args(arguments)


def _file() -> dict[str, dict]:
    return tomllib.loads((HERE / "points.toml").read_text())


def _digest(point: Point) -> str:
    made_from = [point.python.encode(), point.pins.read_bytes(), (ROOT / "pyproject.toml").read_bytes()]
    return hashlib.sha256(b"\0".join(made_from)).hexdigest()


def _uv(*arguments: str, given: str = "") -> None:
    if not UV.exists():
        raise NotToBeHadError("needs uv, which is among the development dependencies")
    run = subprocess.run(
        [UV, *arguments], cwd=ROOT, env=_environment(), input=given, text=True, capture_output=True, check=False
    )
    if run.returncode:
        raise NotToBeHadError(" ".join(run.stderr.split()) or f"uv {arguments[0]} failed")


def _environment() -> dict[str, str]:
    # pyenv's versions are on PATH only where somebody has chosen them. What breaks off is downloaded again.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [os.environ.get("PATH", os.defpath), *map(str, sorted(pyenv.glob("versions/*/bin")))]
    return {"UV_HTTP_RETRIES": "10", **os.environ, "PATH": os.pathsep.join(folders)}


if __name__ == "__main__":
    sys.exit(main())
