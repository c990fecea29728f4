"""Person keys: one lookup from the row's identifiers, in any order of arrival."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from airflow_provider_wacontacts.records.identities import IdentityChange
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.checks.model import CheckResults, NumberResult
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.identities import SenderIdentities
from tests.identity_changes import record_changes

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ROUNDS = 12
SENDERS = ("+4401", "+4402")
WA_IDS = ("11001234567", "22001234567")
LIDS = ("120650379300963@lid", "120650379300964@lid")
USER_IDS = ("US.1349120865", "US.1349120866")
NUMBERS = ("+11001234567", "+33001234567")


class ContactRow(NamedTuple):
    """A version of a contact."""

    contact_id: str
    day: int
    wa_id: str | None
    lid: str | None
    user_id: str | None


class ResultRow(NamedTuple):
    """A result of a check."""

    sender: str
    number: str
    day: int
    status: str
    wa_id: str | None
    lid: str | None
    user_id: str | None


IDS = [st.sampled_from((*values, None)) for values in (WA_IDS, LIDS, USER_IDS)]
CONTACTS = st.builds(ContactRow, st.sampled_from("abc"), st.integers(0, 3), *IDS)
RESULTS = st.builds(
    ResultRow,
    st.sampled_from(SENDERS),
    st.sampled_from(NUMBERS),
    st.integers(0, 3),
    st.sampled_from(["valid", "invalid", "processing"]),
    *IDS,
)


def write(landing, run, row):
    moment = NOON + row.day * DAY
    if isinstance(row, ContactRow):
        ids = {"wa_id": row.wa_id, "lid": row.lid, "user_id": row.user_id}
        record = landing.record(row.contact_id, moment, ids=list(ids.values()))
        landing.land(landing.begin(f"run {run}"), record._replace(**ids))
        return
    result = NumberResult(row.status, row.wa_id, row.lid, row.user_id)
    checks = SenderChecks(landing.store.context, row.sender)
    checks.record_delivered(CheckResults({row.number: result}, moment, moment), verified=True)


def stated(rows, kind, value):
    """The WhatsApp ID of the latest row with an identifier."""
    found = [(row.day, row.wa_id) for row in rows if value and getattr(row, kind) == value and row.wa_id]
    return max(found)[1] if found else None


def expected(rows):
    contacts = [row for row in rows if isinstance(row, ContactRow)]
    results = [row for row in rows if isinstance(row, ResultRow) and (any(row[4:]) or row.status == "invalid")]
    numbers = {
        (row.sender, row.number): max(
            (other for other in results if other[:2] == row[:2]),
            key=lambda other: (other.day, *(value or "" for value in other[4:])),
        )
        for row in results
    }
    given = [row for row in rows if isinstance(row, ResultRow)]
    statements = [*contacts, *numbers.values()]
    keys = {}
    for row in given:
        returned = [(n.day, n.wa_id) for n in numbers.values() if n.number == row.number and n.wa_id]
        keys[row.sender, row.number] = max(returned)[1] if returned else row.number[1:]
    by_version = {
        row: row.wa_id
        or stated(statements, "user_id", row.user_id)
        or stated(statements, "lid", row.lid)
        or row.user_id
        or row.lid
        for row in contacts
    }
    return keys, by_version


def clear(engine):
    tables = ("number", "identity", "contact_version", "contact_payload", "contact_current", "extraction", "change_log")
    with engine.begin() as connection:
        for table in tables:
            connection.execute(text(f"DELETE FROM wacontacts_{table}"))


@settings(max_examples=25)
@given(st.data())
def test_any_order_of_loading_gives_the_same_keys(landing, data):
    rows = data.draw(st.lists(CONTACTS | RESULTS, min_size=1, max_size=7))
    numbers, contacts = expected(rows)
    for order in (rows, data.draw(st.permutations(rows))):
        clear(landing.engine)
        for run, row in enumerate(order):
            write(landing, run, row)

        found = landing.rows("SELECT sender, number, person_key FROM wacontacts_number")
        assert {(sender, number): key for sender, number, key in found} == numbers
        current = landing.rows(
            "SELECT c.contact_id, c.updated_at, p.wa_id, p.lid, p.user_id, coalesce(c.wa_id, c.person_key) "
            "FROM wacontacts_contact_current c JOIN wacontacts_contact_payload p "
            "ON p.account_id = c.account_id AND p.version_id = c.version_id"
        )
        for contact_id, updated_at, wa_id, lid, user_id, key in current:
            day = (_time(updated_at) - NOON).days
            assert key == contacts[ContactRow(contact_id, day, wa_id, lid, user_id)]


def _time(value):
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def test_a_reassigned_number_has_the_key_returned_last(landing):
    old, new = WA_IDS
    for day, wa_id in ((5, new), (0, old)):
        write(landing, day, ResultRow(SENDERS[0], NUMBERS[1], day, "valid", wa_id, None, None))
        write(landing, day + 10, ContactRow(f"with {wa_id}", day, wa_id, LIDS[0], None))
    write(landing, 20, ContactRow("hidden", 2, None, LIDS[0], None))

    assert landing.rows("SELECT person_key FROM wacontacts_number") == [(new,)]
    found = dict(landing.rows("SELECT contact_id, coalesce(wa_id, person_key) FROM wacontacts_contact_current"))
    assert found == {f"with {old}": old, f"with {new}": new, "hidden": new}


def test_a_key_is_looked_up_in_one_step_only(landing):
    for number, wa_id in (("+1111111111", "2222222222"), ("+2222222222", "3333333333")):
        write(landing, 0, ResultRow(SENDERS[0], number, 0, "valid", wa_id, None, None))
    landing.land(landing.begin(), *(landing.record(wa_id, wa_id=wa_id) for wa_id in ("1111111111", "2222222222")))

    found = landing.rows("SELECT wa_id, turn_contact_id FROM wacontacts_directory ORDER BY wa_id")
    assert found == [("1111111111", "1111111111"), ("2222222222", "2222222222"), ("3333333333", None)]
    found = landing.rows("SELECT number, person_key FROM wacontacts_number ORDER BY number")
    assert found == [("+1111111111", "2222222222"), ("+2222222222", "3333333333")]


def test_a_forged_callback_updates_the_status_but_links_no_people(landing):
    number, other = NUMBERS[1], WA_IDS[0]
    write(landing, 0, ContactRow("of the number", 0, number[1:], None, None))
    write(landing, 1, ContactRow("of somebody else", 0, other, None, None))
    checks = SenderChecks(landing.store.context, SENDERS[0])
    forged = NumberResult("valid", other, LIDS[0], USER_IDS[0])
    checks.record_delivered(CheckResults({number: forged}, NOON, NOON))

    assert landing.rows("SELECT status, wa_id, lid, user_id, person_key FROM wacontacts_number") == [
        ("valid", None, None, None, number[1:])
    ]
    found = landing.rows("SELECT wa_id, number, accounts FROM wacontacts_directory ORDER BY wa_id")
    assert found == [(other, None, 1), (number[1:], number, 1)]


def test_a_person_without_a_number_has_a_row_in_the_directory(landing):
    write(landing, 0, ContactRow("a", 0, None, LIDS[0], None))
    write(landing, 1, ContactRow("b", 0, None, LIDS[1], USER_IDS[0]))

    found = landing.rows(
        "SELECT person_key, wa_id, lid, user_id, accounts FROM wacontacts_directory ORDER BY person_key"
    )
    assert found == [(LIDS[0], None, LIDS[0], None, 1), (USER_IDS[0], None, LIDS[1], USER_IDS[0], 1)]


@pytest.mark.parametrize(("count", "is_flagged"), [(5, False), (6, True)])
def test_a_key_with_more_than_a_handful_of_identifiers_is_flagged(landing, count, is_flagged):
    for number in range(count):
        write(landing, 0, ResultRow(SENDERS[0], f"+4900000000{number}", 0, "valid", WA_IDS[0], None, None))
    write(landing, 1, ResultRow(SENDERS[1], "+49000000000", 0, "valid", WA_IDS[0], None, None))

    found = landing.rows("SELECT wa_id, has_many_identifiers FROM wacontacts_directory")
    assert [(wa_id, bool(flag)) for wa_id, flag in found] == [(WA_IDS[0], is_flagged)]


def test_rows_that_are_written_concurrently_have_the_same_key(landing):
    context = landing.store.context

    def land(round_):
        write(landing, f"a{round_}", ContactRow(f"hidden {round_}", 0, None, f"{round_ + 1}@lid", None))

    def state(round_):
        write(landing, f"b{round_}", ContactRow(f"shown {round_}", 0, f"5500000{round_:04}", f"{round_ + 1}@lid", None))

    def record(round_):
        for sender in SENDERS:
            row = ResultRow(sender, f"+5511000{round_:04}", 0, "valid", f"5500000{round_:04}", None, None)
            write(landing, "", row)

    def change(round_):
        record_changes(SenderIdentities(context, SENDERS[0]), [IdentityChange(f"5500000{round_:04}", "hash", NOON)])

    with ThreadPoolExecutor(4) as threads:
        for round_ in range(ROUNDS):
            list(threads.map(lambda call, n=round_: call(n), (land, state, record, change)))

    assert landing.rows(
        "SELECT count(*), sum(accounts), sum(senders), sum(turn_accounts) FROM wacontacts_directory"
    ) == [(ROUNDS, ROUNDS, ROUNDS * 2, ROUNDS)]


def test_person_keys_are_pseudonyms_if_the_store_has_a_secret(landing):
    context = Store(landing.engine, secret=b"an example of 24 bytes..").context
    SenderChecks(context, SENDERS[0]).record_delivered(
        CheckResults({NUMBERS[1]: NumberResult("valid", WA_IDS[0])}, NOON, NOON), verified=True
    )

    ((key, number),) = landing.rows("SELECT person_key, number FROM wacontacts_directory")
    assert (key.startswith("p1_"), number) == (True, None)
