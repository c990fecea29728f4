"""Who lands, and by which options."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

__all__ = ["Task", "digest"]


class Task(NamedTuple):
    """
    A task instance of Airflow, whichever of its tries: what the ledger and the manifests name.

    :param map_index: -1 where the task is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @classmethod
    def of(cls, ti: Any) -> Task:
        """
        Return who is at work: the same for every try of a task instance.

        :param ti: Airflow's task instance, as the context has it.
        """
        return cls(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)


def digest(*options: object) -> str:
    """Return a short text that differs where options do."""
    return blake2b(repr(options).encode(), digest_size=8).hexdigest()
