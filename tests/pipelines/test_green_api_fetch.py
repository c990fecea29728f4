"""Fetching a snapshot: requests before the contacts, and what is known of the list."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.exceptions import (
    NotEnabledError,
    TransientError,
)
from airflow_provider_wacontacts.pipelines.green_api_snapshot import fetch_snapshot
from tests.pipelines.green_api_instance import ANN, AUTHORIZED, BEN, MONDAY, PULL, Instance


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ({}, "contacts"),
        ({"group": True}, "?group=true"),
        ({"group": False}, "?group=false"),
        ({"count": 7}, "?count=7"),
        ({"group": False, "count": 7}, "?group=false&count=7"),
    ],
)
def test_the_state_is_requested_before_the_contacts(given, query):
    instance = Instance([ANN])
    fetch_snapshot(replace(PULL, **given), instance)

    assert instance.asked == ["settings", query]


def test_a_snapshot_has_the_time_of_the_server_or_of_the_worker():
    now = datetime(2026, 11, 3, 12, tzinfo=UTC)

    assert fetch_snapshot(PULL, Instance([ANN]), now=lambda: now).taken_at == MONDAY
    assert fetch_snapshot(PULL, Instance([ANN], at=None), now=lambda: now).taken_at == now


@pytest.mark.parametrize(
    ("progress", "known"),
    [(100, True), (99, False), (0, False), ("100%", True), ("57", False), (None, None), ("soon", None)],
)
def test_history_progress_is_read_from_the_settings(progress, known):
    settings = AUTHORIZED | {"historySyncProgress": progress}

    assert fetch_snapshot(PULL, Instance([ANN], settings=settings)).is_synchronised is known


@pytest.mark.parametrize(
    ("count", "contacts", "is_cut"),
    [
        (None, [ANN, BEN], False),
        (3, [ANN, BEN], False),
        (2, [ANN, BEN], True),
        (1, [ANN, BEN], True),
        (2, [ANN, {"name": "nobody"}], True),
    ],
)
def test_a_list_as_long_as_count_was_truncated(count, contacts, is_cut):
    assert fetch_snapshot(replace(PULL, count=count), Instance(contacts)).is_cut is is_cut


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("notAuthorized", NotEnabledError),
        ("blocked", NotEnabledError),
        ("pendingCode", NotEnabledError),
        ("pendingPassword", NotEnabledError),
        ("starting", TransientError),
        ("sleepMode", TransientError),
        (None, TransientError),
    ],
)
def test_contacts_are_not_fetched_in_an_unusable_state(state, kind):
    instance = Instance([ANN], settings={"stateInstance": state})

    with pytest.raises(kind):
        fetch_snapshot(PULL, instance)
    assert instance.asked == ["settings"]


@pytest.mark.parametrize("status", [400, 404, 405])
def test_contacts_are_fetched_without_settings(status):
    answered = fetch_snapshot(PULL, Instance([ANN], settings=Response(status, {}, b'{"message": "not here"}')))

    assert (answered.snapshot.rows, answered.is_synchronised) == (1, None)
