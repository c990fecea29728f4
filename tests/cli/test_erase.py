"""`wacontacts store erase`."""

import dataclasses
import io
import json
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from stat import S_IMODE

import airflow
import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.files import ExtractionWriter, read_contacts
from airflow_provider_wacontacts.pipelines.erasure import ErasureSummary
from airflow_provider_wacontacts.records.record import Reject
from airflow_provider_wacontacts.records.turn import parse_page
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey, upgrade

BOB, EVE = "12015550123", "12015550124"
MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
COUNTS = [field.name for field in dataclasses.fields(ErasureSummary)]


@pytest.fixture
def erase(tmp_path, monkeypatch, capsys):
    """Run `wacontacts store erase` on a store of its own, with lines on standard input."""
    url = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("STORE_URL", url)
    upgrade(create_engine(url))

    def run(*arguments, lines="", place=("--url-env", "STORE_URL"), command=("erase",)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode("utf-8", "surrogateescape"))))
        code = cli.main(["store", *command, *place, *arguments])
        return code, *capsys.readouterr()

    return run


def hashes(tmp_path):
    with create_engine(f"sqlite:///{tmp_path}/store.db").connect() as connection:
        return connection.execute(text("SELECT count(*) FROM wacontacts_erased")).scalar()


def test_ids_on_standard_input_are_erased_and_counted(erase, tmp_path):
    code, out, _ = erase("--json", lines=f"{BOB}\n\n +1 (201) 555-0124 \n{EVE}@c.us\n")

    assert (code, hashes(tmp_path)) == (0, 2)
    assert json.loads(out) == dataclasses.asdict(ErasureSummary(people=2))


def test_a_byte_order_mark_is_ignored_and_an_undecodable_line_is_counted(erase):
    assert erase("--json", lines="\ufeffUS.1349\r\n")[0] == 0
    code, _, problem = erase(lines=f"{BOB}\n+1201\udcff5550123\n")
    assert (code, "1 of 2 IDs is invalid" in problem, "5550123" in problem) == (1, True, False)


def test_the_counts_are_printed_as_text_by_default(erase):
    assert erase(lines=BOB)[:2] == (0, "\n".join(f"{int(name == 'people'):>9} {name}" for name in COUNTS) + "\n")


def test_files_below_each_path_are_rewritten(erase, tmp_path):
    for name in ("one", "two"):
        with ExtractionWriter(
            tmp_path / name,
            source="turn",
            account="main",
            window=Window(MONDAY, MONDAY + timedelta(days=1)),
            task=TaskInstanceKey("dag", "run", "task"),
            package_version="1",
        ) as extraction:
            known = {"updated_at": "2022-09-12T08:00:00Z"}
            rows = [{"uuid": one, "details": {"whatsapp_id": one}} | known for one in (BOB, EVE)]
            extraction.write(parse_page(json.dumps({"data": rows}).encode()))
            extraction.finish(extracted_at=MONDAY, finished_at=MONDAY, lossy=False)

    _, out, _ = erase("--json", "--path", f"{tmp_path}/one", "--path", f"file://{tmp_path}/two", lines=BOB)

    assert {name: count for name, count in json.loads(out).items() if count} == {
        "people": 1,
        "extractions": 2,
        "files": 2,
        "file_rows": 2,
    }
    kept = [contact.record.wa_id for name in ("one", "two") for contact in read_contacts(tmp_path / name)]
    assert kept == [EVE, EVE]


def load(tmp_path, *people, run="run"):
    """Load contacts into the store."""
    store = Store(create_engine(f"sqlite:///{tmp_path}/store.db"))
    task = TaskInstanceKey("dag", run, "task")
    window = Window(MONDAY, MONDAY + timedelta(days=1))
    own = {"source": "turn", "account": "main", "options_digest": "", "package_version": "1"}
    extraction = store.begin(window=window, task=task, **own)
    rows = [{"uuid": one, "updated_at": "2022-09-12T08:00:00Z", "details": {"whatsapp_id": one}} for one in people]
    records, _ = parse_page(json.dumps({"data": rows}).encode()).records()
    rejects = [Reject("no time", f'{{"whatsapp_id": "{one}"}}'.encode()) for one in people]
    extraction.write(records, rejects, position=None, pages=1, size=1, extracted_at=window.end)
    extraction.finish()


def left(tmp_path):
    with create_engine(f"sqlite:///{tmp_path}/store.db").connect() as connection:
        return set(connection.execute(text("SELECT contact_id FROM wacontacts_version")).scalars())


def test_a_dry_run_erases_nothing(erase, tmp_path):
    load(tmp_path, BOB, EVE)
    _, out, _ = erase("--json", "--dry-run", lines=f"{BOB}\n")
    counts = {name: count for name, count in json.loads(out).items() if count}
    assert counts == {"dry_run": True, "people": 1, "contacts": 1, "versions": 1, "rejects": 1}
    assert (left(tmp_path), hashes(tmp_path)) == ({BOB, EVE}, 0)


