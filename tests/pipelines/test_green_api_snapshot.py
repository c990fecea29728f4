"""A snapshot of an account in the store and in files."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.files import complete_prefixes
from airflow_provider_wacontacts.files.reader import read_prefix
from airflow_provider_wacontacts.pipelines.green_api_snapshot import (
    fetch_snapshot,
    snapshot_to_files,
    snapshot_to_store,
)
from airflow_provider_wacontacts.pipelines.import_files import ImportSpec, import_files
from airflow_provider_wacontacts.pipelines.written_fields import WrittenFields
from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer
from airflow_provider_wacontacts.store import ShrinkGuard, Store, TaskInstanceKey
from tests.pipelines.green_api_instance import (
    ANN,
    ANNA,
    AUTHORIZED,
    BEN,
    CAT,
    DAN,
    DAY,
    GROUP,
    MONDAY,
    PULL,
    Instance,
)


@pytest.fixture
def store(store_engine):
    return Store(store_engine)


@pytest.fixture
def rows(store):
    """Ask the store."""

    def run(query, **values):
        with store.context.transactions.read() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]

    return run


def take(store, contacts, days=0, *, pull=PULL, run=None, **told):
    """Take a snapshot so many days after Monday, and land it in the store."""
    at = MONDAY + days * DAY
    pull = replace(pull, task=pull.task._replace(run_id=run or f"run of day {days}"))
    return snapshot_to_store(pull, fetch_snapshot(pull, Instance(contacts, at=at, **told)), store=store, uri="here")


def brought(summary):
    return summary.state, summary.reason, summary.rows, summary.new_versions, summary.gone, summary.back


@pytest.mark.parametrize(
    ("group", "there", "gone"),
    [(True, [GROUP | {"id": "120363043968066562@g.us"}], {GROUP["id"]}), (False, [ANN, BEN, CAT], {DAN["id"]})],
)
def test_a_snapshot_of_one_type_marks_none_of_the_other_as_gone(store, rows, group, there, gone):
    take(store, [ANN, BEN, CAT, DAN, GROUP])
    guard = ShrinkGuard(share=0.5, min_overlap=0)

    take(store, there, 1, pull=replace(PULL, group=group, guard=guard))

    assert {name for (name,) in rows("SELECT contact_id FROM wacontacts_current WHERE state = 'gone'")} == gone


def test_a_contact_whose_row_is_rejected_is_not_gone(store, rows):
    take(store, [ANN, BEN, CAT, DAN, GROUP])
    odd = Response(200, {"date": "Tue, 03 Nov 2026 00:00:00 GMT"}, json.dumps([ANN, BEN, CAT, DAN]).encode())
    odd = replace(odd, body=odd.body[:-1] + b',{"id":"%s","n":NaN}]' % GROUP["id"].encode())

    summary = take(store, odd, 1)

    assert (*brought(summary), summary.rejected) == ("complete", None, 4, 0, 0, 0, 1)
    assert rows("SELECT count(*) FROM wacontacts_current WHERE state = 'gone'") == [(0,)]
    assert rows("SELECT reason FROM wacontacts_reject") == [("not a number",)]


@pytest.mark.parametrize("odd", [{"name": "Dan"}, {"id": "", "name": "Dan"}, {"id": 7}, None])
def test_a_rejected_row_without_an_id_makes_a_snapshot_incomplete(store, rows, odd):
    everybody = [ANN, BEN, CAT, DAN, GROUP]
    take(store, everybody)
    pull = replace(PULL, max_rejected=1)
    found = [brought(take(store, [ANN, BEN, CAT, GROUP, odd], day, pull=pull)) for day in (1, 2)]

    assert [(one[:2], one[4]) for one in found] == [(("incomplete", "nameless"), 0)] * 2
    assert rows("SELECT count(*) FROM wacontacts_current WHERE state = 'gone'") == [(0,)]
    third = brought(take(store, [ANN, BEN, CAT, GROUP, odd], 3, pull=pull))
    assert (third[:2], third[4]) == (("complete", None), 1)


def test_too_many_rejected_rows_fail_the_task_after_the_rest_is_loaded(store, rows):
    with pytest.raises(LandingError, match=r"1 of 3 rows were rejected, more than max_rejected \(30.00%\) allows"):
        take(store, [ANN, BEN, {"name": "nobody"}], pull=replace(PULL, max_rejected=0.3))

    assert rows("SELECT count(*) FROM wacontacts_current") == [(2,)]


def test_a_retry_takes_over_from_a_killed_attempt(store, rows):
    claim = {"source": "green_api", "account": "main", "group": None, "package_version": "0.1.0"}
    store.prepare()
    killed = store.begin_snapshot(**claim, task=PULL.task, options_digest=PULL.options_digest)

    assert brought(take(store, [ANN, BEN], run="run")) == ("complete", None, 2, 2, 0, 0)

    with pytest.raises(LandingError, match="Another attempt has taken over"):
        killed.write(lambda: iter(()), extracted_at=MONDAY, size=0)
    assert sorted(rows("SELECT state, resumes, row_count FROM wacontacts_extraction")) == [
        ("abandoned", 0, 0),
        ("complete", 1, 2),
    ]


def test_a_cleared_task_fetches_a_new_snapshot(store, rows):
    take(store, [ANN, BEN], run="run")
    take(store, [ANNA, BEN], 1, run="run")

    assert rows("SELECT state, resumes FROM wacontacts_extraction") == [("complete", 0)] * 2


@pytest.mark.parametrize(
    "other",
    [
        {"group": True},
        {"count": 3},
        {"fields": WrittenFields(pseudonyms=Pseudonymizer(b"example-pseudonym-secret", ["name"]))},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_options_have_another_digest(other):
    assert replace(PULL, **other).options_digest != PULL.options_digest


# Into files


@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_a_snapshot_in_files_is_complete_and_not_compared(tmp_path, file_format):
    answered = fetch_snapshot(
        PULL, Instance([ANN, DAN, GROUP, {"name": "nobody"}], settings={"stateInstance": "authorized"})
    )
    finished_at = MONDAY + timedelta(minutes=1)

    summary = snapshot_to_files(PULL, answered, root=tmp_path, file_format=file_format, now=lambda: finished_at)

    (prefix,) = complete_prefixes(tmp_path)
    manifest = prefix.manifest
    assert prefix.path == tmp_path / "green_api" / "main" / "2026-11-02" / summary.extraction_id
    assert [(record.contact_id, record.updated_at, record.wa_id) for record in read_prefix(prefix)] == [
        (ANN["id"], MONDAY, "12015550101"),
        (DAN["id"], MONDAY, None),
        (GROUP["id"], MONDAY, None),
    ]
    assert (manifest.extracted_at, manifest.finished_at, manifest.rejected) == (MONDAY, finished_at, 1)
    assert (summary.state, summary.rows, summary.new_versions, summary.rejected) == ("complete", 3, 3, 1)
    assert (summary.gone, summary.back, summary.reason, summary.uri) == (None, None, None, prefix.uri)


@pytest.mark.parametrize(
    ("given", "settings", "known"),
    [
        ({}, AUTHORIZED, (None, False, True)),
        ({"group": True}, {"stateInstance": "authorized"}, (True, False, None)),
        ({"group": False, "count": 1}, AUTHORIZED | {"historySyncProgress": 5}, (False, True, False)),
    ],
)
def test_the_manifest_has_what_an_import_needs(tmp_path, given, settings, known):
    pull = replace(PULL, **given)
    snapshot_to_files(
        pull, fetch_snapshot(pull, Instance([ANN], settings=settings)), root=tmp_path, file_format="jsonl.gz"
    )

    (prefix,) = complete_prefixes(tmp_path)
    assert (prefix.manifest.group, prefix.manifest.is_cut, prefix.manifest.is_synchronised) == known


@pytest.mark.parametrize(
    ("given", "settings", "reason"),
    [
        ({"count": 2}, AUTHORIZED, "cut"),
        ({}, AUTHORIZED | {"historySyncProgress": 5}, "unsynchronised"),
    ],
)
def test_an_incomplete_snapshot_is_incomplete_when_imported(store, rows, tmp_path, *, given, settings, reason):
    pull = replace(PULL, **given)
    take(store, [ANN, BEN, CAT])
    answered = fetch_snapshot(pull, Instance([ANN, BEN], at=MONDAY + DAY, settings=settings))
    snapshot_to_files(pull, answered, root=tmp_path, file_format="jsonl.gz")

    summary = import_files(ImportSpec(TaskInstanceKey("contacts", "run", "land"), "0.1.0"), root=tmp_path, store=store)

    assert (summary.prefixes, summary.rows, summary.gone) == (1, 2, 0)
    assert rows("SELECT state FROM wacontacts_extraction WHERE reason = :reason", reason=reason) == [("incomplete",)]


def test_too_many_rejected_rows_fail_the_task_after_the_rest_is_written(tmp_path):
    pull = replace(PULL, max_rejected=0.3)

    with pytest.raises(LandingError, match=r"1 of 2 rows were rejected.* allows: 1 no id\."):
        snapshot_to_files(
            pull, fetch_snapshot(pull, Instance([ANN, {"name": "x"}])), root=tmp_path, file_format="jsonl.gz"
        )

    assert [prefix.manifest.rows for prefix in complete_prefixes(tmp_path)] == [1]
