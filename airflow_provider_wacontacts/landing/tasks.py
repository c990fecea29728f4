"""Who lands."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Task"]


class Task(NamedTuple):
    """
    A task instance of Airflow, whichever of its tries: what the ledger and the manifests name.

    :param map_index: -1 where the task is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
