"""The rows of deferred tasks in Airflow's database, as each release stores them."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wacontacts import __version__

__all__ = ["FORMS", "MINOR", "events_of", "kept", "left_by", "named", "resume", "shape"]

FORMS = Path(__file__).parent / "forms"
MINOR = ".".join(__version__.split(".")[:2])


def kept(folder: Path = FORMS) -> dict[str, list[dict[str, Any]]]:
    """
    Read the forms of each minor release.

    A form of a watcher, in folder ``watchers``, has ``trigger``, the path of its class, and ``arguments``. A form of a
    task has ``task``, too; ``method`` and ``next_arguments``, by which the task resumes; and ``event``, which it is
    given then.
    """
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def named(path: str) -> Any:
    """Import a class by its path, as Airflow does."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def left_by(task: Any, context: Any) -> dict[str, Any]:
    """Run a task until it defers, and its trigger until it fires; return the form that it has left."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    path, arguments = deferred.value.trigger.serialize()
    return {
        "task": f"{type(task).__module__}.{type(task).__qualname__}",
        "trigger": path,
        "arguments": json.loads(json.dumps(arguments)),
        "method": deferred.value.method_name,
        "next_arguments": deferred.value.kwargs or {},
    }


def events_of(trigger: Any) -> list[Any]:
    """Run a trigger to its end."""

    async def run() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(run())


def resume(task: Any, form: dict[str, Any], context: Any) -> Any:
    """Go on with a task as Airflow does when its trigger has fired."""
    return task.resume_execution(form["method"], {**form["next_arguments"], "event": form["event"]}, context)


def shape(value: Any) -> Any:
    """Put types in the place of values."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in sorted(value.items())}
    return type(value).__name__
