"""
``make newcomer``: run the steps of README unchanged, in a clean environment.

The environment is a clone of the last commit in an empty directory, an empty home, a path, the settings of a package
index, and an Airflow without this package. It takes as long as README's commands do.

``make newcomer ARGS="--skip '^make (test|matrix|bench)'"`` skips some of them, and ``ARGS="--page first_check"``
follows a tutorial.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.newcomer.place import Place, install_airflow
from tests.newcomer.readme import steps_of
from tests.newcomer.tutorials import TUTORIALS, TutorialWalk, steps_of_tutorial
from tests.newcomer.walk import StepFailedError, Walk

SUMMARY, _, DETAILS = (__doc__ or "").strip().partition("\n\n")


def main() -> int:
    """Walk; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.newcomer", description=SUMMARY, epilog=DETAILS)
    parser.add_argument("--skip", metavar="REGEX", help="leave out commands in which this is found")
    parser.add_argument("--page", choices=("README", *TUTORIALS), default="README", help="what is followed (README)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="newcomer-") as directory:
        place = Place(Path(directory))
        print("# before README begins: an Airflow of one's own, and this package's wheel where pip looks for it")
        install_airflow(place)
        place.build_wheel()
        try:
            if options.page == "README":
                with Walk(place, skip=options.skip) as walk:
                    walk.follow(steps_of((place.clone / "README.md").read_text()))
            else:
                with TutorialWalk(place, options.page, skip=options.skip) as walk:
                    walk.follow(steps_of_tutorial(place.clone / "docs", options.page))
        except StepFailedError as error:
            print(f"{options.page} fails a newcomer at {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(main())
