"""Contacts of both feeds with pseudonyms: no original value is stored, and the feeds still join."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import re
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from sqlalchemy import create_engine, inspect, text

from airflow_provider_wacontacts.exceptions import ContractError
from airflow_provider_wacontacts.files import read_contacts
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator
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

SECRET = "example-pseudonym-secret-3f9a51"
FIELDS = {
    "turn": [
        "uuid",
        "details.whatsapp_id",
        "details.name",
        "details.surname",
        "details.whatsapp_profile_name",
        "details.location",
    ],
    "green_api": ["id", "name", "contactName"],
}
DAY = (datetime(2022, 9, 12, tzinfo=UTC), datetime(2022, 9, 13, tzinfo=UTC))
#: Rows that are none, in which the fields are nevertheless.
ODD = (
    '{"name": "Zorblatt"}',
    '{"id": 447700900001, "name": "Zorblatt"}',
    '{"id": "447700900002@c.us", "name": "Zorblatt", "n": NaN}',
    '["447700900003@c.us"]',
    '"Zorblatt"',
)
ODD_TURN = [{"details": {"name": "Zorblatt", "whatsapp_id": "447700900001"}}, ["Zorblatt"], "447700900002"]

Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def people(green: Sandbox, connect: Connect, store_path: Path) -> Sandbox:
    """Forty people who are in both feeds, and rows of theirs that are none."""
    green.load(
        seeded_world(contacts=40, days=1),
        now=DAY[1] + timedelta(minutes=10),
        behaviour=TurnBehaviour(page_size=10),
        green_api=GreenApiBehaviour(odd_rows=ODD),
        contact_list=seeded_contact_list(contacts=40, days=1),
    )
    connect("turn_default", conn_type="turn", host=green.url, password=green.token)
    connect("wacontacts_store", conn_type="sqlite", host=str(store_path), extra={"pseudonym_secret": SECRET})
    return green


@pytest.fixture
def land(people: Sandbox, context: Context, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Land one of the feeds into store or files."""

    def do(feed: str, where: str, **given: Any) -> dict[str, Any]:
        given = {"pseudonymize": FIELDS[feed], "max_rejected": 1.0} | given
        files = tmp_path / "files"
        if feed == "green_api":
            operator = to_store(**given) if where == "store" else to_files(files, **given)
            return operator.execute(context(None, None))
        if where == "store":
            return TurnContactsToSqlOperator(task_id="pull", **given).execute(context(*DAY))
        into_files = TurnContactsToObjectStorageOperator(task_id="pull", path=f"file://{files}", **given)
        return into_files.execute(context(*DAY))

    return do


@pytest.fixture
def written(store_path: Path, tmp_path: Path) -> Callable[[str], str]:
    """Read all that was written: every column of every table of the store, or every file."""

    def read(where: str) -> str:
        if where == "files":
            paths = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
            return "\n".join(f"{path} {unpacked(path)}" for path in paths)
        engine = create_engine(f"sqlite:///{store_path}")
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            found = [repr(row) for table in tables for row in connection.execute(text(f"SELECT * FROM {table}"))]
        engine.dispose()
        return "\n".join(found)

    return read


def unpacked(path: Path) -> str:
    data = path.read_bytes()
    told = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    bodies = re.findall(r'"body_base64":"([^"]*)"', told)
    return told + "".join(b64decode(body).decode() for body in bodies)


def personal(people: Sandbox) -> re.Pattern[str]:
    """Match what no pseudonym may leave behind."""
    listed = {one for one in people.green_api.personal_texts() if len(one) > 4}
    users = {event.details["whatsapp_id"] for event in people.world if event.details}
    uuids = {event.uuid for event in people.world}
    return re.compile("|".join(map(re.escape, {"Zorblatt", "44770090", *NAMES, *SURNAMES, *listed, *users, *uuids})))


def hashed(value: str, label: str = "wa_id", prefix: str = "p1_") -> str:
    return prefix + hmac.new(SECRET.encode(), f"1\0{label}\0{value}".encode(), hashlib.sha256).hexdigest()


def hashed_id(contact_id: str) -> str:
    """The pseudonym of a GREEN-API contact's id; one that is no identifier has that of its field."""
    local, _, domain = contact_id.partition("@")
    label = {"c.us": "wa_id", "g.us": "group", "lid": "lid"}[domain]
    if label == "wa_id" and not (local.isdecimal() and 7 <= len(local) <= 15):
        return f"{hashed(contact_id, 'field id', 'f1_')}@{domain}"
    return f"{hashed(local, label)}@{domain}"


