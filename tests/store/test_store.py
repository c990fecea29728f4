"""The rows that a store keeps, with every database and driver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError
from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import ExtractionResult, TaskInstanceKey

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.mark.parametrize("order", permutations(("monday", "tuesday", "monday again late")))
def test_both_of_bobs_versions_are_kept_and_the_newer_is_current_in_any_order(landing, order):
    hundred = landing.record("bob", MONDAY + HOUR, savings=100)
    hundred_and_twenty = landing.record("bob", MONDAY + DAY + HOUR, savings=120)
    seen = {
        "monday": (hundred, MONDAY + DAY + MINUTE),
        "tuesday": (hundred_and_twenty, MONDAY + 2 * DAY + MINUTE),
        "monday again late": (hundred, MONDAY + 9 * DAY),
    }
    for name in order:
        one, extracted_at = seen[name]
        extraction = landing.begin(run=name)
        landing.land(extraction, one, extracted_at=extracted_at)
        extraction.finish()

    older = {
        "source": "turn",
        "account": "main",
        "contact_id": "bob",
        "updated_at": MONDAY + HOUR,
        "row_hash": hundred.row_hash,
        "state": "present",
        "first_seen_at": MONDAY + DAY + MINUTE,
        "last_seen_at": MONDAY + 9 * DAY,
        "wa_id": None,
        "repaired": False,
        "payload": {"uuid": "bob", "savings": 100},
    }
    newer = older | {
        "updated_at": MONDAY + DAY + HOUR,
        "row_hash": hundred_and_twenty.row_hash,
        "first_seen_at": MONDAY + 2 * DAY + MINUTE,
        "last_seen_at": MONDAY + 2 * DAY + MINUTE,
        "payload": {"uuid": "bob", "savings": 120},
    }
    assert landing.dump() == {
        "version": [older, newer],
        "current": [newer],
        "history": [
            older | {"valid_from": MONDAY + HOUR, "valid_to": MONDAY + DAY + HOUR},
            newer | {"valid_from": MONDAY + DAY + HOUR, "valid_to": None},
        ],
    }


def test_if_updated_at_is_equal_the_version_seen_last_is_current(landing):
    one, other = landing.record("bob", savings=1), landing.record("bob", savings=2)
    first, second, third = (landing.begin(run=f"run {n}") for n in range(3))
    landing.land(second, other, extracted_at=MONDAY + 2 * DAY)
    landing.land(third, one, extracted_at=MONDAY + 3 * DAY)
    landing.land(first, other, extracted_at=MONDAY + 1 * DAY)

    found = landing.dump()

    assert [row["payload"]["savings"] for row in found["current"]] == [1]
    assert [(row["payload"]["savings"], row["valid_to"]) for row in found["history"]] == [(2, MONDAY), (1, None)]


def test_accounts_and_sources_share_nothing(landing):
    one, other = landing.record("bob", savings=1), landing.record("bob", savings=2)
    landing.land(landing.begin(account="main"), one)
    landing.land(landing.begin(account="other"), other, one)
    landing.land(landing.begin(account="main", source="green_api"), other)

    found = {account: landing.dump(account)["version"] for account in ("main", "other")}

    assert {(row["source"], row["account"], row["payload"]["savings"]) for rows in found.values() for row in rows} == {
        ("turn", "main", 1),
        ("turn", "other", 1),
        ("turn", "other", 2),
        ("green_api", "main", 2),
    }


def test_only_versions_unknown_to_the_store_are_new(landing):
    one, other, third = landing.record("a"), landing.record("b"), landing.record("c")
    extraction, later = landing.begin(), landing.begin(run="later")
    assert landing.land(extraction, one, other, one) == 2
    assert landing.land(extraction, other, third, landing.record("a", MONDAY + HOUR)) == 2
    assert landing.land(extraction) == 0
    assert landing.land(later, one, other, third, extracted_at=MONDAY + 9 * DAY) == 0


def test_a_batch_may_have_several_versions_of_a_contact(landing):
    states = [landing.record("bob", MONDAY + n * HOUR, savings=n) for n in (2, 0, 1)]
    assert landing.land(landing.begin(), *states, states[1]) == 3
    found = landing.dump()
    assert [row["payload"]["savings"] for row in found["version"]] == [0, 1, 2]
    assert [row["payload"]["savings"] for row in found["current"]] == [2]


HOSTILE = [
    "tab\t newline\n return\r backslash\\ end",
    "\\N",
    "\\.",
    "\\x41 \\b \\0",
    "quotes \" ' '' \"\" braces {} {a,b} NULL",
    "%s %(name)s :name ? $1",
    "'); DROP TABLE wacontacts_contact_payload; --",
    "\x01\x08\x0b\x1f\x7f\x85\u2028\u2029\ufeff",
    "\ufffd \U0001f33b नेहा \U0010ffff e\u0301",
    "",
    " ",
    "x" * 100_000,
]


def test_any_string_is_stored_unchanged(landing):
    records = [landing.record(f"contact {n}", details={"name": text, text: n}) for n, text in enumerate(HOSTILE)]
    landing.land(landing.begin(), *records)
    found = {row["contact_id"]: row["payload"]["details"] for row in landing.dump()["current"]}
    assert found == {f"contact {n}": {"name": text} | {text: n} for n, text in enumerate(HOSTILE)}


def test_any_string_can_be_a_contact_id(landing):
    ids = [text for text in HOSTILE if len(text) < 1000]
    landing.land(landing.begin(), *(landing.record(text) for text in ids))
    landing.land(landing.begin(run="again"), *(landing.record(text) for text in ids))
    found = landing.dump()
    assert [row["contact_id"] for row in found["version"]] == sorted(ids)
    assert [row["contact_id"] for row in found["current"]] == sorted(ids)


def test_a_query_over_names_works_on_all_rows(landing):
    odd = [{"name": text} for text in HOSTILE] + [{"name": 7}, {"name": ["a"]}, {}, {"name": {"first": "B"}}]
    records = [landing.record(f"{n:03}", details=details) for n, details in enumerate(odd)]
    landing.land(landing.begin(), *records, landing.record("no details"))
    query = "SELECT payload->'details'->>'name' FROM wacontacts_current ORDER BY contact_id"
    names = [name for (name,) in landing.rows(query)]
    # SQLite returns a number, and PostgreSQL returns text.
    assert [str(name) for name in names[: len(HOSTILE) + 1]] == [*HOSTILE, "7"]
    assert [name is None for name in names[len(HOSTILE) + 1 :]] == [False, True, False, True]


def test_300_custom_fields_and_numbers_of_any_size_are_kept(landing):
    fields = {f"field_{n:03}": n for n in range(300)} | {"whole": 10**100, "small": 1.5e-30, "deep": {"a": [{"b": []}]}}
    landing.land(landing.begin(), landing.record(details=fields))
    (found,) = landing.dump()["current"]
    assert found["payload"] == {"uuid": "bob", "details": fields | {"small": Decimal("1.5e-30")}}


@pytest.mark.parametrize("flags", [(False, True), (True, False)])
@pytest.mark.parametrize("together", [True, False])
def test_a_version_that_was_ever_repaired_is_flagged_in_any_order(landing, flags, together):
    records = [landing.record("a", name="\ufffd", repaired=flag) for flag in flags]
    for batch in [records] if together else [records[:1], records[1:]]:
        landing.land(landing.begin(), *batch, landing.record("b", repaired=False))

    assert landing.rows("SELECT contact_id, repaired FROM wacontacts_version ORDER BY contact_id") == [
        ("a", True),
        ("b", False),
    ]


def test_wa_id_and_repaired_are_columns(landing):
    landing.land(landing.begin(), landing.record("a", wa_id="44623456700", repaired=True), landing.record("b"))
    found = landing.dump()["current"]
    assert [(row["wa_id"], row["repaired"]) for row in found] == [("44623456700", True), (None, False)]


def test_times_keep_their_microseconds_over_all_years(landing):
    times = [MONDAY.replace(year=2, microsecond=1), MONDAY.replace(microsecond=999_999), MONDAY.replace(year=9998)]
    landing.land(landing.begin(), *(landing.record("bob", time) for time in times))
    assert [row["updated_at"] for row in landing.dump()["version"]] == times


def test_rejects_are_kept_with_their_reason(landing):
    extraction = landing.begin()
    landing.land(extraction, rejects=[Reject("no uuid", b'{"\x00\xff": 1}')])
    query = "SELECT extraction_id, reason, body FROM wacontacts_reject"
    ((extraction_id, reason, body),) = landing.rows(query)
    assert (extraction_id, reason, bytes(body)) == (extraction.extraction_id, "no uuid", b'{"\x00\xff": 1}')


def test_a_finished_attempt_returns_its_totals(landing):
    extraction = landing.begin(uri="postgresql://example/contacts")
    extracted_at = MONDAY + DAY + 5 * MINUTE
    landing.land(extraction, landing.record("a"), landing.record("b"), pages=2, size=100)
    landing.land(extraction, landing.record("b"), rejects=[Reject("no uuid", b"{}")], size=11)

    assert extraction.finish() == ExtractionResult(
        extraction_id=extraction.extraction_id,
        source="turn",
        account="main",
        window_start=MONDAY,
        window_end=MONDAY + DAY,
        extracted_at=extracted_at,
        finished_at=MONDAY + 30 * DAY,
        state="complete",
        resumes=0,
        pages=3,
        rows=3,
        new_versions=2,
        rejected=1,
        bytes=111,
        lateness_s=300.0,
        lossy=False,
        gap_before=None,
        uri="postgresql://example/contacts",
        reject_reasons={"no uuid": 1},
    )


def test_a_running_attempt_counts_loaded_and_rejected_rows(landing):
    extraction = landing.begin()
    landing.land(extraction, landing.record("a"), landing.record("b"))
    landing.land(extraction, landing.record("b"), rejects=[Reject("no uuid", b"{}")])
    assert (extraction.rows, extraction.rejected) == (3, 1)


def test_the_ledger_has_a_row_for_each_attempt(landing):
    extraction = landing.begin(task=TaskInstanceKey("dag", "run", "task", 3))
    landing.land(extraction, landing.record(), position=MONDAY + HOUR)
    query = (
        "SELECT extraction_id, source, account, state, resumes, pages, row_count, new_versions, rejected, bytes, "
        "dag_id, run_id, task_id, map_index, package_version, finished_at IS NULL FROM wacontacts_extraction"
    )
    own = (extraction.extraction_id, "turn", "main")
    figures = (0, 1, 1, 1, 0, 10, "dag", "run", "task", 3, "1.2.3")

    assert landing.rows(query) == [(*own, "running", *figures, True)]
    extraction.finish("incomplete")
    assert landing.rows(query) == [(*own, "incomplete", *figures, False)]


def test_a_snapshot_has_no_window(landing):
    extraction = landing.begin(window=None)
    again = landing.begin(window=None)
    landing.land(again, landing.record())
    finished = again.finish()
    assert (again.resumes, finished.window_start, finished.lateness_s, finished.lossy) == (1, None, None, None)
    with pytest.raises(LandingError):
        extraction.finish()


def test_contacts_of_another_number_are_refused_with_their_batch(landing):
    extraction = landing.begin()
    landing.land(extraction, landing.record("a"), number_ids={"1"})
    with pytest.raises(ConfigError, match="has another token now"):
        landing.land(extraction, landing.record("b"), rejects=[Reject("no uuid", b"{}")], number_ids={"2"})
    with pytest.raises(ConfigError, match="has another token now"):
        landing.land(extraction, landing.record("b"), number_ids={"1", "2"})
    landing.land(landing.begin(account="other"), landing.record("c"), number_ids={"2"})

    assert [row["contact_id"] for row in landing.dump()["version"]] == ["a"]
    assert landing.rows("SELECT count(*) FROM wacontacts_reject") == [(0,)]
    assert extraction.finish().rows == 1


def test_a_first_batch_of_two_numbers_is_refused(landing):
    with pytest.raises(ConfigError, match="has another token now"):
        landing.land(landing.begin(), landing.record("a"), number_ids={"1", "2"})
    assert landing.dump()["version"] == []


def test_sqlite_keeps_exactly_the_hashed_text(sqlite_landing):
    one = sqlite_landing.record("bob", details={"z": 1, "a": None, "number": 1e22})
    sqlite_landing.land(sqlite_landing.begin(), one)
    assert sqlite_landing.rows("SELECT payload, row_hash FROM wacontacts_version") == [
        (one.payload.decode(), one.row_hash)
    ]


def test_sqlite_stores_times_as_fixed_width_text(sqlite_landing):
    sqlite_landing.land(sqlite_landing.begin(), sqlite_landing.record(updated_at=MONDAY.replace(year=33)))
    assert sqlite_landing.rows("SELECT updated_at, first_seen_at FROM wacontacts_version") == [
        ("0033-01-01T00:00:00.000000Z", "2024-01-02T00:05:00.000000Z")
    ]


def test_windows_of_any_time_are_stored(landing):
    window = Window(MONDAY.replace(year=2), MONDAY.replace(year=9998))
    finished = landing.begin(window=window).finish()
    assert (finished.window_start, finished.window_end) == (window.start, window.end)


def test_an_unchanged_contact_rewrites_only_its_current_row(postgres_landing):
    landing = postgres_landing
    landing.land(landing.begin(), landing.record("bob"), landing.record("eve"))
    written = "SELECT xmin, ctid FROM wacontacts_contact_{} ORDER BY version_id"
    before = {table: landing.rows(written.format(table)) for table in ("version", "payload", "current")}
    landing.land(landing.begin("again"), landing.record("bob"), landing.record("eve"), extracted_at=MONDAY + 9 * DAY)
    after = {table: landing.rows(written.format(table)) for table in before}
    assert (after["version"], after["payload"]) == (before["version"], before["payload"])
    assert [row["last_seen_at"] for row in landing.dump()["version"]] == [MONDAY + 9 * DAY] * 2


def test_a_new_version_of_a_contact_changes_no_index_of_current_ones(postgres_landing):
    landing = postgres_landing
    landing.land(landing.begin(), landing.record("bob", MONDAY, v=1, wa_id="27821234567"))
    with landing.engine.begin() as connection:
        change = "UPDATE wacontacts_contact_current SET version_id = 1, row_hash = '', updated_at = now()"
        connection.exec_driver_sql(change)
        counts = (
            "SELECT pg_stat_get_xact_tuples_updated(t), pg_stat_get_xact_tuples_hot_updated(t) FROM (VALUES ({})) v (t)"
        )
        table = "'wacontacts_contact_current'::regclass::oid"
        updated, without_index = connection.exec_driver_sql(counts.format(table)).one()
    assert updated == without_index > 0
