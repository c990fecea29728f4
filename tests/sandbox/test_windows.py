"""Which contacts a window holds, and in what order."""

import pytest

from airflow_provider_wacontacts.sandbox import Event, World
from airflow_provider_wacontacts.sandbox.core.clock import read_time

EDGES = ("2022-09-12T00:00:00Z", "2022-09-12T00:02:00Z")


@pytest.mark.parametrize(
    ("inclusive", "ids"),
    [
        ({"from_inclusive": True, "until_inclusive": False}, [1, 2]),
        ({"from_inclusive": True, "until_inclusive": True}, [1, 2, 3]),
        ({"from_inclusive": False, "until_inclusive": False}, [2]),
        ({"from_inclusive": False, "until_inclusive": True}, [2, 3]),
    ],
)
def test_the_edges_belong_to_a_window_or_do_not(client, sandbox, line_of, inclusive, ids):
    sandbox.load(line_of(4))
    sandbox.change(**inclusive)

    assert client.ids(*EDGES) == ids


@pytest.mark.parametrize(
    ("ordering", "ids"),
    [({"ordering": "asc"}, [2, 3, 1]), ({"ordering": "desc"}, [1, 3, 2])],
)
@pytest.mark.parametrize("page_size", [1, 3])
def test_ordering_goes_by_time_then_id(client, sandbox, ordering, ids, page_size):
    sandbox.load(three_with_a_tie())

    assert client.ids(**ordering, page_size=page_size) == ids


def test_a_clock_set_back_shows_what_was(client, sandbox):
    sandbox.clock.set("2022-09-14T00:00:00Z")
    late = client.ids()
    sandbox.clock.set("2022-09-13T00:00:00Z")

    assert (late, client.ids()) == ([], [1])


@pytest.mark.parametrize(
    ("deleted", "rows"),
    [("absent", []), ("tombstone", [(1, "2022-09-13T08:00:00.000Z", None, True)])],
)
def test_a_deleted_contact_is_absent_or_a_tombstone(client, sandbox, deleted, rows):
    sandbox.change(deleted=deleted)
    sandbox.delete(1)
    found = client.rows("2022-09-12T00:00:00Z", "2022-09-14T00:00:00Z")

    assert [(row["id"], row["updated_at"], row["details"]["name"], row["is_deleted"]) for row in found] == rows


def three_with_a_tie():
    early, late = read_time("2022-09-12T06:00:00Z"), read_time("2022-09-12T07:00:00Z")
    return World.from_events(Event(at=at, id=contact) for contact, at in ((1, late), (2, early), (3, early)))
