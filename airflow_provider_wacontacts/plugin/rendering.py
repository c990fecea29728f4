"""The page's HTML: templates, and how they write times, durations, counts and links."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from airflow_provider_wacontacts.exceptions import DOCUMENTATION
from airflow_provider_wacontacts.plugin.settings import URL_PREFIX, base_path, page_path, store_conn_ids, task_path
from airflow_provider_wacontacts.plugin.views import SOURCES
from airflow_provider_wacontacts.records.windows import format_duration

__all__ = ["render"]

#: In a cell without a value.
NOTHING = "\N{EN DASH}"
TABS = (
    ("", "Overview"),
    ("coverage", "Coverage"),
    ("checks", "Checks"),
    ("budget", "Budget"),
    ("identities", "Identity changes"),
)


def render(template: str, store_conn_id: str, **values: Any) -> str:
    """
    Return a template's HTML.

    :param store_conn_id: the store that its links lead to.
    """
    return _environment().get_template(template).render(link=_links(store_conn_id), store=store_conn_id, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "utc": _utc,
        "machine": lambda moment: moment.isoformat(),
        "duration": lambda value: format_duration(value if isinstance(value, timedelta) else timedelta(seconds=value)),
        "number": lambda value: NOTHING if value is None else f"{value:,}",
        "size": _size,
    }
    environment.globals |= {
        "tabs": TABS,
        "sources": SOURCES,
        "documentation": DOCUMENTATION,
        "task_path": task_path,
        "dags_path": lambda dag_id: f"{base_path()}/dags/{quote(dag_id, safe='')}",
        "airflow_path": lambda: f"{base_path()}/",
        "timedelta": timedelta,
    }
    return environment


def _links(store_conn_id: str) -> Callable[..., str]:
    is_first = store_conn_id == store_conn_ids()[0]

    def link(view: str = "", other_store: str | None = None) -> str:
        if is_first and not other_store:
            return f"{base_path()}{URL_PREFIX}/{view}"
        return page_path(view, other_store or store_conn_id)

    return link


def _utc(moment: datetime | None, *, seconds: bool = False) -> str:
    if moment is None:
        return NOTHING
    return f"{moment:%d %b %Y, %H:%M:%S}" if seconds else f"{moment:%d %b %Y, %H:%M}"


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000  # type: ignore[assignment]
    raise AssertionError
