"""Ask the demo's store something: ``.venv/bin/python -m demo.query "SELECT * FROM wacontacts_extraction"``."""

from __future__ import annotations

import sqlite3
import sys

from demo.landed import query
from demo.output import STORE
from demo.tables import table

MOST_ROWS = 40
WIDEST = 60


def main(arguments: list[str]) -> int:
    """Print what a query answers."""
    if len(arguments) != 1 or not STORE.exists():
        print(__doc__ if STORE.exists() else f"There is no {STORE} yet; `make demo` makes it.")
        return 2
    try:
        columns, rows = query(STORE, arguments[0])
    except sqlite3.Error as error:
        print(error)
        return 1
    print(table(columns, ([str(value)[:WIDEST] for value in row] for row in rows[:MOST_ROWS])))
    if len(rows) > MOST_ROWS:
        print(f"  … and {len(rows) - MOST_ROWS:,} more")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
