"""
Simulates separate machines and shortens waits, while the services of docker-compose.yaml run on one machine.

Airflow imports this module by its name, in every service.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any


def hostname() -> str:
    """Tell the container's name, which its services have as HOSTNAME, in place of this machine's."""
    return os.environ["HOSTNAME"]


def task_policy(task: Any) -> None:
    """Try again after seconds, not minutes; and send many small requests where the pace of all is looked at."""
    task.retry_delay = timedelta(seconds=2)
    if task.task_id == "part.check":
        task.batch_size = 2