@pytest.mark.parametrize("where", ["store", "files"])
@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_original_values_are_written_nowhere_not_even_in_rejects(
    people: Sandbox, land: Any, written: Any, *, feed: str, where: str
) -> None:
    people.fail(Fault(on="page", kind="body", body=json.dumps({"data": [*ODD_TURN, *contacts_of(people)]})))

    summary = land(feed, where)

    assert (summary["rows"] >= 32, summary["rejected"]) == (True, {"turn": 3, "green_api": 5}[feed])
    assert set(personal(people).findall(written(where))) == set()


def contacts_of(people: Sandbox) -> list[dict[str, Any]]:
    return [
        {"uuid": event.uuid, "updated_at": "2022-09-12T08:00:00Z", "details": dict(event.details or {})}
        for event in people.world
    ]


@pytest.mark.parametrize("where", ["store", "files"])
@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_the_search_finds_original_values_without_pseudonyms(
    people: Sandbox, land: Any, written: Any, *, feed: str, where: str
) -> None:
    """Else the test above has shown nothing."""
    land(feed, where, pseudonymize=None)

    assert len(set(personal(people).findall(written(where)))) > 30


@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_store_and_files_have_the_same_contacts(land: Any, query: Query, tmp_path: Path, feed: str) -> None:
    land(feed, "store")
    land(feed, "files")

    filed = {
        (one.record.contact_id, one.record.wa_id, one.record.row_hash) for one in read_contacts(tmp_path / "files")
    }
    assert set(query("SELECT contact_id, wa_id, row_hash FROM wacontacts_version")) == filed


def test_the_feeds_join_by_the_pseudonym_of_the_wa_id(people: Sandbox, land: Any, query: Query) -> None:
    land("turn", "store")
    land("green_api", "store")

    both = {
        wa_id
        for (wa_id,) in query(
            "SELECT t.wa_id FROM wacontacts_current t JOIN wacontacts_current g ON g.wa_id = t.wa_id"
            " WHERE t.source = 'turn' AND g.source = 'green_api'"
        )
    }
    in_turn = {event.details["whatsapp_id"] for event in people.truth() if event.details}
    in_green = {row["id"].removesuffix("@c.us") for row in people.green_api.rows() if row["id"].endswith("@c.us")}
    assert both == {hashed(wa_id) for wa_id in in_turn & in_green}
    assert len(both) >= 20


def test_ids_of_groups_and_hidden_ids_are_pseudonyms_of_their_kind(people: Sandbox, land: Any, query: Query) -> None:
    land("green_api", "store")

    assert sorted(query("SELECT contact_id FROM wacontacts_current")) == sorted(
        (hashed_id(row["id"]),) for row in people.green_api.rows()
    )
    assert query(
        "SELECT count(*) FROM wacontacts_current WHERE wa_id IS NOT NULL AND contact_id NOT LIKE '%@c.us'"
    ) == [(0,)]


def test_a_second_snapshot_has_no_new_versions_and_rejects_are_not_gone(people: Sandbox, land: Any) -> None:
    people.green_api.change(odd_rows=())
    people.green_api.put("447700900002@c.us", name="Zorblatt")
    first = land("green_api", "store")
    people.clock.advance(60)
    people.green_api.remove("447700900002@c.us")
    people.green_api.change(odd_rows=ODD)

    second = land("green_api", "store")

    assert (second["rows"], second["new_versions"], second["gone"], second["rejected"]) == (first["rows"] - 1, 0, 0, 5)


@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_files_are_loaded_into_a_store_unchanged(
    land: Any, connect: Connect, context: Context, tmp_path: Path, *, dump_store: Any, store_path: Path, feed: str
) -> None:
    connect("anew", conn_type="sqlite", host=str(tmp_path / "anew.db"))
    account = f"{feed}_default"
    land(feed, "store")
    land(feed, "files")

    ContactFilesToSqlOperator(task_id="land", path=f"file://{tmp_path}/files", store_conn_id="anew").execute(
        context(None, None)
    )

    stores = [create_engine(f"sqlite:///{path}") for path in (store_path, tmp_path / "anew.db")]
    direct, anew = (dump_store(store, account) for store in stores)
    assert anew == direct
    assert len(direct["current"]) >= 30


