"""The outlet events that Airflow passes to a task."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

__all__ = ["outlet_events"]


def outlet_events() -> Any:
    """Make Airflow's own: assets are no keys of a dictionary on each of its versions."""
    module = "airflow.sdk.execution_time.context" if AIRFLOW_V_3_0_PLUS else "airflow.utils.context"
    return import_module(module).OutletEventAccessors()
