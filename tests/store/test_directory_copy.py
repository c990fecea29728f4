"""The directory's copy: it has the directory's rows, refreshes are atomic, and erasures delete from it."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from sqlalchemy import event

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.suppression import Contact
from airflow_provider_wacontacts.store.directory_copy import refresh_directory
from airflow_provider_wacontacts.store.erasure import erase, erase_suppressed
from tests.store.conftest import DAY, MONDAY

ANN, BOB, LID = "16315551001", "16315551002", "1@lid"
DIRECTORY = "SELECT person_key, wa_id, lid, accounts, turn_contact_id FROM {} ORDER BY person_key"
PATIENCE_S = 300


def of(landing, name):
    return landing.rows(DIRECTORY.format(f"wacontacts_{name}"))


def keys(landing):
    return [key for (key,) in landing.rows("SELECT person_key FROM wacontacts_directory_copy ORDER BY person_key")]


@pytest.fixture
def people(landing):
    landing.land(landing.begin(), landing.record("ann", wa_id=ANN), landing.record("bob", wa_id=BOB))
    return landing


def test_a_refresh_writes_what_differs(people):
    assert refresh_directory(people.store.context) == (2, 2, 0)
    assert of(people, "directory_copy") == of(people, "directory")
    assert refresh_directory(people.store.context) == (2, 0, 0)

    people.land(people.begin(), people.record("ann", MONDAY + DAY, wa_id="16315551009"))
    assert refresh_directory(people.store.context) == (2, 1, 1)
    assert of(people, "directory_copy") == of(people, "directory")


def test_the_copy_has_the_columns_of_the_directory_and_the_time_of_copying(people):
    refresh_directory(people.store.context)
    with people.engine.connect() as connection:
        of_view, of_copy = (
            list(connection.exec_driver_sql(f"SELECT * FROM wacontacts_{name}").keys())
            for name in ("directory", "directory_copy")
        )
    assert of_copy == [*of_view, "copied_at"]
    assert all(at is not None for (at,) in people.rows("SELECT copied_at FROM wacontacts_directory_copy"))


def on_write(landing, do):
    """Call a function right after a refresh has written, before it commits."""

    @event.listens_for(landing.engine, "after_cursor_execute")
    def listen(_connection, _cursor, statement, *_):
        if "INTO wacontacts_directory_copy" in statement:
            do()


def test_readers_see_all_of_the_copy_during_a_refresh(people):
    refresh_directory(people.store.context)
    people.land(people.begin(), people.record("eve", wa_id="16315551003"))
    seen = []
    on_write(people, lambda: seen.append(keys(people)))
    refresh_directory(people.store.context)
    assert [*seen, keys(people)] == [[ANN, BOB], [ANN, BOB, "16315551003"]]


@pytest.mark.parametrize(
    ("identifiers", "contacts"),
    [
        ([Identifier(Kind.WA_ID, ANN)], []),
        ([Identifier(Kind.LID, LID)], []),
        ([], [Contact("turn", "main", "ann")]),
    ],
)
def test_erased_people_leave_the_copy_even_if_it_has_them_under_an_old_key(landing, identifiers, contacts):
    landing.land(landing.begin(), landing.record("ann")._replace(lid=LID), landing.record("bob", wa_id=BOB))
    refresh_directory(landing.store.context)
    landing.land(landing.begin(), landing.record("ann", MONDAY + DAY, wa_id=ANN)._replace(lid=LID))
    assert keys(landing) == [BOB, LID]

    erase(landing.store.context, identifiers, contacts)
    assert keys(landing) == [BOB]


def test_a_person_with_other_rows_stays_in_the_copy_without_the_erased_contact(landing):
    landing.land(landing.begin(), landing.record("ann", wa_id=ANN))
    landing.land(landing.begin(account="other"), landing.record("ann2", wa_id=ANN))
    refresh_directory(landing.store.context)

    erase(landing.store.context, [], [Contact("turn", "main", "ann")])
    assert of(landing, "directory_copy") == of(landing, "directory") == [(ANN, ANN, None, 1, "ann2")]


def test_an_erasure_after_a_restore_deletes_erased_people_from_the_copy(people):
    refresh_directory(people.store.context)
    erase(people.store.context, [Identifier(Kind.WA_ID, ANN)])
    with people.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO wacontacts_directory_copy (person_key, turn_contact_id) VALUES ('1@lid', 'ann')"
        )
    erase_suppressed(people.store.context)
    assert keys(people) == [BOB]


def test_a_concurrent_refresh_does_not_restore_erased_people(postgres_landing):
    landing = postgres_landing
    landing.land(landing.begin(), landing.record("ann", wa_id=ANN), landing.record("bob", wa_id=BOB))
    has_read, is_suppressed = Event(), Event()

    def wait():
        has_read.set()
        assert is_suppressed.wait(PATIENCE_S)

    def suppressed(_connection, _cursor, statement, *_):
        if "DELETE FROM wacontacts_contact" in statement or "pg_advisory_xact_lock" in statement:
            is_suppressed.set()

    on_write(landing, wait)
    refresh = Thread(target=refresh_directory, args=(landing.store.context,))
    refresh.start()
    assert has_read.wait(PATIENCE_S)
    event.listen(landing.engine, "before_cursor_execute", suppressed)
    erase(landing.store.context, [Identifier(Kind.WA_ID, ANN)])
    refresh.join()
    assert keys(landing) == [BOB]
