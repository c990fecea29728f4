"""Erasure of people by a task: from store and files of all feeds, permanently, and without personal data in logs."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from pyarrow.parquet import read_table
from sqlalchemy import create_engine, inspect, text

from airflow_provider_wacontacts.assets import store_asset
from airflow_provider_wacontacts.callbacks import record_callback
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks import green_api
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import pseudonymize
from airflow_provider_wacontacts.operators.green_api import (
    GreenApiContactsToObjectStorageOperator,
    GreenApiContactsToSqlOperator,
)
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator, EraseContactsOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToObjectStorageOperator, TurnContactsToSqlOperator
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.sandbox import ContactList, Sandbox, WhatsAppBehaviour, seeded_world
from tests.operators.outlets import outlet_events

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
DAYS = [MONDAY + timedelta(days=n) for n in range(3)]
SENDER, SECRET = "+12015550100", "example-pseudonym-secret"
SELECT = "SELECT wa_id FROM wanted"

Connect = Callable[..., None]


class Team:
    """Three systems with the same people, a store, files of both formats, and a list of those who want to go."""

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self.sandbox, self.root = sandbox, root
        self.engine = create_engine(f"sqlite:///{root}/store.db")
        self.anew = create_engine(f"sqlite:///{root}/anew.db")
        self.people: list[str] = []

    def run(self, operator: Any, day: datetime = MONDAY, run_id: str = "run") -> Any:
        ti = SimpleNamespace(dag_id="contacts", run_id=run_id, task_id=operator.task_id, map_index=-1)
        context: dict[str, Any] = {"ti": ti, "dag_run": SimpleNamespace(run_after=day), "outlet_events": {}}
        context |= {"data_interval_start": day, "data_interval_end": day + timedelta(days=1)}
        return operator.execute(context)

    def pull(self, run_id: str = "run", erased: str | None = None, **pseudonyms: Any) -> None:
        """Let every operator have every day."""
        files, turn, green = self.files, self._of("turn", pseudonyms), self._of("green_api", pseudonyms)
        for day in DAYS:
            self.run(TurnContactsToSqlOperator(task_id="turn", **turn), day, run_id)
            for kind in ("parquet", "jsonl.gz"):
                to_files: dict[str, Any] = {"path": f"{files}/{kind}", "file_format": kind, "erased_conn_id": erased}
                self.run(TurnContactsToObjectStorageOperator(task_id="turn_files", **to_files, **turn), day, run_id)
        self.run(GreenApiContactsToSqlOperator(task_id="green", **green), run_id=run_id)
        for kind in ("parquet", "jsonl.gz"):
            to_files = {"path": f"{files}/{kind}", "file_format": kind, "erased_conn_id": erased}
            self.run(GreenApiContactsToObjectStorageOperator(task_id="green_files", **to_files, **green), run_id=run_id)
        if not self.people:
            with self.engine.connect() as rows:
                found = rows.execute(text("SELECT DISTINCT wa_id FROM wacontacts_current WHERE source = 'turn'"))
                self.people = [wa_id for (wa_id,) in found]
        if not pseudonyms:
            numbers = [f"+{person}" for person in self.people]
            self.run(WhatsAppCheckContactsOperator(task_id="check", contacts=numbers), run_id=run_id)

    def land(self, store_conn_id: str = "wacontacts_store", run_id: str = "run") -> None:
        """Land every file."""
        for kind in ("parquet", "jsonl.gz"):
            path = f"{self.files}/{kind}"
            self.run(ContactFilesToSqlOperator(task_id="land", path=path, store_conn_id=store_conn_id), run_id=run_id)

    def erase(self, *people: str, **given: Any) -> dict[str, Any]:
        with self.engine.begin() as crm:
            crm.execute(text("CREATE TABLE IF NOT EXISTS wanted (wa_id text)"))
            crm.execute(text("DELETE FROM wanted"))
            for person in people:
                crm.execute(text("INSERT INTO wanted VALUES (:wa_id)"), {"wa_id": person})
        paths = [f"{self.files}/parquet", f"{self.files}/jsonl.gz"]
        done = self.run(EraseContactsOperator(task_id="erase", **{"contacts_sql": SELECT, "paths": paths} | given))
        with self.engine.begin() as crm:
            crm.execute(text("DROP TABLE wanted"))
        assert json.loads(json.dumps(done)) == done
        return dict(done)

    @property
    def files(self) -> str:
        return f"file://{self.root}/files"

    def found(self, what: str) -> set[str]:
        """Tell where a text is: in which tables, and in files."""
        engines = {"store": self.engine, "anew": self.anew}
        tables = {(name, table): self._rows(engine, table) for name, engine in engines.items() for table in _in(engine)}
        paths = [path for path in self.root.joinpath("files").rglob("*.*") if path.is_file()]
        files = {("file", str(path.relative_to(self.root))): self._read(path) for path in paths}
        return {" ".join(place) for place, kept in (tables | files).items() if what in kept}

    def _of(self, feed: str, pseudonyms: dict[str, Any]) -> dict[str, Any]:
        return {"pseudonymize": pseudonyms[feed], "pseudonym_conn_id": "wacontacts_store"} if pseudonyms else {}

    def _rows(self, engine: Any, table: str) -> str:
        with engine.connect() as connection:
            rows = [value for row in connection.execute(text(f"SELECT * FROM {table}")) for value in row]
        return "\n".join(v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in rows)

    def _read(self, path: Path) -> str:
        data = path.read_bytes()
        if path.suffix == ".parquet":
            return str(read_table(io.BytesIO(data)).to_pylist())
        if path.suffix != ".gz":
            return data.decode()
        lines = gzip.decompress(data).decode().splitlines()
        return "\n".join(line + str(base64.b64decode(json.loads(line).get("body_base64", ""))) for line in lines)


def ids_in(sandbox: Sandbox) -> list[str]:
    """WhatsApp ids that are Turn.io's contacts at some time."""
    return sorted({str(event.details["whatsapp_id"]) for event in sandbox.world})


