"""Selective fields of the operators: excluded fields are stored nowhere; effects on retries and history."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from airflow_provider_wacontacts.exceptions import ContractError
from airflow_provider_wacontacts.files import read_contacts
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator
from airflow_provider_wacontacts.pipelines import turn_load
from airflow_provider_wacontacts.sandbox import (
    Fault,
    GreenApiBehaviour,
    Sandbox,
    TurnBehaviour,
    seeded_contact_list,
    seeded_world,
)
from airflow_provider_wacontacts.sandbox.population import NAMES, SURNAMES
from tests.operators.green_api_cases import Connect, Context, to_files, to_store

EXCLUDED = {
    "turn": ["details.name", "details.surname", "details.whatsapp_profile_name"],
    "green_api": ["name", "contactName", "phoneNumber"],
}
INCLUDED = {"turn": ["details.language", "details.whatsapp_id"], "green_api": ["type"]}
ODD = ('{"name": "Zorblatt"}', '{"id": "447700900002@c.us", "name": "Zorblatt", "n": NaN}', '"Zorblatt"')
ODD_TURN = [{"details": {"name": "Zorblatt"}}, ["Zorblatt"], "Zorblatt"]


@pytest.fixture
def people(green: Sandbox, connect: Connect) -> Sandbox:
    """Forty people who are in both feeds, and rows of theirs that are no contacts."""
    green.load(
        seeded_world(contacts=40, days=1),
        now="2022-09-13T00:10:00Z",
        behaviour=TurnBehaviour(page_size=10),
        green_api=GreenApiBehaviour(odd_rows=ODD),
        contact_list=seeded_contact_list(contacts=40, days=1),
    )
    connect("turn_default", conn_type="turn", host=green.url, password=green.token)
    return green


@pytest.fixture
def odd_page(people: Sandbox) -> None:
    """The same people on a page of Turn.io, with rows that are no contacts."""
    contacts = [
        {"uuid": event.uuid, "updated_at": "2022-09-12T08:00:00Z", "details": dict(event.details or {})}
        for event in people.world
    ]
    people.fail(Fault(on="page", kind="body", body=json.dumps({"data": [*ODD_TURN, *contacts]})))


@pytest.fixture
def land(people: Sandbox, context: Context, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def do(feed: str, where: str = "store", **given: Any) -> dict[str, Any]:
        given = {"max_rejected": 1.0} | given
        files = tmp_path / "files"
        if feed == "green_api":
            operator: Any = to_store(**given) if where == "store" else to_files(files, **given)
            return operator.execute(context(None, None))
        given |= {"task_id": "sync", "start": "2022-09-12T00:00:00Z", "end": "2022-09-13T00:00:00Z"}
        if where == "store":
            return TurnContactsToSqlOperator(**given).execute(context(None, None))
        return TurnContactsToObjectStorageOperator(path=f"file://{files}", **given).execute(context(None, None))

    return do


def written(where: Path) -> str:
    """Return all that was written: every column of every table of a store, or every file."""
    if where.is_dir():
        return "\n".join(unpacked(path) for path in where.rglob("*") if path.is_file())
    engine = create_engine(f"sqlite:///{where}")
    with engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        found = [repr(row) for table in tables for row in connection.execute(text(f"SELECT * FROM {table}"))]
    engine.dispose()
    return "\n".join(found)


def unpacked(path: Path) -> str:
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    bodies = re.findall(r'"body_base64":"([^"]*)"', lines)
    return lines + "".join(b64decode(body).decode() for body in bodies)


@pytest.mark.usefixtures("odd_page")
@pytest.mark.parametrize("given", [{"exclude_fields": EXCLUDED}, {"include_fields": INCLUDED}])
@pytest.mark.parametrize("where", ["store", "files"])
@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_excluded_fields_are_written_nowhere(
    land: Any, tmp_path: Path, store_path: Path, *, feed: str, where: str, given: dict[str, Any]
) -> None:
    names = re.compile("|".join(map(re.escape, {"Zorblatt", *NAMES, *SURNAMES})))
    place = store_path if where == "store" else tmp_path / "files"

    summary = land(feed, where, **{name: fields[feed] for name, fields in given.items()})

    assert (summary["rows"] >= 32, summary["rejected"]) == (True, 3)
    assert names.findall(written(place)) == []


@pytest.mark.usefixtures("odd_page")
def test_without_a_selection_all_fields_are_written(land: Any, store_path: Path) -> None:
    land("turn")
    land("green_api")
    assert written(store_path).count("Zorblatt") >= 6


@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_store_and_files_have_the_same_contacts(land: Any, query: Any, tmp_path: Path, feed: str) -> None:
    land(feed, exclude_fields=EXCLUDED[feed])
    land(feed, "files", exclude_fields=EXCLUDED[feed])

    filed = {(c.record.contact_id, c.record.wa_id, c.record.row_hash) for c in read_contacts(tmp_path / "files")}
    assert set(query("SELECT contact_id, wa_id, row_hash FROM wacontacts_version")) == filed


@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_another_selection_resumes_no_attempt(
    people: Sandbox, land: Any, query: Any, monkeypatch: pytest.MonkeyPatch, feed: str
) -> None:
    monkeypatch.setattr(turn_load, "BATCH_ROWS", 1)
    people.fail(Fault(on="page" if feed == "turn" else "contacts", kind="html"))
    with pytest.raises(ContractError):
        land(feed, exclude_fields=EXCLUDED[feed])

    land(feed, exclude_fields=EXCLUDED[feed][:1])
    land(feed, include_fields=EXCLUDED[feed][:1])

    assert query("SELECT count(DISTINCT options_digest), max(resumes) FROM wacontacts_extraction") == [
        ({"turn": 3, "green_api": 2}[feed], 0)  # the snapshot's attempt begins when the list is there
    ]


def test_a_new_selection_adds_versions_and_old_ones_keep_their_fields(land: Any, query: Any) -> None:
    land("turn")
    versions = land("turn", exclude_fields=["details.name"])["new_versions"]

    assert versions > 0
    payloads = query("SELECT payload FROM wacontacts_version ORDER BY last_seen_at")
    assert sum('"name"' in payload for (payload,) in payloads) > 0


def test_fields_that_no_contact_has_are_logged_as_a_warning(land: Any, logged: Callable[[], str]) -> None:
    land("turn", exclude_fields=["details.name", "name"])
    assert "No contact has these fields of exclude_fields: name. Check their names" in logged()
