"""Section ``[wacontacts]`` of Airflow's configuration, and the paths of Airflow's UI."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import conf

__all__ = ["URL_PREFIX", "base_path", "has_page", "page_path", "people_are_shown", "store_conn_ids", "task_path"]

#: Where the API server mounts the page's application.
URL_PREFIX = "/wacontacts"
SECTION = "wacontacts"


def has_page() -> bool:
    """Return whether this Airflow can show the page: 3.1 or newer."""
    release = [int(part) for part in version("apache-airflow").split(".")[:2]]
    return release >= [3, 1]


def base_path() -> str:
    """Return the path of Airflow's UI, without a slash at its end: empty unless ``[api] base_url`` has one."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


def page_path(view: str, store_conn_id: str) -> str:
    """
    Return the path of a view of the page in Airflow's UI.

    :param view: below the page's own path, with its parameters.
    """
    path, _, query = view.partition("?")
    parameters = "&".join(part for part in (f"store={quote(store_conn_id, safe='')}", query) if part)
    return f"{base_path()}{URL_PREFIX}/{path}?{parameters}"


def task_path(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Return the path of a task instance in Airflow's UI, whose first tab is its log."""
    dag, run, task = (quote(part, safe="") for part in (dag_id, run_id, task_id))
    mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
    return f"{base_path()}/dags/{dag}/runs/{run}/tasks/{task}{mapped}"


def store_conn_ids() -> Sequence[str]:
    """Return the connections of the stores that the page shows, in the order of the setting."""
    listed = str(conf.get(SECTION, "store_conn_ids", fallback="") or "")
    return [conn_id.strip() for conn_id in listed.split(",") if conn_id.strip()] or ["wacontacts_store"]


def people_are_shown() -> bool:
    """Return whether users may look for a person."""
    return bool(conf.getboolean(SECTION, "show_people", fallback=False))
