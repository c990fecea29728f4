"""A token that is replaced while an export runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.sandbox import Sandbox, TurnBehaviour, World

PAGES = 3
Connect = Callable[..., None]


@pytest.fixture(autouse=True)
def world(turn: Sandbox, crowd: Any) -> list[str]:
    """Six contacts on three pages, and their keys."""
    turn.load(crowd(6), now="2022-09-13T00:10:00Z", behaviour=TurnBehaviour(page_size=2))
    return sorted(event.uuid for event in turn.world)


@pytest.mark.parametrize("pages", [{1}, {2}, {1, 2, 3}], ids=str)
def test_the_export_continues_with_the_connections_new_token(
    task: Any, turn: Sandbox, connect: Connect, world: list[str], pages: set[int]
) -> None:
    def rotate(page: int) -> None:
        if page in pages:
            turn.change(token=f"example-token-{page}")
            connect("turn_default", conn_type="turn", host=turn.url, password=turn.token)

    assert task.run(before_page=rotate)["pages"] == PAGES
    assert task.landed() == world
    assert (turn.requests.count(outcome=401), turn.requests.count("page", 200)) == (len(pages), PAGES)


def test_a_token_replaced_only_at_the_server_fails_without_retries(
    task: Any, turn: Sandbox, connect: Connect, world: list[str]
) -> None:
    def rotate(page: int) -> None:
        if page == 2:
            turn.change(token="example-token-new")

    with pytest.raises(AirflowFailException, match=r"^AuthError: .*password"):
        task.run(before_page=rotate)
    assert (turn.requests.count("page", 401), task.complete(), task.pause.slept) == (1, [], [])

    connect("turn_default", conn_type="turn", host=turn.url, password="example-token-new")
    task.run()
    assert sorted(set(task.landed())) == world


def test_a_connection_that_changes_its_host_gets_no_requests_of_this_export(
    task: Any, turn: Sandbox, connect: Connect
) -> None:
    with Sandbox(World(), behaviour=TurnBehaviour(token="example-token-new")) as other:

        def rotate(page: int) -> None:
            if page == 2:
                turn.change(token="example-token-new")
                connect("turn_default", conn_type="turn", host=other.url, password=other.token)

        with pytest.raises(AirflowFailException, match=r"^AuthError: "):
            task.run(before_page=rotate)

        assert (turn.requests.count("page", 401), other.requests.count()) == (1, 0)
