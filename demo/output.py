"""Where the demo leaves what it made; each run starts afresh."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["AIRFLOW_HOME", "CRM", "FILES", "OUTPUT", "STORE", "AlreadyRunningError", "fresh_output", "shown_path"]

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "demo" / "output"
STORE = OUTPUT / "contacts.db"
CRM = OUTPUT / "crm.db"
FILES = OUTPUT / "files"
AIRFLOW_HOME = OUTPUT / "airflow"


class AlreadyRunningError(RuntimeError):
    """Another demo writes to the same folder."""


@contextmanager
def fresh_output() -> Iterator[None]:
    """
    Empty the folder, and keep other demos out of it.

    :raises AlreadyRunningError: one is in it.
    """
    with Path(__file__).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunningError("a demo is already running in this folder; end it first") from None
        shutil.rmtree(OUTPUT, ignore_errors=True)
        OUTPUT.mkdir(parents=True)
        yield


def shown_path(path: Path) -> str:
    """Write a path as a reader in the project's folder would type it."""
    return str(path.relative_to(ROOT))
