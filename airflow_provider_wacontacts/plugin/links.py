"""A link from tasks to the page, which Airflow shows as a button: to the task's extraction, check, or window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_wacontacts.exceptions import DOCUMENTATION
from airflow_provider_wacontacts.plugin.settings import has_page, page_path

__all__ = ["StoreLink"]


class StoreLink(BaseOperatorLink):
    """
    A button that leads to what a task did, on the page; in Airflow 2.11 and 3.0, to the documentation.

    Airflow 3 computes it in the worker when the task ends, and keeps it as XCom. It holds IDs and a day.
    """

    name = "WhatsApp contacts"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the path of the view in Airflow's UI, or the URL of the documentation."""
        if not has_page():
            return f"{DOCUMENTATION}/how-to/monitoring.md"
        summary = XCom.get_value(ti_key=ti_key, key="return_value")
        return page_path(_view(operator, summary if isinstance(summary, Mapping) else {}), operator.store_conn_id)


def _view(operator: Any, summary: Mapping[str, Any]) -> str:
    if extraction_id := summary.get("extraction_id"):
        return f"extractions/{extraction_id}"
    if check_id := summary.get("check_id") or getattr(operator, "check_id", None):
        return f"checks/{check_id}"
    if hasattr(operator, "identity_ids"):
        return "identities"
    if hasattr(operator, "contacts_sql"):
        return "checks"
    # Of a sync that failed, the window is in the rendered fields.
    start = getattr(operator, "start", None)
    return f"coverage?day={str(start)[:10]}" if start else ""