def test_a_contact_whose_row_is_rejected_is_not_gone_when_files_are_loaded(
    people: Sandbox, land: Any, connect: Connect, context: Context, tmp_path: Path
) -> None:
    connect("anew", conn_type="sqlite", host=str(tmp_path / "anew.db"))
    people.green_api.change(odd_rows=())
    people.green_api.put("447700900002@c.us", name="Zorblatt")
    land("green_api", "files")
    people.clock.advance(60)
    people.green_api.remove("447700900002@c.us")
    people.green_api.change(odd_rows=ODD)
    land("green_api", "files")

    landing = ContactFilesToSqlOperator(task_id="land", path=f"file://{tmp_path}/files", store_conn_id="anew")

    assert landing.execute(context(None, None))["gone"] == 0


def test_a_retry_resumes_from_the_last_checkpoint(
    people: Sandbox, land: Any, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_load, "BATCH_ROWS", 1)
    people.fail(Fault(on="page", kind="html", skip=2))

    with pytest.raises(ContractError):
        land("turn", "store")
    landed = query("SELECT count(*) FROM wacontacts_current")[0][0]
    summary = land("turn", "store")

    people_there = len({event.uuid for event in people.truth()})
    assert 0 < landed < people_there
    assert summary["rows"] < people_there
    assert query("SELECT count(*) FROM wacontacts_current") == [(people_there,)]
    assert query("SELECT state, resumes FROM wacontacts_extraction ORDER BY resumes") == [
        ("failed", 0),
        ("complete", 1),
    ]


@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_a_retry_with_other_pseudonymized_fields_does_not_resume(
    people: Sandbox, land: Any, query: Query, monkeypatch: pytest.MonkeyPatch, *, feed: str
) -> None:
    monkeypatch.setattr(turn_load, "BATCH_ROWS", 1)
    people.fail(Fault(on="page" if feed == "turn" else "contacts", kind="html", skip=2 if feed == "turn" else 0))
    with pytest.raises(ContractError):
        land(feed, "store")

    land(feed, "store", pseudonymize=FIELDS[feed][:1])

    assert query("SELECT max(resumes) FROM wacontacts_extraction") == [(0,)]


@pytest.mark.parametrize("where", ["store", "files"])
@pytest.mark.parametrize("feed", ["turn", "green_api"])
@pytest.mark.parametrize(
    ("extra", "given"),
    [
        ({}, {}),
        ({"pseudonym_secret": ""}, {}),
        ({"pseudonym_secret": SECRET}, {"pseudonym_conn_id": "nobody"}),
    ],
    ids=["no secret", "an empty secret", "no connection"],
)
def test_without_a_secret_the_task_fails_without_a_request(
    people: Sandbox, connect: Connect, *, land: Any, feed: str, where: str, extra: Any, given: Any, tmp_path: Path
) -> None:
    connect("wacontacts_store", conn_type="sqlite", host=str(tmp_path / "untouched.db"), extra=extra)

    with pytest.raises(AirflowFailException, match=r"ConfigError: .*(pseudonym|not defined)"):
        land(feed, where, **given)

    assert people.requests.count() == 0
    assert [path.name for path in tmp_path.iterdir() if path.name in {"untouched.db", "files"}] == []


def test_pseudonym_conn_id_selects_the_secret(land: Any, connect: Connect, query: Query) -> None:
    connect("keys", conn_type="generic", extra={"pseudonym_secret": "another-example-pseudonym-secret"})
    land("green_api", "store", pseudonym_conn_id="keys", account="keys")
    land("green_api", "store", account="own")

    by_keys, by_own = (
        {contact_id for (contact_id,) in query(f"SELECT contact_id FROM wacontacts_current WHERE account = '{name}'")}
        for name in ("keys", "own")
    )
    assert len(by_keys) == len(by_own)
    assert by_keys.isdisjoint(by_own)


@pytest.mark.parametrize("where", ["store", "files"])
@pytest.mark.parametrize("feed", ["turn", "green_api"])
def test_the_secret_is_in_no_log_file_table_summary_or_error(
    people: Sandbox, land: Any, written: Any, logged: Callable[[], str], *, feed: str, where: str
) -> None:
    kept = [repr(land(feed, where))]
    people.fail(Fault(on="any", kind="html", every=1))
    with pytest.raises(ContractError) as raised:
        land(feed, where)
    kept += [repr(raised.value), repr(vars(raised.value)), str(raised.getrepr(showlocals=False)), written(where)]
    kept.append(logged())

    assert [place for place in kept if SECRET in place] == []
