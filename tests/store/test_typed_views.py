"""Typed views: a column for each custom field, with a safe and stable name and type."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import inspect, text

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.records.drift import FieldCounter
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store.fields import FieldObservation
from airflow_provider_wacontacts.store.typed_views import ViewResult, ViewSpec, update_view

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SCHEMA = [
    {"name": "name", "type": "STRING"},
    {"name": "savings", "type": "NUMBER"},
    {"name": "opted_in", "type": "BOOLEAN"},
    {"name": "birthday", "type": "DATETIME"},
    {"name": "location", "type": "LOCATION"},
]


def land(landing, *contacts):
    extraction = landing.begin()
    records = [landing.record(name, MONDAY + day * DAY, details=details) for name, day, details in contacts]
    landing.land(extraction, *records)
    extraction.finish()


def view(landing, *schema, name="people", **given):
    return update_view(landing.store.context, ViewSpec(name, "main", **given), schema)


def read(landing, columns, name="people", order="contact_id"):
    return landing.rows(f"SELECT {columns} FROM {name} ORDER BY {order}")


def plain(value):
    """Convert a time or a boolean of either database."""
    if isinstance(value, str) and value[:4].isdecimal():
        return datetime.fromisoformat(value)
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def test_fields_become_typed_columns_and_values_of_other_types_null_and_counted(landing):
    times = (
        "2024-02-29",
        "2024-02-29T10:00:00.123Z",
        "2024-02-29T10:00:00+02:00",
        "2023-02-29",
        "2024-13-01",
        "now",
    )
    land(
        landing,
        ("a", 0, {"name": "Ann", "savings": 100.5, "opted_in": True, "birthday": times[0], "location": {"lat": 1}}),
        ("b", 0, {"name": 7, "savings": "100", "opted_in": "true", "birthday": 7, "location": None}),
        ("c", 0, {"name": None, "undeclared": "x", "mixed": 1}),
        ("d", 0, {"mixed": "one"}),
        *((f"t{n}", 0, {"birthday": moment}) for n, moment in enumerate(times[1:])),
        ("z", 0, "no object"),
    )
    assert view(landing, *SCHEMA) == ViewResult(7, 7, 0, 0)

    rows = {row[0]: [plain(value) for value in row[1:]] for row in read(landing, "contact_id, name, savings, opted_in")}
    assert rows["a"] == ["Ann", Decimal("100.5") if isinstance(rows["a"][1], Decimal) else 100.5, True]
    assert rows["b"] == rows["c"] == rows["z"] == [None, None, None]
    mismatches = dict(read(landing, "contact_id, type_mismatches"))
    assert [mismatches[name] for name in "abcdz"] == [0, 4, 0, 0, 0]
    births = {name: plain(value) for name, value in read(landing, "contact_id, birthday")}
    day = datetime(2024, 2, 29, tzinfo=UTC)
    assert (births["a"], births["t1"]) == (day, day + timedelta(hours=8))
    assert births["t0"] == day + timedelta(hours=10, milliseconds=123)
    assert [births[f"t{n}"] for n in (2, 3, 4)] == [None] * 3
    assert dict(read(landing, "contact_id, undeclared"))["c"] == "x"


def observe(landing, contacts, day, run):
    """Load one day's contacts, and record their fields."""
    window, moment = Window(MONDAY + day * DAY, MONDAY + (day + 1) * DAY), MONDAY + (day + 1) * DAY
    extraction = landing.begin(run, window=window)
    counter = FieldCounter()
    for details in contacts.values():
        counter.add({"details": details})
    declared = {f"details.{field}": "STRING" for field in next(iter(contacts.values()))}
    records = [landing.record(name, MONDAY + day * DAY, details=details) for name, details in contacts.items()]
    landing.land(extraction, *records, extracted_at=moment)
    extraction.finish(fields=FieldObservation(counter.observed(declared)))


def missing(landing, name):
    """Return the missing fields of each version."""
    rows = read(landing, "contact_id, missing_fields", name, order="contact_id, updated_at")
    return [(key, json.loads(found) if isinstance(found, str) else found) for key, found in rows]