def test_an_invalid_line_can_be_ignored_and_is_counted(erase, tmp_path):
    code, out, _ = erase("--json", "--ignore-unreadable", lines=f"{BOB}\nnobody\n")
    assert (code, json.loads(out)["unreadable"], hashes(tmp_path)) == (0, 1, 1)


def test_the_data_of_a_person_is_exported_to_a_private_file(erase, tmp_path):
    load(tmp_path, BOB, EVE)
    output = tmp_path / "bob.json"
    own = {"command": ("export-person",), "lines": f"{BOB}\n"}

    code, out, _ = erase("--json", "--output", str(output), **own)

    exported = json.loads(output.read_bytes())
    assert (code, S_IMODE(output.stat().st_mode)) == (0, 0o600)
    assert json.loads(out) == {name: len(rows) for name, rows in exported.items()}
    assert exported["identifiers"] == [{"kind": "wa_id", "value": BOB}]
    assert [row["contact_id"] for row in exported["wacontacts_version"]] == [BOB]
    assert BOB in exported["wacontacts_reject"][0]["body"]
    assert EVE not in output.read_text()
    code, out, err = erase("--output", str(output), **own)
    assert (code, out, "exists" in err, BOB in err) == (1, "", True, False)


def test_a_suppression_list_can_be_applied_after_a_restore_from_a_backup(erase, tmp_path):
    load(tmp_path, BOB, EVE)
    store, backup, kept = tmp_path / "store.db", tmp_path / "backup.db", tmp_path / "suppressed.json"
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    erase(lines=BOB)
    code, out, _ = erase("--output", str(kept), "--json", command=("suppression", "export"))
    assert (code, json.loads(out), S_IMODE(kept.stat().st_mode)) == (0, {"hashes": 2}, 0o600)
    assert BOB not in kept.read_text()

    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(store)) as target:
        source.backup(target)
    assert left(tmp_path) == {BOB, EVE}
    code, out, _ = erase("--input", str(kept), "--json", command=("suppression", "apply"))

    assert code == 0
    assert {name: count for name, count in json.loads(out).items() if count} == {
        "added": 2,
        "contacts": 1,
        "versions": 1,
        "rejects": 1,
    }
    assert left(tmp_path) == {EVE}
    load(tmp_path, BOB, EVE, run="again")
    assert left(tmp_path) == {EVE}
    _, out, _ = erase("--input", str(kept), "--json", command=("suppression", "apply"))
    assert not any(json.loads(out).values())


@pytest.mark.parametrize("data", [b"", b"[]", b'{"hashes":[{"key_id":1}]}', b"\xff", b"[" * 10_000])
def test_an_invalid_suppression_list_changes_nothing(erase, tmp_path, data):
    (tmp_path / "list.json").write_bytes(data)
    code, out, err = erase("--input", f"{tmp_path}/list.json", command=("suppression", "apply"))
    assert (code, out, hashes(tmp_path)) == (1, "", 0)
    assert "wacontacts store suppression export" in err


def test_the_secret_is_read_from_the_connection_or_the_environment(erase, tmp_path, monkeypatch):
    extra = {"pseudonym_secret": "example-pseudonym-secret"}
    connection = {"conn_type": "sqlite", "host": f"{tmp_path}/store.db", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(connection))
    monkeypatch.setenv("SECRET", "example-pseudonym-secret")
    place = ("--conn-id", "lake")

    assert erase(lines=BOB, place=place)[0] == 0
    assert erase("--secret-env", "SECRET", lines=EVE)[0] == 0
    code, out, err = erase(lines=EVE)
    assert (code, out, "pseudonym_secret" in err, hashes(tmp_path)) == (1, "", True, 2)


@pytest.mark.parametrize("line", ["bob", "020 7946 0958", "123", f"{BOB}x"])
def test_an_invalid_line_erases_nothing_and_is_not_shown(erase, tmp_path, line):
    code, out, err = erase(lines=f"{BOB}\n{line}\n")

    assert (code, out, hashes(tmp_path)) == (1, "", 0)
    assert err.startswith("wacontacts: 1 of 2 IDs is invalid")
    assert BOB not in err
    assert line not in err.replace("nobody", "")


def test_an_erasure_creates_no_tables(erase, monkeypatch, tmp_path):
    monkeypatch.setenv("STORE_URL", f"sqlite:///{tmp_path}/typo.db")
    code, _, err = erase(lines=BOB)
    assert (code, "wacontacts store upgrade" in err) == (1, True)


def test_the_error_of_an_unknown_path_names_only_its_scheme(erase):
    code, _, err = erase("--path", "nosuch://user:secret-word@host/people", lines=BOB)
    told = "--path begins with nosuch://, which no installed package reads."
    told += " Correct it, or install its package."
    if airflow.__version__ < "3.2":  # whose paths find out when they are read
        told = "the path could not be listed (ValueError)"
    assert code == 1
    assert err.startswith(f"wacontacts: {told}")
