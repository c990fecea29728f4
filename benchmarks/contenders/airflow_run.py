"""What an operator needs of Airflow to execute without a scheduler."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from benchmarks.contacts import WINDOW

__all__ = ["connect", "context"]


def connect(conn_id: str, conn_type: str, url: str) -> None:
    """Make the export an Airflow connection, for this process."""
    connection = {"conn_type": conn_type, "host": url, "password": "example-token"}
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)


def context() -> Any:
    """Return the context of a run over the window."""
    run = SimpleNamespace(run_id="benchmark", run_after=WINDOW[1])
    ti = SimpleNamespace(dag_id="benchmark", run_id=run.run_id, task_id="pull", map_index=-1, try_number=1)
    return {
        "ti": ti,
        "dag_run": run,
        "logical_date": WINDOW[1],
        "data_interval_start": WINDOW[0],
        "data_interval_end": WINDOW[1],
        "outlet_events": defaultdict(SimpleNamespace),
    }
