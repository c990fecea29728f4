"""Deferred tasks and triggers of one minor release are resumed by later ones."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_wacontacts.get_provider_info import get_provider_info
from tests.upgrades.conftest import Scene
from tests.upgrades.deferrals import FORMS, MINOR, events_of, kept, left_by, named, resume, shape

pytestmark = pytest.mark.usefixtures("hasty")

KEPT = [
    pytest.param(form, id=f"{release} {form['task'].rpartition('.')[2]} {form['method']}")
    for release, forms in kept().items()
    for form in forms
]
WATCHERS = [form for forms in kept(FORMS / "watchers").values() for form in forms]
CHANGED = """what {task} leaves is no longer what forms/{minor}.json says.
Tasks that deferred before an upgrade go on after it. Once {minor} is released: leave that file as it is, raise the
version, and put the new form, with those of the others, into the new minor's file. Now it is: {now}"""
PULLED = {"state": "complete", "rows": 1}
DONE = {
    "TurnContactsToSqlOperator": PULLED,
    "TurnContactsToObjectStorageOperator": PULLED,
    "GreenApiContactsToSqlOperator": PULLED,
    "GreenApiContactsToObjectStorageOperator": PULLED,
    "GreenApiCheckContactsOperator": {"given": 2, "asked": 2, "state": "resolved"},
    "GreenApiRevalidateContactsOperator": {"given": 1, "asked": 1, "state": "resolved"},
    "WhatsAppCheckContactsOperator": {"given": 2, "asked": 2, "processing": 2},
    "WhatsAppRevalidateContactsOperator": {"given": 1, "asked": 1, "valid": 1},
    "WhatsAppContactsSensor": {"state": "resolved", "given": 3, "valid": 3},
    "execute_after_results": {"state": "resolved", "given": 3, "valid": 3},
}
METHODS = {"execute_after_wait", "execute_after_results", "execute_complete"}
#: Only this one waits for results; the others have the method from their base.
WAITS_FOR_RESULTS = "WhatsAppCheckContactsOperator"


def ours(kind: str) -> set[Any]:
    """Return the classes of a kind of module that are told of to Airflow."""
    modules = [import_module(name) for group in get_provider_info()[kind] for name in group["python-modules"]]
    return {getattr(module, name) for module in modules for name in module.__all__}


def here(scene: Scene, arguments: dict[str, Any]) -> dict[str, Any]:
    """Point a trigger's arguments to what is there, at a time that will soon have come."""
    found = {"check_id": scene.check_id, "deadline": "2999-01-01T00:00:00+00:00", "until": "2022-01-01T00:00:00+00:00"}
    return arguments | {name: found[name] for name in arguments.keys() & found}


def outline(form: dict[str, Any]) -> dict[str, Any]:
    """Return a form's paths and names as they are, and the rest by its types."""
    return {name: shape(one) if isinstance(one, dict) else one for name, one in form.items()}


@pytest.mark.parametrize("form", KEPT)
def test_a_trigger_of_any_release_is_restored_and_fires_once(scene: Scene, form: dict[str, Any]) -> None:
    trigger = named(form["trigger"])(**here(scene, form["arguments"]))

    (event,) = events_of(trigger)

    assert shape(form["event"]).items() <= shape(event).items()


@pytest.mark.parametrize("form", KEPT)
def test_a_task_of_any_release_resumes(scene: Scene, form: dict[str, Any]) -> None:
    if "check_id" in form["arguments"]:
        events_of(named(form["trigger"])(**here(scene, form["arguments"])))
    task = scene.task(form)
    assert type(task) is named(form["task"])

    summary = resume(task, form | {"event": here(scene, form["event"])}, scene.context())

    assert summary.items() >= (DONE.get(form["method"]) or DONE[type(task).__name__]).items()


@pytest.mark.parametrize("form", [*KEPT, *WATCHERS])
def test_arguments_of_a_later_release_are_ignored(form: dict[str, Any]) -> None:
    made = named(form["trigger"])(**form["arguments"], of_a_later_release={"any": "thing"})

    assert made.serialize() == (form["trigger"], form["arguments"])


@pytest.mark.parametrize("form", [one for one in KEPT if one.id.startswith(f"{MINOR} ")])
def test_deferrals_match_the_stored_forms_of_this_release(scene: Scene, form: dict[str, Any]) -> None:
    scene.delay(form)
    left = left_by(scene.task(form), scene.context())
    scene.api.faults.clear()
    (event,) = events_of(named(left["trigger"])(**here(scene, left["arguments"])))

    now = left | {"event": event}
    assert outline(now) == outline(form), CHANGED.format(task=form["task"], minor=MINOR, now=json.dumps(now, indent=2))


def test_this_release_has_a_stored_form_of_every_task_and_trigger() -> None:
    forms = kept().get(MINOR, [])

    waiting = {
        (one.__name__, method)
        for one in ours("operators") | ours("sensors")
        for method in METHODS & {*dir(one)}
        if method != "execute_after_results" or one.__name__ == WAITS_FOR_RESULTS
    }
    assert {(form["task"].rpartition(".")[2], form["method"]) for form in forms} == waiting
    watchers = kept(FORMS / "watchers")[MINOR]
    assert {named(form["trigger"]) for form in (*forms, *watchers)} == ours("triggers")