def _in(engine: Any) -> list[str]:
    return [*inspect(engine).get_table_names(), *inspect(engine).get_view_names()]


@pytest.fixture
def team(connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    monkeypatch.setattr(green_api, "RATE_LIMITERS", RateLimiters(timedelta(0)))
    (tmp_path / "files").mkdir()
    with Sandbox(
        seeded_world(contacts=6, start=MONDAY, days=3),
        now=MONDAY + timedelta(days=3, hours=1),
        whatsapp=WhatsAppBehaviour(sender=SENDER, on_whatsapp=1.0, processing_share=0.0),
        contact_list=ContactList(),
    ) as sandbox:
        turn, green, business = sandbox, sandbox.green_api.behaviour, sandbox.whatsapp.behaviour
        connect("turn_default", conn_type="turn", host=turn.url, password=turn.token)
        fields: dict[str, Any] = {"login": green.id_instance, "password": green.token}
        connect("green_api_default", conn_type="green_api", host=turn.url, **fields)
        fields = {"password": business.token, "extra": {"auth": "bearer", "sender": SENDER}}
        connect("whatsapp_business_default", conn_type="whatsapp_business", host=turn.url, **fields)
        connect("wacontacts_store", conn_type="sqlite", host=f"{tmp_path}/store.db")
        connect("anew", conn_type="sqlite", host=f"{tmp_path}/anew.db")
        own = Team(sandbox, tmp_path)
        for person in ids_in(sandbox):
            sandbox.green_api.put(f"{person}@c.us", name="Ann")
        sandbox.green_api.put("120363043968066561@g.us", name="Choir")
        yield own


def test_erased_people_stay_out_after_new_syncs_and_loads(team: Team) -> None:
    team.pull()
    team.land("anew")
    bob, eve, *_ = team.people
    assert len(team.found(bob)) > 12

    summary = team.erase(bob)

    assert (summary["people"], summary["contacts"], summary["numbers"], summary["results"]) == (1, 2, 1, 1)
    assert summary["versions"] >= 2
    assert (summary["extractions"], summary["file_rows"] >= 4, summary["unfinished"]) == (8, True, 0)
    assert {place for place in team.found(bob) if not place.startswith("anew")} == set()

    team.pull("again")
    team.land(run_id="again")
    assert {place.split()[0] for place in team.found(bob)} == {"anew", "file"}
    assert team.erase()["file_rows"] >= 4
    assert team.erase(bob, store_conn_id="anew", contacts_conn_id="wacontacts_store")["contacts"] == 2
    team.land()
    team.land("anew", run_id="again")

    assert team.found(bob) == set()
    assert len(team.found(eve)) > 12


def test_erased_people_are_not_written_to_files_with_erased_conn_id(team: Team) -> None:
    team.pull()
    bob, eve, *_ = team.people
    team.erase(bob)
    team.pull("again", erased="wacontacts_store")
    team.land("anew")

    assert team.found(bob) == set()
    assert len(team.found(eve)) > 12
    assert team.erase()["file_rows"] == 0


def test_pseudonyms_of_erased_people_are_not_written_to_files_with_erased_conn_id(
    team: Team, connect: Connect, tmp_path: Path
) -> None:
    connect("wacontacts_store", conn_type="sqlite", host=f"{tmp_path}/store.db", extra={"pseudonym_secret": SECRET})
    team.people = ids_in(team.sandbox)
    team.erase(team.people[0], paths=())
    team.pull(erased="wacontacts_store", turn=["uuid", "details.whatsapp_id"], green_api=["id"])
    bob, eve, *_ = (pseudonymize(Identifier(Kind.WA_ID, person), SECRET.encode()) for person in team.people)

    assert (team.found(bob), team.found(team.people[0]), len(team.found(eve)) > 5) == (set(), set(), True)


def test_a_store_rebuilt_from_files_has_no_erased_people(team: Team) -> None:
    team.pull()
    bob, eve, *_ = team.people
    team.erase(f"+{bob}")
    team.land("anew")
    assert team.found(bob) == set()
    assert "anew wacontacts_current" in team.found(eve)


def test_pseudonymized_rows_and_files_are_erased_by_the_number(team: Team, connect: Connect, tmp_path: Path) -> None:
    connect("wacontacts_store", conn_type="sqlite", host=f"{tmp_path}/store.db", extra={"pseudonym_secret": SECRET})
    team.people = ids_in(team.sandbox)
    fields = {"turn": ["uuid", "details.whatsapp_id"], "green_api": ["id"]}
    team.pull(**fields)
    bob, eve, *_ = (pseudonymize(Identifier(Kind.WA_ID, person), SECRET.encode()) for person in team.people)
    assert len(team.found(bob)) > 5

    summary = team.erase(team.people[0])
    team.pull("again", **fields)
    team.erase()

    assert summary["contacts"] == 2
    assert (team.found(bob), team.found(team.people[0]), len(team.found(eve)) > 5) == (set(), set(), True)


def test_a_callback_about_an_erased_person_stores_nothing(team: Team, connect: Connect, tmp_path: Path) -> None:
    connect("wacontacts_store", conn_type="sqlite", host=f"{tmp_path}/store.db", extra={"pseudonym_secret": SECRET})
    team.erase("12015550123")
    body = {"contacts": [{"input": "+12015550123", "status": "valid", "wa_id": "12015550123"}]}
    record_callback(team.engine, SENDER, json.dumps(body), pseudonym_secret=SECRET)
    assert team.found("12015550123") == set()


def test_both_columns_are_read_and_nulls_are_ignored(team: Team) -> None:
    columns = "SELECT '12015550123' AS wa_id, '+1 201-555-0124' AS number UNION ALL SELECT NULL, '+12015550123'"
    assert team.erase(contacts_sql=columns, paths=())["people"] == 2


def test_each_kind_of_identifier_has_a_column_and_unreadable_ones_can_be_ignored(team: Team) -> None:
    columns = """
        SELECT '+12015550123' AS number, '1@lid' AS lid, 'US.1' AS user_id, '120363043968294520@g.us' AS group_id,
            'f6c4e666' AS contact_id
        UNION ALL SELECT 'nobody', NULL, NULL, NULL, NULL
    """
    summary = team.erase(contacts_sql=columns, paths=(), ignore_unreadable=True)
    assert (summary["people"], summary["unreadable"]) == (5, 1)
    with team.engine.connect() as rows:
        assert rows.execute(text("SELECT count(*) FROM wacontacts_erased")).scalar() == 5


def test_a_dry_run_has_the_counts_of_the_erasure_and_changes_nothing(team: Team) -> None:
    team.pull()
    bob, eve, *_ = team.people
    before = {person: team.found(person) for person in team.people}

    counted = team.erase(bob, dry_run=True)
    after = {person: team.found(person) for person in team.people}
    erased = team.erase(bob)

    assert before == after
    assert (counted.pop("dry_run"), erased.pop("dry_run")) == (True, False)
    assert counted == erased
    assert min(counted[name] for name in ("people", "contacts", "versions", "numbers", "results", "file_rows")) > 0
    assert (team.found(bob), len(team.found(eve)) > 5) == (set(), True)


def test_variants_are_counted_and_erased_only_with_include_variants(team: Team) -> None:
    team.run(WhatsAppCheckContactsOperator(task_id="check", contacts=["+5511987654321"]))
    for include, numbers in ((False, 0), (True, 1)):
        summary = team.erase("551187654321", paths=(), include_variants=include)
        assert (summary["variants"], summary["numbers"]) == (1, numbers)
    assert team.found("5511987654321") == set()


@pytest.mark.parametrize(
    "arguments", [{"max_linked": -1}, {"max_linked": "3"}, {"dry_run": "False"}, {"include_variants": 1}]
)
def test_an_invalid_argument_fails_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        EraseContactsOperator(task_id="erase", contacts_sql=SELECT, **arguments)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1 AS id", "no column 'number' or 'wa_id' or 'lid'"),
        ("SELECT '2015550123 or so' AS number UNION SELECT '12015550123'", "1 of 2 IDs is invalid"),
        ("SELECT '12015550123' AS lid", "1 of 1 IDs is invalid"),
        ("SELECT '020 7946 0958' AS number", "Nothing was erased"),
    ],
)
def test_a_query_without_valid_ids_fails_without_retries_and_changes_nothing(team: Team, sql: str, said: str) -> None:
    with pytest.raises(AirflowFailException, match=said) as failed:
        team.erase(contacts_sql=sql)
    assert ("5550123" in str(failed.value), inspect(team.engine).has_table("wacontacts_erased")) == (False, False)


def test_no_identifier_is_logged_returned_or_raised(
    team: Team, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    team.pull()
    bob, eve, *_ = team.people
    caplog.set_level("DEBUG")
    summary = team.erase(bob, eve)
    next(team.root.joinpath("files").rglob("part-*")).write_bytes(b"broken")
    with pytest.raises(Exception, match="does not match its manifest") as failed:
        team.erase(team.people[2])
    told = "".join((*capfd.readouterr(), caplog.text, json.dumps(summary), str(failed.getrepr(chain=True))))
    assert [person in told for person in team.people[:2]] == [False, False]
    assert "Erased 2 people" in told


def test_the_event_of_an_asset_carries_the_summary(team: Team) -> None:
    outlet = store_asset("wacontacts_store")
    events = outlet_events()
    operator = EraseContactsOperator(task_id="erase", contacts_sql="SELECT '12015550123' AS wa_id", outlets=[outlet])
    summary = operator.execute({"outlet_events": events})
    assert events[outlet].extra == summary


def test_template_fields_are_as_documented() -> None:
    assert EraseContactsOperator.template_fields == (
        *("contacts_sql", "contacts_conn_id", "paths", "iceberg_tables", "iceberg_conn_id", "store_conn_id"),
    )
