"""Faults of HTTP: the task loads all contacts, or fails with the right kind of error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from typing import Any, get_args

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_wacontacts.exceptions import ContractError, LandingError, NetworkError, ServerError
from airflow_provider_wacontacts.sandbox import Fault, Sandbox, TurnBehaviour
from airflow_provider_wacontacts.sandbox.core.faults import FaultKind
from airflow_provider_wacontacts.sandbox.core.hostile import HOSTILE

#: Two contacts a page; two of the three pages are full.
PAGES = 3
FOREVER: dict[str, Any] = {"every": 1}


@pytest.fixture(autouse=True)
def world(turn: Sandbox, crowd: Any) -> list[str]:
    """Five contacts, and their keys."""
    turn.load(crowd(5), now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=2))
    return sorted(event.uuid for event in turn.world)


def named(value: Any) -> str | None:
    """Name a parameter of a test by what it changes."""
    if not isinstance(value, Fault):
        return getattr(value, "__name__", None)
    changes = (f"{each.name}={getattr(value, each.name)}" for each in fields(Fault) if each.name not in {"on", "kind"})
    plain = {f"{each.name}={each.default}" for each in fields(Fault)} | {"headers={}"}
    return " ".join([value.on, value.kind, *(change for change in changes if change not in plain)])


def second_page(kind: Any, **more: Any) -> Fault:
    return Fault(kind=kind, on="page", **{"skip": 1} | more)


def cursor(kind: Any, **more: Any) -> Fault:
    return Fault(kind=kind, on="create", **more)


PASSING = [
    (second_page("status", status=500), 1, PAGES + 1),
    (second_page("status", status=502, times=3), 1, PAGES + 3),
    (second_page("status", status=599), 1, PAGES + 1),
    (second_page("drop", times=2), 1, PAGES + 2),
    (second_page("cut", times=2), 1, PAGES + 2),
    (second_page("cut", share=0.0), 1, PAGES + 1),
    (second_page("html", status=503), 1, PAGES + 1),
    (second_page("empty", status=504), 1, PAGES + 1),
    (second_page("body", status=500, body="{"), 1, PAGES + 1),
    (second_page("delay", delay_s=0.05), 1, PAGES),
    (second_page("empty_page"), 1, PAGES + 1),
    (second_page("rate_limited", delay_s=7), 1, PAGES + 1),
    (second_page("rate_limited", delay_s=0), 1, PAGES + 1),
    # The first two are of one time and show no order: the window starts anew. The fourth is of another.
    (second_page("expired"), 2, PAGES + 2),
    (second_page("expired", skip=2), 2, PAGES + 1),
    (cursor("status", status=500, times=2), 3, PAGES),
    (cursor("drop"), 2, PAGES),
    (cursor("cut"), 2, PAGES),
    (cursor("html", status=502), 2, PAGES),
    (cursor("delay", delay_s=0.05), 1, PAGES),
    (cursor("rate_limited", delay_s=60), 2, PAGES),
]


@pytest.mark.parametrize(("fault", "cursors", "pages"), PASSING, ids=named)
def test_transient_faults_are_retried_and_all_contacts_are_loaded(
    task: Any, turn: Sandbox, world: list[str], *, fault: Fault, cursors: int, pages: int
) -> None:
    turn.fail(fault)

    summary = task.run()

    assert (summary["state"], task.complete()) == ("complete", [summary["extraction_id"]])
    assert sorted(set(task.landed())) == world
    assert (turn.requests.count("create"), turn.requests.count("page")) == (cursors, pages)
    if fault.kind == "rate_limited":
        assert sum(task.pause.slept) >= fault.delay_s
    requests = cursors + pages + turn.requests.count("schemas")
    expected = requests - turn.requests.count(outcome=200) - turn.requests.count(outcome=400)
    assert len(task.pause.slept) == expected


@pytest.mark.parametrize(
    ("retry_after", "at_least"), [("integer", 90), ("fraction", 90), ("date", 90), ("missing", 0.5)]
)
def test_a_rate_limit_is_waited_for_with_any_form_of_retry_after(
    task: Any, turn: Sandbox, world: list[str], retry_after: Any, at_least: float
) -> None:
    turn.change(retry_after=retry_after)
    turn.fail(second_page("rate_limited", delay_s=90))

    assert task.run()["rows"] == len(world)
    assert len(task.pause.slept) == 1
    assert task.pause.slept[0] >= at_least


@pytest.mark.parametrize("trailing", [False, True], ids=["", "with a trailing empty page"])
@pytest.mark.parametrize("last_page", ["missing", "null", "empty", "next_null", "next_empty"])
@pytest.mark.parametrize("page_size", [2, 5])
def test_every_form_of_a_last_page_ends_the_export(
    task: Any, turn: Sandbox, world: list[str], *, last_page: Any, trailing: bool, page_size: int
) -> None:
    turn.change(last_page=last_page, trailing_empty_page=trailing, page_size=page_size)

    summary = task.run()

    pages = -(-len(world) // page_size) + (trailing and len(world) % page_size == 0)
    assert (task.landed(), summary["pages"], turn.requests.count("page")) == (world, pages, pages)


NOT_A_PAGE = ["{", "[]", "null", '"text"', "7", "{}", '{"data":{}}', '{"data":null}', '{"data":[],"paging":7}']
BROKEN = [
    (second_page("html"), ContractError, 1, 2),
    (second_page("empty"), ContractError, 1, 2),
    (second_page("repeat_cursor"), ContractError, 1, 2),
    *((second_page("body", body=body), ContractError, 1, 2) for body in NOT_A_PAGE),
    (cursor("html"), ContractError, 1, 0),
    (cursor("empty"), ContractError, 1, 0),
    (cursor("empty", status=201), ContractError, 1, 0),
    (cursor("no_cursor"), ContractError, 1, 0),
    (cursor("body", body='{"cursor":7}'), ContractError, 1, 0),
    (second_page("empty_page", **FOREVER), ContractError, 1, 1 + 101),
    (Fault(kind="expired", on="page", **FOREVER), ContractError, 11, 11),
]


@pytest.mark.parametrize(("fault", "kind", "cursors", "pages"), BROKEN, ids=named)
def test_an_undocumented_response_fails_the_attempt_and_the_next_one_completes(
    task: Any, turn: Sandbox, world: list[str], *, fault: Fault, kind: type[Exception], cursors: int, pages: int
) -> None:
    turn.fail(fault)
    with pytest.raises(kind):
        task.run()
    assert (turn.requests.count("create"), turn.requests.count("page")) == (cursors, pages)
    assert (task.complete(), task.pause.slept) == ([], [])

    turn.faults.clear()
    summary = task.run()
    assert (task.complete(), sorted(set(task.landed()))) == ([summary["extraction_id"]], world)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (second_page("status", status=500, **FOREVER), ServerError),
        (second_page("html", status=503, **FOREVER), ServerError),
        (second_page("drop", **FOREVER), NetworkError),
        (second_page("cut", **FOREVER), NetworkError),
        (cursor("status", status=504, **FOREVER), ServerError),
        (cursor("drop", **FOREVER), NetworkError),
    ],
    ids=named,
)
def test_a_fault_of_ten_minutes_fails_the_attempt_and_the_next_one_completes(
    task: Any, turn: Sandbox, world: list[str], fault: Fault, kind: type[Exception]
) -> None:
    turn.fail(fault)
    with pytest.raises(kind):
        task.run()
    failed = turn.requests.count() - turn.requests.count(outcome=200)
    assert (len(task.pause.slept), task.complete()) == (failed - 1, [])
    assert 10 <= failed <= 40
    assert 400 < sum(task.pause.slept) <= 600

    turn.faults.clear()
    summary = task.run()
    assert (task.complete(), sorted(set(task.landed()))) == ([summary["extraction_id"]], world)


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        pytest.param({"kind": "rate_limited", "delay_s": 3600}, 1, id="too long for a worker"),
        pytest.param({"kind": "rate_limited", "delay_s": 60}, 10, id="repeatedly for ten minutes"),
        pytest.param({"kind": "status", "status": 503, "headers": {"retry-after": "3600"}}, 1, id="unavailable"),
    ],
)
def test_a_long_wait_is_deferred(task: Any, turn: Sandbox, world: list[str], fault: dict[str, Any], asked: int) -> None:
    turn.fail(second_page(**fault, **FOREVER))

    with pytest.raises(TaskDeferred) as deferred:
        task.run()

    refused = turn.requests.count("page", fault.get("status", 429))
    assert (refused, len(task.pause.slept), task.complete()) == (asked, asked - 1, [])
    assert (deferred.value.trigger.attempt, deferred.value.method_name) == (2, "execute_after_wait")
    turn.faults.clear()
    summary = task.operator().execute_after_wait(task.context(), {"attempt": deferred.value.trigger.attempt})
    assert (task.complete(), task.landed()) == ([summary["extraction_id"]], world)


@pytest.mark.parametrize("on", ["create", "page"])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, "RejectedError"),
        (400, "RejectedError"),
        (401, "AuthError"),
        (403, "NotEnabledError"),
        (404, "NotEnabledError"),
        (410, "RejectedError"),
        (422, "RejectedError"),
    ],
)
def test_permanent_errors_fail_without_retries(task: Any, turn: Sandbox, *, on: Any, status: int, kind: str) -> None:
    turn.fail(Fault(on=on, kind="status", status=status, **FOREVER))

    with pytest.raises(AirflowFailException, match=f"^{kind}: .*HTTP {status}"):
        task.run()

    # A page is requested once with a new cursor, if the token and the account are not what is refused.
    requests = 2 if on == "page" and status in (400, 404, 410, 422) else 1
    assert (turn.requests.count(on), task.pause.slept, task.complete()) == (requests, [], [])


@pytest.mark.parametrize(
    ("behaviour", "arguments", "kind"),
    [
        ({"export": "forbidden"}, {}, "NotEnabledError"),
        ({"export": "unavailable"}, {}, "NotEnabledError"),
        ({"max_open_cursors": 0}, {}, "NotEnabledError"),
        ({"token": "example-other-token"}, {}, "AuthError"),
        ({"page_size_option": "refuse"}, {"page_size": 2}, "RejectedError: .*page_size"),
        (
            {"scrubbing_option": "refuse"},
            {"scrubbing_rules": {"details.name": {"type": "hash"}}},
            "RejectedError: .*scrubbing_rules",
        ),
    ],
    ids=lambda value: None if not isinstance(value, dict) else " ".join(value),
)
def test_a_refused_cursor_is_requested_once_and_nothing_is_loaded(
    task: Any, turn: Sandbox, *, behaviour: dict[str, Any], arguments: dict[str, Any], kind: str
) -> None:
    turn.change(**behaviour)

    with pytest.raises(AirflowFailException, match=f"^{kind}"):
        task.run(**arguments)

    assert (turn.requests.count("create"), turn.requests.count("page"), task.complete()) == (1, 0, [])


NOT_JSON = ["nested body", "byte order mark", "trailing text"]
NOT_A_CURSOR = ["surrogate cursor", "huge cursor", "number as cursor"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_row_affects_no_other_row_and_a_hostile_page_is_refused(
    task: Any, turn: Sandbox, world: list[str], name: str
) -> None:
    turn.fail(second_page("hostile", hostile=name))

    if name in (*NOT_JSON, *NOT_A_CURSOR):
        with pytest.raises(ContractError):
            task.run()
    else:
        with suppress(LandingError):  # It says that a row was rejected.
            task.run()
        assert len(set(task.landed())) >= len(world) - 1


def test_every_kind_of_fault_is_tested() -> None:
    assert {case[0].kind for case in (*PASSING, *BROKEN)} == {*get_args(FaultKind)} - {"hostile"}
