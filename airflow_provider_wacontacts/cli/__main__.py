"""``python -m airflow_provider_wacontacts.cli``: the command ``wacontacts``, if its script is not on the path."""

from __future__ import annotations

import sys

from airflow_provider_wacontacts.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
