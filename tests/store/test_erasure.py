"""Erasure of people from a store: all their rows are deleted, nothing returns, and other people are unaffected."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import Mock

import pytest
from sqlalchemy import inspect, text

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import pseudonymize
from airflow_provider_wacontacts.identifiers.reader import read_identifier
from airflow_provider_wacontacts.identifiers.suppression import Contact
from airflow_provider_wacontacts.records.identities import Identity, IdentityChange
from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.records.windows import parse_time
from airflow_provider_wacontacts.store import Store, TaskInstanceKey, erasure
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.erasure import ErasedRows, erase
from airflow_provider_wacontacts.store.identities import SenderIdentities
from tests.identity_changes import record_changes

MONDAY = parse_time("2024-01-01T00:00:00Z")
DAY = timedelta(days=1)
BOB, EVE = "44623456700", "44623456799"
# As in Brazil, the WhatsApp ID differs from the number's digits.
BRAZILIAN, ITS_ID = "5511961234567", "551161234567"
SECRET = b"example-pseudonym-secret"


def who(*values):
    """Identifiers of any kind."""
    return {read_identifier(value).as_wa_id() for value in values}


def kept(engine):
    """All data of the store as one string."""
    with engine.connect() as connection:
        names = [name for name in inspect(connection).get_table_names() if name.startswith("wacontacts")]
        rows = [row for name in names for row in connection.execute(text(f"SELECT * FROM {name}"))]
    values = [value for row in rows for value in row]
    return "\n".join(
        bytes(value).decode(errors="replace") if isinstance(value, (bytes, memoryview)) else str(value)
        for value in values
    )


class Everything:
    """A store with people in every table."""

    def __init__(self, landing, book):
        self.landing, self.book, self.engine, self.store = landing, book, landing.engine, landing.store
        self.checks = SenderChecks(self.store.context, "sender", daily_checks=100)

    def fill(self, *people, run="one", day=1):
        self.pull(*people, run=run)
        self.take(*people, day=day)
        self.check(*people, run=run)
        moment = MONDAY + day * DAY
        record_changes(
            self.identities, [IdentityChange(person, "hash", moment) for person in people], detected_at=moment
        )

    @property
    def identities(self):
        return SenderIdentities(self.store.context, "sender")

    def pull(self, *people, run="one", rejects=True):
        extraction = self.landing.begin(run)
        records = [
            self.landing.record(f"uuid of {n}", MONDAY + n * DAY, wa_id=person, details={"whatsapp_id": person})
            for n, person in enumerate(people)
        ]
        aside = [Reject("no time", b'{"details": {"whatsapp_id": "%s"}}' % person.encode()) for person in people]
        self.landing.land(extraction, *records, rejects=aside if rejects else ())
        return extraction.finish()

    def take(self, *people, day=1, **given):
        contacts = [(f"{person}@c.us", f"Name {n}") for n, person in enumerate(people)]
        return self.book.land(MONDAY + day * DAY, *contacts, ("12036300000000@g.us", "Group"), **given)

    def open(self, *inputs, run="one"):
        rules = CheckSpec(TaskInstanceKey("dag", run, "check"), "options", "1", MONDAY)
        check = self.checks.open(rules)
        check.fill(inputs)
        return check

    def check(self, *people, run="one", wa_ids=None):
        inputs = [CheckInput(f"+{person}", f"+{person}", f"key {n}") for n, person in enumerate(people)]
        check = self.open(*inputs, CheckInput("0", None, reason="too short"), run=run)
        leased = check.lease([number_id for some in check.queued(100) for number_id in some])
        self.answer(check, leased.numbers, wa_ids or {})
        return check.finish()

    def answer(self, check, numbers, wa_ids):
        results = {number: ("valid", wa_ids.get(number[1:], number[1:])) for number in numbers}
        check.record(CheckResults(results, self.store.context.now(), self.store.context.now()))

    def results(self):
        return self.landing.rows(
            "SELECT input, number, wa_id, status, reason, contact_key FROM wacontacts_check_result"
            " ORDER BY check_id, ordinal"
        )


@pytest.fixture
def everything(landing, book):
    return Everything(landing, book)


@pytest.fixture
def on_sqlite(sqlite_landing, sqlite_book):
    return Everything(sqlite_landing, sqlite_book)


def with_secret(everything, secret=SECRET):
    store = Store(everything.engine, now=everything.store.context.now, secret=secret)
    everything.store = everything.landing.store = store
    everything.checks = SenderChecks(store.context, "sender", daily_checks=100)
    return everything


def test_every_row_of_a_person_is_deleted_and_other_rows_stay(everything):
    everything.fill(BOB, EVE)

    rows = erase(everything.store.context, who(BOB))

    assert rows == ErasedRows(contacts=2, versions=2, numbers=1, results=1, identities=1, rejects=1)
    found = kept(everything.engine)
    assert [one in found for one in (BOB, "uuid of 0", "uuid of 1")] == [False, False, True]
    assert found.count(EVE) > 5
    assert erase(everything.store.context, who(BOB)) == ErasedRows()


def test_erased_people_never_return(everything):
    everything.fill(BOB, EVE)
    erase(everything.store.context, who(BOB))

    everything.fill(BOB, EVE, run="two", day=2)
    everything.checks.record_delivered(
        CheckResults({f"+{BOB}": ("valid", BOB)}, MONDAY + 40 * DAY, MONDAY + 40 * DAY), verified=True
    )

    found = kept(everything.engine)
    assert (BOB in found, EVE in found) == (False, True)
    assert (
        everything.identities.record_latest(BOB, Identity(acknowledged=True, hash="other", created_at=MONDAY)) is None
    )


def test_unknown_people_are_suppressed_as_well(everything):
    assert erase(everything.store.context, who(BOB)) == ErasedRows()
    everything.fill(BOB, EVE)
    assert BOB not in kept(everything.engine)


def test_skipped_people_are_neither_rows_nor_rejects(everything):
    erase(everything.store.context, who(BOB))
    pulled = everything.pull(BOB, EVE)
    taken = everything.take(BOB, EVE, rejects=[Reject("not an object", f'"{BOB}@c.us"'.encode())])
    assert (pulled.rows, pulled.new_versions, pulled.rejected) == (1, 1, 1)
    assert (taken.rows, taken.new_versions, taken.rejected, taken.gone) == (2, 2, 0, 0)


def test_all_versions_of_a_contact_are_erased_with_any_id(everything):
    extraction = everything.landing.begin()
    record = everything.landing.record
    states = [record("bob", MONDAY, wa_id=BOB), record("bob", MONDAY + DAY), record("bob", MONDAY + 2 * DAY, wa_id=EVE)]
    everything.landing.land(extraction, *states)

    assert erase(everything.store.context, who(BOB)) == ErasedRows(contacts=1, versions=3, changed=1)

    everything.landing.land(extraction, *states, record("eve", wa_id=EVE))
    assert [row["contact_id"] for row in everything.landing.dump()["version"]] == ["eve"]


def test_a_contact_found_in_a_file_is_erased_without_an_id(everything):
    extraction = everything.landing.begin()
    everything.landing.land(extraction, everything.landing.record("bob"), everything.landing.record("eve"))
    rows = erase(everything.store.context, who(), [Contact("turn", "main", "bob"), Contact("turn", "other", "eve")])
    assert rows == ErasedRows(contacts=1, versions=1)
    assert [row["contact_id"] for row in everything.landing.dump()["current"]] == ["eve"]


@pytest.mark.parametrize("given", [BRAZILIAN, ITS_ID])
def test_a_number_and_its_returned_id_are_one_person(everything, given):
    everything.check(BRAZILIAN, EVE, wa_ids={BRAZILIAN: ITS_ID})
    everything.take(ITS_ID, EVE)

    rows = erase(everything.store.context, who(given))

    assert (rows.contacts, rows.numbers, rows.results) == (1, 1, 1)
    everything.take(ITS_ID, EVE, day=2)
    everything.check(BRAZILIAN, EVE, run="two", wa_ids={BRAZILIAN: ITS_ID})
    found = kept(everything.engine)
    assert (BRAZILIAN in found, ITS_ID in found, EVE in found) == (False, False, True)


def test_an_erased_number_is_not_requested_and_its_input_is_not_stored(everything):
    erase(everything.store.context, who(BOB))
    inputs = [
        CheckInput("+44 6234 56700", f"+{BOB}", "key"),
        CheckInput(BOB, f"+{BOB}", f"customer {BOB}"),
        CheckInput(f"{BOB} or so", None, "key", reason="not a number"),
        CheckInput(f"+{EVE}", f"+{EVE}", "other"),
    ]
    totals = everything.open(*inputs).finish()

    nothing = ("", None, None, "not_asked", "erased")
    assert everything.results() == [
        (*nothing, "key"),
        (*nothing, None),
        (*nothing, "key"),
        (f"+{EVE}", f"+{EVE}", None, "not_asked", "past the budget", "other"),
    ]
    assert (totals.given, totals.not_asked + totals.duplicates, totals.rejected) == (4, 4, 0)
    assert everything.landing.rows("SELECT number FROM wacontacts_number") == [(f"+{EVE}",)]


def test_a_result_after_the_erasure_is_not_stored(everything):
    check = everything.open(CheckInput(f"+{BOB}", f"+{BOB}"), CheckInput(f"+{EVE}", f"+{EVE}"))
    leased = check.lease([number_id for some in check.queued(100) for number_id in some])
    erase(everything.store.context, who(BOB))
    everything.answer(check, leased.numbers, {})
    totals = check.finish()
    assert (totals.state, totals.given, totals.valid) == ("resolved", 1, 1)
    assert BOB not in kept(everything.engine)


def test_a_number_with_an_erased_id_is_erased_with_its_results(everything):
    erase(everything.store.context, who(ITS_ID))
    inputs = [CheckInput(BRAZILIAN, f"+{BRAZILIAN}", "key"), CheckInput(BRAZILIAN, f"+{BRAZILIAN}", f"id {BRAZILIAN}")]
    check = everything.open(*inputs)
    leased = check.lease([number_id for some in check.queued(100) for number_id in some])
    everything.answer(check, leased.numbers, {BRAZILIAN: ITS_ID})
    totals = check.finish()

    assert (totals.state, totals.not_asked, totals.duplicates) == ("resolved", 1, 1)
    nothing = ("", None, None, "not_asked", "erased")
    assert everything.results() == [(*nothing, "key"), (*nothing, None)]
    everything.open(*inputs, run="two").finish()
    found = kept(everything.engine)
    assert (BRAZILIAN in found, ITS_ID in found) == (False, False)


def test_an_erasure_that_was_interrupted_is_completed_by_the_next_result(everything, monkeypatch):
    """The worker was killed after the hashes were committed, before rows were deleted."""
    everything.pull(BRAZILIAN, EVE, rejects=False)
    erase(everything.store.context, who(ITS_ID))
    check = everything.open(CheckInput(BRAZILIAN, f"+{BRAZILIAN}"), CheckInput(EVE, f"+{EVE}"))
    leased = check.lease([number_id for some in check.queued(100) for number_id in some])
    with monkeypatch.context() as killed:
        killed.setattr(erasure, "_delete", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            everything.answer(check, leased.numbers, {BRAZILIAN: ITS_ID})
    assert BRAZILIAN in kept(everything.engine)

    everything.answer(check, leased.numbers, {BRAZILIAN: ITS_ID})

    found = kept(everything.engine)
    assert (BRAZILIAN in found, EVE in found) == (False, True)
    assert check.finish().valid == 1


def test_a_check_that_waited_only_for_erased_numbers_is_resolved(everything):
    check = everything.open(CheckInput(f"+{BOB}", f"+{BOB}"))
    leased = check.lease([number_id for some in check.queued(100) for number_id in some])
    check.record(CheckResults({leased.numbers[0]: ("processing", None)}, MONDAY, MONDAY))
    check.finish()
    assert check.start_waiting(MONDAY + 99 * DAY).state == "open"
    erase(everything.store.context, who(BOB))
    assert everything.landing.rows("SELECT state FROM wacontacts_check") == [("resolved",)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"phone": "+44 6234 56-700"}',
        b"0044623456700",
        b'{"phone": "\\u0034\\u0034623456700"}',
        b'{"phone": "+44 (0) 6234.56.700"}',
        "\u202a+44\u00a06234\u00a056700\u202c".encode(),
    ],
)
def test_a_reject_that_mentions_a_number_in_any_spelling_is_erased(on_sqlite, body):
    extraction = on_sqlite.landing.begin()
    rejects = [Reject("no id", body), Reject("no id", b'{"phone": "+44 6234 56701"}')]
    on_sqlite.landing.land(extraction, rejects=rejects)
    assert erase(on_sqlite.store.context, who(BOB)).rejects == 1
    on_sqlite.landing.land(extraction, rejects=rejects)
    assert on_sqlite.landing.rows("SELECT count(*) FROM wacontacts_reject") == [(2,)]


def test_pseudonymized_rows_are_found_by_the_id_and_others_by_the_pseudonym(everything):
    with_secret(everything)
    bob, eve = (pseudonymize(Identifier(Kind.WA_ID, one), SECRET) for one in (BOB, EVE))
    everything.take(bob, eve)
    everything.check(BOB, EVE)

    assert (erase(everything.store.context, who(BOB)).contacts, erase(everything.store.context, who(eve)).numbers) == (
        1,
        1,
    )

    everything.take(bob, eve, day=2)
    everything.pull(BOB, EVE, bob, eve)
    everything.check(BOB, EVE, run="two")
    found = kept(everything.engine)
    assert [one in found for one in (BOB, EVE, bob, eve)] == [False] * 4


def test_a_snapshot_without_erased_contacts_does_not_count_as_smaller(everything):
    people = [f"4462345670{n}" for n in range(4)]
    everything.take(*people)
    erase(everything.store.context, who(*people[:3]))
    again = everything.take(*people, day=2)
    assert (again.state, again.rows, again.gone) == ("complete", 2, 0)


def test_the_hashes_cannot_be_computed_without_the_key(everything):
    with_secret(everything)
    erase(everything.store.context, who(BOB))
    assert everything.landing.rows("SELECT count(*) FROM wacontacts_erased_key") == [(0,)]
    with pytest.raises(ConfigError, match="pseudonym_secret"):
        with_secret(everything, None).pull(EVE)
    with pytest.raises(ConfigError, match="pseudonym_secret"):
        with_secret(everything, b"another secret of the store").pull(EVE)
    with pytest.raises(ConfigError, match="pseudonym_secret"):
        everything.store.prepare()
    assert with_secret(everything).pull(BOB, EVE).rows == 1


def test_people_erased_before_a_secret_was_set_stay_suppressed(everything):
    erase(everything.store.context, who(BOB))
    with_secret(everything)
    erase(everything.store.context, who(EVE))
    assert everything.pull(BOB, EVE, rejects=False).rows == 0


def test_nothing_is_reread_without_an_erasure(on_sqlite):
    seen = []
    extraction = on_sqlite.landing.begin()
    erase(on_sqlite.store.context, who(BOB))
    on_sqlite.landing.land(extraction, on_sqlite.landing.record("one"))
    hashes = on_sqlite.store.context.suppression_list.read
    on_sqlite.store.context.suppression_list.read = lambda connection: seen.append(1) or hashes(connection)
    on_sqlite.landing.land(extraction, on_sqlite.landing.record("two"))
    erase(on_sqlite.store.context, who(EVE))
    seen.clear()
    for _ in range(3):
        on_sqlite.landing.land(extraction, on_sqlite.landing.record("eve", wa_id=EVE))
    # Once for the erasure, and once for the contact that was not on the list.
    assert (len(seen), extraction.rows) == (2, 2)
