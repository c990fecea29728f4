"""Only one process at a time rewrites files for a store."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

import pytest

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.pipelines.erasure import erase_people, read_people
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.locks import LOCK_FILE_SUFFIX

A_WHILE_S = 0.5
FOREVER_S = 300


def waiting(store, done, root):
    def enter():
        erase_people(read_people(["+11001234567"]), store=store, roots=[root])
        done.set()

    thread = Thread(target=enter, daemon=True)
    thread.start()
    return thread


def test_the_second_process_waits_for_the_first(landing, tmp_path):
    done = Event()
    with landing.store.context.locks.file_rewrite_lock():
        thread = waiting(Store(landing.engine), done, tmp_path)
        assert not done.wait(A_WHILE_S)
    thread.join(FOREVER_S)
    assert done.is_set()


def test_a_failed_process_releases_the_lock(landing, tmp_path):
    with (
        pytest.raises(LandingError, match="a file"),
        landing.store.context.locks.file_rewrite_lock(),
    ):
        raise LandingError("a file could not be written")
    done = Event()
    waiting(landing.store, done, tmp_path).join(FOREVER_S)
    assert done.is_set()


def test_contacts_can_be_loaded_while_files_are_rewritten(book):
    with book.landing.store.context.locks.file_rewrite_lock():
        book.land(book.landing.store.context.now(), "11001234567@c.us")
        assert list(book.states()) == ["11001234567@c.us"]


def test_a_folder_that_cannot_be_written_is_an_error_before_any_file(sqlite_landing):
    Path(f"{sqlite_landing.engine.url.database}{LOCK_FILE_SUFFIX}").mkdir()
    with (
        pytest.raises(LandingError, match=LOCK_FILE_SUFFIX),
        sqlite_landing.store.context.locks.file_rewrite_lock(),
    ):
        pytest.fail("it has begun")