def test_nulls_of_missing_fields_are_distinguished_from_null_values(landing):
    days = (
        {"a": {"language": "en", "Old name": None}, "b": {"language": None, "Old name": None}},
        {"c": {"language": None, "location": None}},
        {"a": {"language": "en", "location": None, "Old name": None}},
    )
    for day, contacts in enumerate(days):
        observe(landing, contacts, day, f"run {day}")
    view(landing, *({"name": name, "type": "STRING"} for name in ("language", "location", "Old name")))
    view(landing, *({"name": name, "type": "STRING"} for name in ("language", "location")), name="all_", history=True)
    assert missing(landing, "people") == [("a", []), ("b", ["location"]), ("c", ["old_name"])]
    assert missing(landing, "all_") == [("a", ["location"]), ("a", []), ("b", ["location"]), ("c", [])]


def test_names_are_safe_distinct_and_stable(landing):
    odd = [
        "select; drop",
        'a"b',
        "a'b",
        "A B",
        "a-b",
        "select",
        "1st",
        "naïve",
        "wa_id",
        "%s",
        ":x",
        "\\",
        "é" * 60,
        "--",
        "*/",
    ]
    land(landing, ("a", 0, {name: name for name in odd}))
    view(landing)
    columns = [column["name"] for column in inspect(landing.engine).get_columns("people")][8:]
    values = dict(zip(columns, read(landing, ", ".join(f'"{name}"' for name in columns))[0], strict=True))
    assert sorted(values.values()) == sorted(odd)
    expected = {"select_drop": "select; drop", "select_": "select", "_1st": "1st", "wa_id_2": "wa_id", "naïve": "naïve"}
    assert {column: values[column] for column in expected} == expected
    assert len(set(columns)) == len(odd)
    assert max(len(column.encode()) for column in columns) <= 63
    before = values

    land(landing, ("a", 1, {"A": "new", **{name: name for name in reversed(odd)}}))
    assert view(landing) == ViewResult(len(odd) + 1, 1, 0, 0)
    after = read(landing, ", ".join(f'"{name}"' for name in before))[0]
    assert dict(zip(columns, after, strict=True)) == before
    assert landing.rows("SELECT count(*) FROM wacontacts_current") == [(1,)]


def test_new_fields_are_added_and_removed_fields_and_types_are_kept(landing):
    land(landing, ("a", 0, {"former": "x", "score": 1}), ("b", 0, {"former": "y"}))
    view(landing, {"name": "score", "type": "NUMBER"})
    land(landing, ("a", 1, {"score": "high", "fresh": True}), ("b", 1, {}))
    assert view(landing, {"name": "score", "type": "STRING"}) == ViewResult(3, 1, 1, 1)
    assert [tuple(map(plain, row)) for row in read(landing, "contact_id, former, score, fresh, type_mismatches")] == [
        ("a", None, None, True, 1),
        ("b", None, None, None, 0),
    ]


def test_a_view_of_history_has_every_version_and_its_validity(landing):
    land(landing, ("a", 0, {"score": 1}), ("a", 1, {"score": 2}))
    view(landing, name="people_history", history=True)
    rows = [
        tuple(map(plain, row)) for row in read(landing, "score, valid_from, valid_to", "people_history", "valid_from")
    ]
    assert rows == [(1, MONDAY, MONDAY + DAY), (2, MONDAY + DAY, None)]


def test_a_name_in_use_or_not_allowed_and_an_unknown_account_are_refused(landing):
    land(landing, ("a", 0, {"score": 1}))
    with landing.engine.begin() as connection:
        connection.execute(text("CREATE TABLE crm (id integer)"))
    view(landing)
    for name, given in (("crm", {}), ("people", {"history": True})):
        with pytest.raises(ConfigError, match=f"'{name}' is in use"):
            view(landing, name=name, **given)
    for name in ("wacontacts_current", "People", "a b", "", "x" * 64, 'a"; DROP TABLE crm; --'):
        with pytest.raises(ConfigError, match="name of a view"):
            view(landing, name=name)
    with pytest.raises(ConfigError, match="no turn account 'mian'"):
        update_view(landing.store.context, ViewSpec("others", "mian"))
    with pytest.raises(ConfigError, match="at most 1,500"):
        view(landing, *({"name": f"f{n}", "type": "STRING"} for n in range(1_500)), name="wide")
    assert min(inspect(landing.engine).get_view_names()) == "people"
    assert read(landing, "score") == [(1,)]
