"""Each tutorial on its own leads a new user to the documented rows."""

import sqlite3
from contextlib import closing

import pytest

from tests.newcomer.place import ROOT, Place, lend_airflow
from tests.newcomer.readme import Command
from tests.newcomer.tutorials import TUTORIALS, TutorialWalk, steps_of_tutorial

#: Once for all tutorials; README's test installs as its page says.
INSTALL = Command(1, "pip install 'airflow-provider-wacontacts[sqlite,sandbox]'")
#: What the store has after each tutorial.
PROMISED = {
    "getting_started": ("SELECT state, row_count > 0 FROM wacontacts_extraction", [("complete", 1)]),
    "first_check": (
        "SELECT status FROM wacontacts_check_result ORDER BY status",
        [("rejected",), ("valid",), ("valid",)],
    ),
    "first_snapshot": (
        "SELECT state FROM wacontacts_history WHERE contact_id = '447700900800@c.us' ORDER BY valid_from",
        [("present",), ("gone",)],
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    if not (ROOT / ".git").exists():
        pytest.skip("there is nothing to clone")
    place = Place(tmp_path_factory.mktemp("newcomer"))
    place.build_wheel()
    lend_airflow(place)
    with TutorialWalk(place, "install") as walk:
        walk.follow([INSTALL])
    return place


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_has_the_documented_result(place, name):
    said = []
    with TutorialWalk(place, name, skip="^pip install", say=said.append) as walk:
        walk.follow(steps_of_tutorial(place.clone / "docs", name))

    query, rows = PROMISED[name]
    with closing(sqlite3.connect(place.home / f"{name}.db")) as store:
        assert store.execute(query).fetchall() == rows, "\n".join(said)
