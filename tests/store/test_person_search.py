"""The search of an erasure: by identifiers of any kind in any row, within its limit."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.identifiers.reader import read_identifier
from airflow_provider_wacontacts.identifiers.suppression import Contact
from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.records.windows import parse_time
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec, NumberResult
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.erasure import erase, find
from airflow_provider_wacontacts.store.person_search import Limit, PersonSearch

MONDAY = parse_time("2024-01-01T00:00:00Z")
BOB, EVE, LID, USER_ID = "44623456700", "44623456799", "120650379300963@lid", "US.13491208655302741918"


def who(*values):
    return {read_identifier(value).as_wa_id() for value in values}


def put(landing, *records, rejects=(), run="run"):
    extraction = landing.begin(run)
    landing.land(extraction, *records, rejects=rejects)
    return extraction.finish()


def contact(landing, name, **ids):
    return landing.record(name)._replace(**ids)


def names(landing):
    return {row["contact_id"] for row in landing.dump()["version"]}


class Checks:
    """The checks of one sender."""

    def __init__(self, landing):
        self.checks = SenderChecks(landing.store.context, "sender", daily_checks=1_000)
        self.now = landing.store.context.now

    def fill(self, *inputs, run="one"):
        check = self.checks.open(CheckSpec(TaskInstanceKey("dag", run, "check"), "options", "1", MONDAY))
        check.fill(inputs)
        return check

    def answer(self, check, results):
        leased = check.lease([number_id for some in check.queued(100) for number_id in some])
        check.record(CheckResults({number: results[number] for number in leased.numbers}, self.now(), self.now()))
        return check.finish()

    def check(self, results, run="one"):
        return self.answer(self.fill(*(CheckInput(number, number) for number in results), run=run), results)


@pytest.fixture
def checks(sqlite_landing):
    return Checks(sqlite_landing)


@pytest.mark.parametrize("given_value", [f"+{BOB}", LID, USER_ID])
def test_a_person_is_found_by_identifiers_of_any_kind_in_the_same_row(landing, given_value):
    Checks(landing).check({f"+{BOB}": NumberResult("valid", BOB, LID)})
    by_lid, by_user_id = (
        contact(landing, "by lid", lid=LID, user_id=USER_ID),
        contact(landing, "by id", user_id=USER_ID),
    )
    put(landing, by_lid, by_user_id, contact(landing, "eve", wa_id=EVE, user_id="US.1"))

    identifiers, found = find(landing.store.context, who(given_value))
    rows = erase(landing.store.context, who(given_value))

    assert identifiers == who(f"+{BOB}", LID, USER_ID)
    assert (len(found.contacts), len(found.numbers), len(found.results)) == (2, 1, 1)
    assert (rows.contacts, rows.versions, rows.numbers, rows.results) == (2, 2, 1, 1)
    assert names(landing) == {"eve"}
    put(landing, by_lid, by_user_id, run="again")
    assert names(landing) == {"eve"}


SPELLINGS = [
    *(f"{BOB}@c.us", f"+{BOB}@c.us", f"{BOB}@C.US", f"{BOB}:12@s.whatsapp.net", f"{BOB}.0:3@s.whatsapp.net"),
    *(f"{BOB}_1@c.us", f"whatsapp:{BOB}", f"whatsapp:+{BOB}", f"{BOB}-1479621234@g.us", f"{BOB}@s.whatsapp.net"),
]


@pytest.mark.parametrize("contact_id", SPELLINGS)
def test_a_person_is_found_in_the_id_of_a_contact_but_not_in_a_longer_number(landing, contact_id):
    longer = contact_id.replace(BOB, f"{BOB}1")
    put(landing, landing.record(contact_id), landing.record(longer), landing.record(BOB))
    assert erase(landing.store.context, who(f"+{BOB}")).contacts == 1
    put(landing, landing.record(contact_id), run="again")
    assert names(landing) == {longer, BOB}


def test_a_contact_is_found_by_its_own_id_in_every_account(landing):
    put(landing, landing.record("bob"), landing.record("eve"))
    assert erase(landing.store.context, who("contact:bob")).contacts == 1
    put(landing, landing.record("bob"), run="again")
    assert names(landing) == {"eve"}


def test_a_key_of_a_caller_that_mentions_a_person_is_cleared_in_any_order(sqlite_landing, checks):
    key = CheckInput(f"+{EVE}", f"+{EVE}", f"customer {BOB}")
    checks.fill(key)
    assert erase(sqlite_landing.store.context, who(f"+{BOB}")).results == 1
    checks.fill(key, run="two")
    rows = sqlite_landing.rows("SELECT input, contact_key FROM wacontacts_check_result ORDER BY check_id")
    assert rows == [(f"+{EVE}", None)] * 2


def test_no_more_is_erased_than_the_limit_allows(sqlite_landing, checks):
    strangers = {f"+4462345{n:04}": NumberResult("valid", BOB) for n in range(20)}
    checks.check(strangers)
    context = sqlite_landing.store.context
    with pytest.raises(ConfigError, match="1 given identifiers are linked with 20 others at least") as refused:
        erase(context, who(f"+{BOB}"), limit=Limit(3))
    assert BOB not in str(refused.value)
    tables = ("number", "check_result", "erased")
    counts = [sqlite_landing.rows(f"SELECT count(*) FROM wacontacts_{table}")[0][0] for table in tables]
    assert counts == [20, 20, 0]
    assert erase(context, who(f"+{BOB}"), limit=Limit(20)).numbers == 20


def test_identifiers_of_other_versions_are_reported_and_not_erased(landing):
    put(landing, contact(landing, "bob", wa_id=BOB), landing.record("bob", MONDAY + timedelta(days=1), wa_id=EVE))
    put(landing, contact(landing, "eve", wa_id=EVE), run="two")
    identifiers, found = find(landing.store.context, who(f"+{BOB}"))
    assert (identifiers, found.changed) == (who(f"+{BOB}"), who(f"+{EVE}"))
    assert erase(landing.store.context, who(f"+{BOB}")).changed == 1
    assert names(landing) == {"eve"}


def test_variants_are_found_if_the_store_has_them(landing):
    put(landing, contact(landing, "bob", wa_id="551187654321"))
    with landing.store.context.read() as db:
        search = PersonSearch(db)
        assert search.existing(who("+551187654321", "+5511987654321")) == who("+551187654321")


ANSWERS = {f"+{BOB}": NumberResult("valid", "551161234567", LID, USER_ID)}


@pytest.mark.parametrize("erased_first", [True, False])
def test_a_result_with_ids_of_an_erased_number_erases_their_rows_in_any_order(landing, erased_first):
    checks = Checks(landing)
    check = checks.fill(CheckInput(f"+{BOB}", f"+{BOB}", "key"), CheckInput(f"+{EVE}", f"+{EVE}"))
    ids = [
        contact(landing, name, **{name: value})
        for name, value in ANSWERS[f"+{BOB}"]._asdict().items()
        if name != "status"
    ]
    eve = contact(landing, "eve", wa_id=EVE)
    put(landing, *ids, eve)
    steps = [
        lambda: erase(landing.store.context, who(f"+{BOB}")),
        lambda: checks.answer(check, ANSWERS | {f"+{EVE}": NumberResult("valid", EVE)}),
    ]
    leased = check.lease([number_id for some in check.queued(100) for number_id in some]) if erased_first else None
    if leased is not None:
        steps[1] = lambda: check.record(CheckResults(ANSWERS | {f"+{EVE}": NumberResult("valid", EVE)}, MONDAY, MONDAY))
    for step in steps if erased_first else reversed(steps):
        step()

    assert names(landing) == {"eve"}
    put(landing, *ids, eve, run="again")
    assert names(landing) == {"eve"}
    assert landing.rows("SELECT number FROM wacontacts_number") == [(f"+{EVE}",)]
    assert erase(landing.store.context, who("+551161234567", LID, USER_ID)).contacts == 0


@pytest.mark.parametrize("erased_first", [True, False])
def test_a_contact_without_an_id_is_erased_if_a_version_names_the_person_in_any_order(landing, erased_first):
    steps = [
        lambda: erase(landing.store.context, who(f"+{BOB}")),
        lambda: put(landing, landing.record("bob", MONDAY + timedelta(days=1), wa_id=BOB), run="later"),
    ]
    put(landing, landing.record("bob"), landing.record("eve"))
    for step in steps if erased_first else reversed(steps):
        step()

    put(landing, landing.record("bob"), landing.record("eve"), run="again")
    assert names(landing) == {"eve"}
    assert [row["contact_id"] for row in landing.dump()["current"]] == ["eve"]


@pytest.mark.parametrize("given_value", [f"+{BOB}", LID])
@pytest.mark.parametrize("erased_first", [True, False])
def test_a_snapshot_that_links_a_number_and_a_lid_erases_both_in_any_order(landing, book, given_value, erased_first):
    both = landing.record(LID, phoneNumber=f"{BOB}@c.us")._replace(lid=LID, wa_id=BOB)
    eve = landing.record(f"{EVE}@c.us", wa_id=EVE)
    put(landing, contact(landing, "by number", wa_id=BOB), contact(landing, "eve", wa_id=EVE))
    Checks(landing).check({f"+{BOB}": NumberResult("valid", BOB)})

    def snapshot(*records, day=1):
        taken_at = MONDAY + timedelta(days=day)
        book.begin(f"day {day}").write(lambda: iter(records), extracted_at=taken_at, size=10)

    snapshot(contact(landing, LID, lid=LID), eve)
    steps = [lambda: erase(landing.store.context, who(given_value)), lambda: snapshot(both, eve, day=2)]
    for step in steps if erased_first else reversed(steps):
        step()

    assert names(landing) == {"eve", f"{EVE}@c.us"}
    assert landing.rows("SELECT number FROM wacontacts_number") == []


def test_versions_of_a_contact_with_another_number_are_kept(landing):
    erase(landing.store.context, who(f"+{BOB}"))
    put(landing, contact(landing, "eve", wa_id=EVE))
    put(landing, landing.record("eve", MONDAY + timedelta(days=1), wa_id=BOB), run="later")
    assert [row["wa_id"] for row in landing.dump()["version"]] == [EVE]


def test_a_result_that_links_an_erased_number_with_many_others_erases_no_people(sqlite_landing, checks):
    checks.check({f"+4462345{n:04}": NumberResult("valid", EVE) for n in range(20)})
    check = checks.fill(CheckInput(f"+{BOB}", f"+{BOB}"), run="two")
    check.lease([number_id for some in check.queued(100) for number_id in some])
    erase(sqlite_landing.store.context, who(f"+{BOB}"))
    check.record(CheckResults({f"+{BOB}": NumberResult("valid", EVE)}, MONDAY, MONDAY))
    assert sqlite_landing.rows("SELECT count(*) FROM wacontacts_number") == [(20,)]


def test_followers_see_that_the_versions_were_erased(landing):
    put(landing, contact(landing, "bob", wa_id=BOB), contact(landing, "eve", wa_id=EVE))
    erase(landing.store.context, who(f"+{BOB}"))
    changes = landing.rows("SELECT change_kind, version_id, contact_id FROM wacontacts_change ORDER BY change_id")
    assert [(kind, name) for kind, _, name in changes] == [("new", None), ("new", "eve"), ("erased", None)]
    assert changes[0][1] == changes[2][1]


ACTIONS = st.lists(
    st.sampled_from(["bob", "bob by lid", "eve", "check", "erase", "erase lid", "reject", "named"]), max_size=8
)


@settings(max_examples=25)
@given(actions=ACTIONS)
def test_no_row_remains_after_an_erasure_with_any_rows_in_any_order(landing_on, tmp_path_factory, actions):
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db")
    landing = landing_on(Store(engine, now=lambda: MONDAY + timedelta(days=30)), engine)
    checks = Checks(landing)
    for n, action in enumerate([*actions, "erase", *actions]):
        run = f"run {n}"
        match action:
            case "bob":
                put(landing, contact(landing, "bob", wa_id=BOB, user_id=USER_ID), run=run)
            case "bob by lid":
                put(landing, contact(landing, f"{LID}", lid=LID, user_id=USER_ID), run=run)
            case "eve":
                put(landing, contact(landing, "eve", wa_id=EVE), run=run)
            case "check":
                results = {f"+{BOB}": NumberResult("valid", BOB, LID), f"+{EVE}": NumberResult("valid", EVE)}
                checks.check(results, run=run)
            case "reject":
                put(landing, rejects=[Reject("no id", f'{{"phone":"{BOB}","lid":"{LID}"}}'.encode())], run=run)
            case "named":
                checks.fill(CheckInput(f"{BOB} or so", None, f"key of {LID}", reason="letters"), run=run)
            case _:
                erase(landing.store.context, who(LID if action == "erase lid" else f"+{BOB}"))
    identifiers, found = find(landing.store.context, who(f"+{BOB}"), [Contact("turn", "main", "bob")])
    left = {name: rows for name, rows in vars_of(found).items() if rows}
    assert left == {}, json.dumps(actions)
    assert identifiers == who(f"+{BOB}")
    engine.dispose()


def vars_of(found):
    return {name: getattr(found, name) for name in found.__slots__}
