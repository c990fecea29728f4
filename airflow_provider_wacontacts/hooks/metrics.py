"""
Metrics of syncs, checks and waits, sent through Airflow.

Names are ``wacontacts.<source>.<metric>``, because plain StatsD has no tags. Names and tags hold no account and no
sender, because either may be a phone number.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_wacontacts.clients.retry import Attempt
    from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse

__all__ = ["KINDS", "count_statuses", "send", "send_retry", "warm_up"]

log = logging.getLogger(__name__)

#: Statuses of numbers in a response; ``unknown`` is any other word.
STATUSES = ("valid", "invalid", "processing", "failed", "missing", "unknown")
CHECKED = (
    "given",
    "duplicates",
    "rejected",
    "not_asked",
    "from_store",
    "asked",
    "valid",
    "invalid",
    "failed",
    "retries",
)

_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "counter": {
        "turn": ("pages", "rows", "new_versions", "rejected", "lossy", "gaps", "retries"),
        "green_api": ("pages", "rows", "new_versions", "rejected", "gone", "back", "empty", "retries"),
        "green_api_checks": (*CHECKED, "asked_again", "resolved", "expired"),
        "whatsapp_business": (*CHECKED, "processing", "missing", "unknown", "asked_again", "resolved", "expired"),
        "files": ("pages", "rows", "new_versions", "rejected", "gone", "back"),
    },
    "timer": {
        "turn": ("lateness", "rate_limit_waits"),
        "green_api": ("rate_limit_waits",),
        "green_api_checks": ("rate_limit_waits",),
        "whatsapp_business": ("rate_limit_waits",),
    },
    "gauge": {"green_api_checks": ("budget_left",), "whatsapp_business": ("budget_left",)},
}
#: ``counter``, ``timer`` or ``gauge`` by ``<source>.<metric>``.
KINDS = {f"{source}.{name}": kind for kind, of in _NAMES.items() for source, names in of.items() for name in names}


def send(source: str, conn_id: str = "", /, **figures: int | timedelta | None) -> None:
    """
    Send metrics to where Airflow sends its own. It never raises an error.

    :param source: the feed, or ``files``.
    :param conn_id: a gauge's connection: the last part of its name.
    :param figures: values by the metric's name; a ``timedelta`` for a timer. ``None`` is not sent.
    """
    try:
        tags = {"source": source, **_task()}
        for name, figure in figures.items():
            if figure is not None:
                _send_one(f"{source}.{name}", figure, conn_id, tags)
    except Exception as error:  # noqa: BLE001 - any client of metrics; a task must not fail because of it
        log.debug("Metrics of %s were not sent: %s", source, type(error).__name__)


def send_retry(last: Attempt, pause: timedelta) -> None:
    """Count a retry, and the pause before it if a rate limit is the reason."""
    send(last.request.source, retries=1, rate_limit_waits=pause if last.is_rate_limited else None)


def count_statuses(response: CheckResponse, source: str = "whatsapp_business") -> dict[str, int]:
    """Count the numbers of a response by the statuses that a system has."""
    counts = Counter(result.status if result.known else "unknown" for result in response.results.values())
    counts["missing"] = len(response.missing)
    return {status: counts[status] for status in STATUSES if f"{source}.{status}" in KINDS}


def warm_up() -> None:
    """Load Airflow's metrics and resolve the host, which would block an event loop the first time."""
    send("whatsapp_business", asked_again=0)


def _send_one(name: str, figure: Any, conn_id: str, tags: dict[str, str]) -> None:
    stats, full_name = _airflow()[0], f"wacontacts.{name}"
    match KINDS[name]:
        case "counter":
            stats.incr(full_name, figure, tags=tags)
        case "timer":
            # Not as a timedelta: some versions of Airflow send it in seconds, others in milliseconds.
            stats.timing(full_name, figure.total_seconds() * 1000, tags=tags)
        case _:
            part = re.sub(r"[^A-Za-z0-9_-]", "_", conn_id)
            stats.gauge(f"{full_name}.{part}", figure, tags={**tags, "conn_id": part})


def _task() -> dict[str, str]:
    """Return the tags of the task that runs in this process; none in a triggerer."""
    try:
        ti = _airflow()[1]()["ti"]
    except Exception:  # noqa: BLE001 - each version of Airflow has its own error if no task runs
        return {}
    return {"dag_id": ti.dag_id, "task_id": ti.task_id}


@cache
def _airflow() -> tuple[Any, Callable[[], Any]]:
    """Import what only a task or a trigger that sends metrics needs."""
    from airflow.providers.common.compat.sdk import Stats, get_current_context

    # Only this import sets metrics up in a triggerer of Airflow 3.2. Older and newer versions do not need it.
    with suppress(ImportError):
        import airflow.sdk.serde  # noqa: F401

    return Stats, get_current_context
