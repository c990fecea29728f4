"""Schema drift: fields that count as new, gone and retyped, and fields that do not."""

from dataclasses import astuple
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.records.drift import MAX_FIELDS, FieldCounter, find_drift

NAMES = st.sampled_from(["a", "b", "c"])
DETAILS = st.dictionaries(NAMES, st.sampled_from([None, 1, 1.5, "x", True, {}, []]))
WINDOWS = st.lists(st.lists(DETAILS, max_size=30), max_size=6)


class Account:
    """The known fields of an account."""

    def __init__(self):
        self.known = []

    def sync(self, *details, declared=None, are_latest=True):
        """Return the drift of these contacts as (field, kind, type before, type after)."""
        counter = FieldCounter()
        for each in details:
            counter.add({"id": 1, "details": each})
        drift, self.known = find_drift(self.known, counter.observed(declared), are_latest=are_latest)
        self.shares = {change.field: change.share for change in drift}
        return [astuple(change)[:4] for change in drift]


@pytest.fixture
def account():
    account = Account()
    assert account.sync(*[{"name": "x", "age": 1}] * 20) == []
    return account


def test_a_renamed_field_is_new_and_gone_once(account):
    renamed = [{"name": "x", "years": 1}] * 20
    assert account.sync(*renamed) == [
        ("details.age", "gone", "number", None),
        ("details.years", "new", None, "number"),
    ]
    assert account.shares == {"details.age": 1.0, "details.years": 1.0}
    assert account.sync(*renamed) == []
    assert account.sync({"name": "x", "age": 2}) == [("details.age", "new", None, "number")]


@pytest.mark.parametrize(
    ("value", "types"),
    [("1", "string"), (True, "boolean"), ({}, "object"), ([], "array"), (None, None), (Decimal("1.5"), None)],
)
def test_a_field_is_retyped_when_a_value_has_a_type_that_it_never_had(account, value, types):
    expected = [("details.age", "retyped", "number", ",".join(sorted(["number", types])))] if types else []
    assert account.sync({"name": "x", "age": value}, {"name": "x", "age": 1}) == expected
    assert account.sync({"name": "x", "age": value}) == []


def test_a_rare_field_is_not_gone_before_it_is_often_missing(account):
    account.sync(*[{"name": "x", "age": 1, "rare": 1}], *[{"name": "x", "age": 1}] * 19)
    assert account.shares == {"details.rare": 0.05}
    for _ in range(10):
        assert account.sync(*[{"name": "x", "age": 1}] * 20) == []
    assert account.sync(*[{"name": "x", "age": 1}] * 100) == [("details.rare", "gone", "number", None)]


def test_a_backfill_of_old_contacts_reports_no_gone_field(account):
    assert account.sync(*[{"name": "x", "old": 1}] * 50, are_latest=False) == [("details.old", "new", None, "number")]
    assert account.sync(*[{"name": "x", "age": 1, "old": 1}] * 20) == []


def test_declared_types_take_precedence_and_the_first_ones_are_not_drift(account):
    first = {"details.age": "NUMBER", "details.unused": "STRING"}
    assert account.sync({"age": 1}, declared=first) == []
    changed = {"details.years": "NUMBER", "details.unused": "BOOLEAN"}
    assert account.sync({"age": 1}, declared=changed) == [
        ("details.age", "gone", "NUMBER", None),
        ("details.unused", "retyped", "STRING", "BOOLEAN"),
        ("details.years", "new", None, "NUMBER"),
    ]
    assert account.sync({"years": 1}, {"age": 1}, declared=changed) == []
    assert account.sync(*[{"name": "x", "age": 1}] * 50, declared=None) == []
    assert account.sync(declared=first | changed) == [("details.age", "new", None, "NUMBER")]


def test_a_first_window_without_contacts_is_not_a_baseline_for_drift():
    account = Account()
    assert account.sync(declared={"details.age": "NUMBER"}) == []
    assert account.sync({"name": "x", "age": 1}, declared={"details.age": "NUMBER"}) == []


@pytest.mark.parametrize(
    "name",
    ["447700900001", "+447700900001", "x447700900001@c.us", "bob@example.org", "x" * 65, "", "name\n", "1st", "a\0"],
)
def test_a_name_that_may_be_personal_data_is_not_recorded(account, name):
    person = {"name": "x", "age": 1, name: 1}
    assert account.sync(person, declared={f"details.{name}": "STRING"}) == []
    assert {field.field for field in account.known} == {"id", "details", "details.name", "details.age"}


def test_names_of_another_script_are_recorded(account):
    assert account.sync({"name": "x", "age": 1, "الاسم الأول": "x"}) == [("details.الاسم الأول", "new", None, "string")]


def test_the_number_of_fields_is_limited(account):
    for batch in range(5):
        account.sync(*({f"field {batch} {chr(97 + n % 26)}{n}": 1} for n in range(MAX_FIELDS)))
    assert len(account.known) == MAX_FIELDS


def test_a_rare_field_among_many_contacts_is_found_with_its_type(account):
    contacts = [{"name": "x", "age": 1}] * 5_000
    contacts[3_333] = {"name": "x", "age": 1, "rare": "x"}
    assert account.sync(*contacts) == [("details.rare", "new", None, "string")]
    assert 0 < account.shares["details.rare"] < 0.01


@given(WINDOWS)
def test_no_drift_is_reported_twice(windows):
    """Fields alternate between new and gone, and each type of a field is reported once."""
    account, states, types = Account(), {}, {}
    for number, window in enumerate(windows):
        for field, kind, _, after in account.sync(*window):
            assert number > 0
            if kind == "retyped":
                assert after != types.get(field)
                types[field] = after
            else:
                assert states.get(field, "gone" if kind == "new" else "new") != kind
                states[field] = kind
        seen = {f"details.{name}" for details in window for name in details}
        present = {field.field for field in account.known if field.is_present}
        assert seen <= present
