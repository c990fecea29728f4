"""
``make release``: build the source distribution and the wheel, and try both as a user would.

Both go to ``dist``. Their metadata is checked. Each is installed into fresh environments with the newest and the oldest
supported Airflow, where the example DAG of Turn.io syncs a window from the sandbox. Nothing is uploaded.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.packaging.installation import UV, Installation, uv_environment

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
#: The repository's address until it has a public one.
PLACEHOLDER = "github.com/airflow-provider-wacontacts/"
#: Pins by the version of Python that they are for.
PINS = {"3.13": "airflow-3.3.2-python-3.13.txt", "3.11": "airflow-2.11.2.txt"}


def main() -> int:
    """Build and try the distributions; return the exit code."""
    distributions = build()
    check_metadata(distributions)
    failed = 0
    for distribution in distributions:
        for python, pins in PINS.items():
            outcome = try_out(distribution, python, ROOT / "matrix" / pins)
            failed += outcome != "synced"
            print(f"{distribution.name:<50} {pins.removesuffix('.txt'):<28} {outcome}", flush=True)
    if PLACEHOLDER in (ROOT / "pyproject.toml").read_text():
        print("WARNING: [project.urls] of pyproject.toml has a placeholder. Set your address before you upload.")
    if not failed:
        print(f"{DIST} is ready. CONTRIBUTING.md says how to tag and upload it.")
    return int(failed > 0)


def build() -> list[Path]:
    """Build both distributions into an empty ``dist``."""
    shutil.rmtree(DIST, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel"], cwd=ROOT, check=True)
    return sorted(DIST.iterdir())


def check_metadata(distributions: list[Path]) -> None:
    """Let twine read the metadata and the description as the package index does."""
    command = [UV, "tool", "run", "--from", "twine>=6", "twine", "check", "--strict", *distributions]
    subprocess.run(command, env=uv_environment(), check=True)


def try_out(distribution: Path, python: str, pins: Path) -> str:
    """Install a distribution into a fresh environment, and sync a window there; return ``synced``, or what failed."""
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        installation = Installation(Path(folder))
        try:
            installation.install(f"{distribution}[sandbox,sqlite]", pins, python)
            outcome = installation.sync_example()
        except (AssertionError, subprocess.CalledProcessError) as error:
            return f"failed: {error}"
    return "synced" if outcome == ("complete", 1, 1) else f"failed: {outcome}"


if __name__ == "__main__":
    sys.exit(main())
