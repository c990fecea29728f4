"""README's commands run unchanged in a clean environment."""

import sqlite3
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest

from tests.newcomer.place import ROOT, Place, lend_airflow
from tests.newcomer.readme import Command, Dag, Query, steps_of
from tests.newcomer.walk import StepFailedError, Walk

ROWS = "SELECT sum(row_count) FROM wacontacts_extraction"
PEOPLE = "SELECT count(*) FROM wacontacts_current WHERE payload->'details'->>'name' IS NOT NULL"
#: What takes minutes, or runs these tests; `make newcomer` runs all of it.
LONG = "^make (demo|test|lint|matrix|bench|docs)$"


@pytest.fixture
def place(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("there is nothing to clone")
    return Place(tmp_path)


@pytest.fixture
def said():
    return []


def test_steps_are_read_unchanged_and_in_order():
    page = dedent(
        """\
        ```bash
        # a remark
        pip install 'one[two]'
        export A='b c' \\
          D=e
        ```

        ```python
        print("a")

        print("b")
        ```

          ```sql
          SELECT 1;

          SELECT 2
          WHERE 1 = 1;
          ```
        """
    )

    assert list(steps_of(page)) == [
        Command(3, "pip install 'one[two]'"),
        Command(4, "export A='b c' \\\n  D=e"),
        Dag(9, 'print("a")\n\nprint("b")'),
        Query(15, "SELECT 1;"),
        Query(17, "SELECT 2\nWHERE 1 = 1;"),
    ]


def test_an_unknown_block_is_refused():
    with pytest.raises(ValueError, match="line 3: a block of fortran is no step"):
        list(steps_of("Text\n```fortran\nEND\n```\n"))


def test_the_walk_starts_in_a_clean_environment(place, monkeypatch, said):
    monkeypatch.setenv("AIRFLOW_CONN_TURN_DEFAULT", "ours")
    monkeypatch.setenv("PIP_TIMEOUT", "7")

    environment = Walk(place, say=said.append)._environment

    assert [path.name for path in place.home.iterdir()] == []
    assert {"HOME", "PATH", "PIP_TIMEOUT"} <= set(environment)
    assert [name for name in environment if name.startswith(("AIRFLOW", "PYTHON", "VIRTUAL_ENV"))] == []


def test_exported_variables_are_set_in_later_commands(place, said):
    Walk(place, say=said.append).follow([Command(1, "export A='b  c'"), Command(2, 'test "$A" = "b  c"')])

    assert [line for line in said if line.startswith("$")] == ["$ export A='b  c'", '$ test "$A" = "b  c"']


def test_the_walk_stops_at_the_first_failed_command(place, said):
    with pytest.raises(StepFailedError, match=r"^false: exit code 1$"):
        Walk(place, say=said.append).follow([Command(1, "false"), Command(2, "true")])

    assert [line for line in said if line.startswith("$")] == ["$ false"]


def test_skipped_commands_are_reported(place, said):
    Walk(place, skip="^fal", say=said.append).follow([Command(1, "false")])

    assert said == ["$ false\n  skipped"]


def test_the_steps_of_readme_end_with_contacts_in_a_store(place, said):
    place.build_wheel()
    lend_airflow(place)

    with Walk(place, skip=LONG, say=said.append) as walk:
        walk.follow(steps_of(Path(place.clone / "README.md").read_text()))

    skipped = [line.splitlines()[0] for line in said if line.endswith("skipped")]
    assert skipped == ["$ make demo", "$ make test", "$ make lint", "$ make matrix", "$ make bench", "$ make docs"]
    with closing(sqlite3.connect(place.home / "contacts.db")) as store:
        pulled = store.execute("SELECT state, row_count > 0, lossy FROM wacontacts_extraction").fetchall()
        (rows,), (people,) = (store.execute(query).fetchone() for query in (ROWS, PEOPLE))
    assert (pulled, rows) == ([("complete", 1, 1)], people)
