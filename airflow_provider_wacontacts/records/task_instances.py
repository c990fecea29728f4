"""The Airflow task instance that an extraction or a check belongs to, and the digest of its options."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

__all__ = ["TaskInstanceKey", "options_digest"]


class TaskInstanceKey(NamedTuple):
    """
    A task instance of Airflow, the same for all of its attempts.

    :param map_index: -1 if the task is not mapped.
    :param region_id: for a task in a loop, like ``region_index``: from Airflow 3.4 on; otherwise ``None``.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    region_id: str | None = None
    region_index: int | None = None

    @classmethod
    def from_task_instance(cls, ti: Any) -> TaskInstanceKey:
        """
        Return the key of a task instance.

        :param ti: Airflow's ``context["ti"]``.
        """
        region_id, region_index = getattr(ti, "region_id", None), getattr(ti, "region_index", None)
        map_index = -1 if ti.map_index is None else ti.map_index
        region = None if region_id is None else str(region_id)
        return cls(ti.dag_id, ti.run_id, ti.task_id, map_index, region, region_index)


def options_digest(*options: object) -> str:
    """Return 16 hexadecimal digits that differ if the options differ."""
    return blake2b(repr(options).encode(), digest_size=8).hexdigest()
