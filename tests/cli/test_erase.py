"""`wacontacts store erase`."""

import dataclasses
import io
import json
import sys
from datetime import UTC, datetime, timedelta

import airflow
import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.files import ExtractionWriter, read_contacts
from airflow_provider_wacontacts.pipelines.erasure import ErasureSummary
from airflow_provider_wacontacts.records.turn import parse_page
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import TaskInstanceKey, upgrade

BOB, EVE = "12015550123", "12015550124"
MONDAY = datetime(2022, 9, 12, tzinfo=UTC)
COUNTS = [field.name for field in dataclasses.fields(ErasureSummary)]


@pytest.fixture
def erase(tmp_path, monkeypatch, capsys):
    """Run `wacontacts store erase` on a store of its own, with lines on standard input."""
    url = f"sqlite:///{tmp_path}/store.db"
    monkeypatch.setenv("STORE_URL", url)
    upgrade(create_engine(url))

    def run(*arguments, lines="", place=("--url-env", "STORE_URL")):
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        code = cli.main(["store", "erase", *place, *arguments])
        return code, *capsys.readouterr()

    return run


def hashes(tmp_path):
    with create_engine(f"sqlite:///{tmp_path}/store.db").connect() as connection:
        return connection.execute(text("SELECT count(*) FROM wacontacts_erased")).scalar()


def test_ids_on_standard_input_are_erased_and_counted(erase, tmp_path):
    code, out, _ = erase("--json", lines=f"{BOB}\n\n +1 (201) 555-0124 \n{EVE}@c.us\n")

    assert (code, hashes(tmp_path)) == (0, 2)
    assert json.loads(out) == dataclasses.asdict(ErasureSummary(people=2))


def test_the_counts_are_for_people_by_default(erase):
    assert erase(lines=BOB)[:2] == (0, "\n".join(f"{int(name == 'people'):>9} {name}" for name in COUNTS) + "\n")


def test_files_below_each_path_are_written_anew(erase, tmp_path):
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


def test_the_store_of_a_connection_has_its_own_secret(erase, tmp_path, monkeypatch):
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
def test_a_line_that_is_no_id_erases_nobody_and_is_not_repeated(erase, tmp_path, line):
    code, out, err = erase(lines=f"{BOB}\n{line}\n")

    assert (code, out, hashes(tmp_path)) == (1, "", 0)
    assert err.startswith("wacontacts: 1 of 2 IDs is invalid")
    assert BOB not in err
    assert line not in err.replace("nobody", "")


def test_an_erasure_makes_no_tables(erase, monkeypatch, tmp_path):
    monkeypatch.setenv("STORE_URL", f"sqlite:///{tmp_path}/typo.db")
    code, _, err = erase(lines=BOB)
    assert (code, "wacontacts store upgrade" in err) == (1, True)


def test_a_path_that_nothing_can_read_is_named_by_its_kind(erase):
    code, _, err = erase("--path", "nosuch://user:secret-word@host/people", lines=BOB)
    told = "`--path` begins with 'nosuch://', which no installed file system reads."
    told += " Correct it, or install the provider of that storage."
    if airflow.__version__ < "3.2":  # whose paths find out when they are read
        told = "the path could not be listed (ValueError)"
    assert (code, err) == (1, f"wacontacts: {told}\n")
