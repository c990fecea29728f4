"""
``make newcomer``: run what README tells a newcomer to do, as it is written, where nothing is prepared.

A clone of the last commit in an empty directory, an empty home, an environment that has nothing but a path and what a
package index needs, and an Airflow without this package. It takes as long as README's commands do.

``make newcomer ARGS="--skip '^make (test|matrix|bench)'"`` leaves some of them out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.newcomer.place import Place, install_airflow
from tests.newcomer.readme import steps_of
from tests.newcomer.walk import StepFailedError, Walk

SUMMARY, _, DETAILS = (__doc__ or "").strip().partition("\n\n")


def main() -> int:
    """Walk; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.newcomer", description=SUMMARY, epilog=DETAILS)
    parser.add_argument("--skip", metavar="REGEX", help="leave out commands in which this is found")
    skip = parser.parse_args().skip
    with tempfile.TemporaryDirectory(prefix="newcomer-") as directory:
        place = Place(Path(directory))
        print("# before README begins: an Airflow of one's own, and this package's wheel where pip looks for it")
        install_airflow(place)
        place.build_wheel()
        try:
            with Walk(place, skip=skip) as walk:
                walk.follow(steps_of((place.clone / "README.md").read_text()))
        except StepFailedError as error:
            print(f"README fails a newcomer at {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(main())
