"""Person keys, while contacts and results are written at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from airflow_provider_wacontacts.records.identities import IdentityChange
from airflow_provider_wacontacts.store.checks.model import CheckResults
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.identities import SenderIdentities

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
ROUNDS = 12
TABLES = ("contact_current", "number", "identity")


def test_all_rows_of_a_number_have_the_returned_id_as_their_key_whoever_writes_first(landing):
    context = landing.store.context

    def land(round_):
        extraction = landing.begin(f"run {round_}")
        landing.land(extraction, landing.record(f"contact {round_}", wa_id=f"5511{round_:04}"))

    def record(round_):
        results = {f"+5511{round_:04}": ("valid", f"55{round_:04}")}
        SenderChecks(context, "+4401").record_delivered(CheckResults(results, NOON, NOON))

    def record_again(round_):
        results = {f"+5511{round_:04}": ("processing", None)}
        SenderChecks(context, "+4402").record_delivered(CheckResults(results, NOON, NOON))

    def change(round_):
        SenderIdentities(context, "+4401").record_changes([IdentityChange(f"5511{round_:04}", "hash", NOON)])

    with ThreadPoolExecutor(4) as threads:
        for round_ in range(ROUNDS):
            list(threads.map(lambda write, n=round_: write(n), (land, record, record_again, change)))

    expected = sorted(f"55{round_:04}" for round_ in range(ROUNDS))
    keys = {table: [key for (key,) in landing.rows(f"SELECT person_key FROM wacontacts_{table}")] for table in TABLES}
    assert {table: sorted(found) for table, found in keys.items()} == {
        "contact_current": expected,
        "number": sorted(expected * 2),
        "identity": expected,
    }
    assert landing.rows("SELECT count(*), sum(accounts), sum(senders) FROM wacontacts_directory") == [
        (ROUNDS, ROUNDS, ROUNDS * 2)
    ]


def test_a_key_is_looked_up_once_and_never_through_another(landing):
    checks = SenderChecks(landing.store.context, "+4401")
    for number, wa_id in (("+111", "222"), ("+222", "333")):
        checks.record_delivered(CheckResults({number: ("valid", wa_id)}, NOON, NOON))
    landing.land(landing.begin(), landing.record("a", wa_id="111"), landing.record("b", wa_id="222"))

    found = landing.rows("SELECT contact_id, person_key FROM wacontacts_contact_current ORDER BY contact_id")
    assert found == [("a", "222"), ("b", "333")]


def test_a_number_that_is_invalid_now_gives_its_rows_their_own_key_back(landing):
    checks = SenderChecks(landing.store.context, "+4401")
    landing.land(landing.begin(), landing.record("a", wa_id="111"))
    checks.record_delivered(CheckResults({"+111": ("valid", "222")}, NOON, NOON))
    assert landing.rows("SELECT person_key FROM wacontacts_contact_current") == [("222",)]

    later = NOON.replace(day=20)
    checks.record_delivered(CheckResults({"+111": ("invalid", None)}, later, later))
    assert landing.rows("SELECT person_key FROM wacontacts_contact_current") == [("111",)]
