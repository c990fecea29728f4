"""Nothing that Airflow stores contains personal data or secrets, with logging at DEBUG."""

import re
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from tests.leaks.capture import leaks_in

#: Shorter texts stand in words by chance.
SHORTEST = 6
#: What a URL of the export has in it; none belongs in a log.
URL = "/v1/data/contacts"
#: Tables of the store that are there to hold contacts, and the one that a DAG hands them on to.
CONTACTS = (
    *("wacontacts_contact_version", "wacontacts_contact_payload", "wacontacts_contact_current"),
    "wacontacts_rejected_row",
    *("wacontacts_number", "wacontacts_check_result", "wacontacts_identity", "whatsapp_ids"),
)
COMPONENTS = ("api-server", "dag-processor", "scheduler", "triggerer")


@pytest.fixture(scope="module")
def needles(runs):
    """Every text that must not be found: tokens, passwords, names and numbers of all worlds."""
    personal = set().union(runs.given, *(sandbox.world.personal_texts() for sandbox in runs.sandboxes))
    return runs.secrets | {needle for needle in personal if len(needle) >= SHORTEST}


@pytest.fixture(scope="module")
def secrets(needles):
    """A pattern that finds each of the needles."""
    return re.compile("|".join(sorted(map(re.escape, needles), key=len, reverse=True)), re.IGNORECASE)


def contents(folder, pattern="**/*"):
    return {path: path.read_text(errors="replace") for path in Path(folder).glob(pattern) if path.is_file()}


def tables_of(engine, unless=()):
    """Return every row of every table, as text, by the table's name."""
    with engine.connect() as connection:
        names = [name for name in inspect(engine).get_table_names() if name not in unless]
        return {name: "\n".join(map(_row_text, connection.execute(text(f'SELECT * FROM "{name}"')))) for name in names}


def _row_text(row):
    values = (bytes(v).decode("latin-1") if isinstance(v, (bytes, memoryview)) else str(v) for v in row)
    return "\t".join(values)


def test_there_are_secrets_to_search_for(needles, runs):
    numbers = {needle for needle in needles if needle.isdigit()}
    assert len(numbers) >= len(runs.sandbox.world)
    assert len(needles) > len(numbers) + 10


def test_the_search_covers_all_numbers_and_tokens(needles, runs):
    known = runs.rows("SELECT input, number, wa_id FROM wacontacts_check_result WHERE number IS NOT NULL")
    texts = {value.strip("+") for row in known for value in row if value}
    assert len(texts) > 100
    assert [value for value in texts if not any(value.endswith(needle.strip("+")) for needle in needles)] == []
    assert runs.whatsapp.requests.count("login") >= 3
    assert sum(needle.startswith("example-token-") for needle in needles) >= 3


def test_the_search_finds_known_secrets(runs, secrets):
    assert len(secrets.findall(str(runs.rows("SELECT payload FROM wacontacts_current")))) > 60
    assert len(secrets.findall(f"xx{runs.sandbox.token}xx")) == 1
    checked = runs.rows("SELECT input, number, wa_id FROM wacontacts_check_result")
    assert len(secrets.findall(str(checked))) > 200


def test_no_task_log_leaks(runs, secrets):
    logs = contents(runs.airflow.logs, "dag_id=*/**/*.log*")
    assert len(logs) >= 36
    assert any("trigger" in path.name for path in logs)
    assert sum("debug" in log for log in logs.values()) > 20
    assert leaks_in(logs, secrets) == {}


def test_no_log_of_a_component_leaks(runs, secrets):
    logs = contents(runs.airflow.process_logs, "*.log")
    assert {path.stem for path, log in logs.items() if len(log) > 1000} >= set(COMPONENTS)
    assert leaks_in(logs, secrets) == {}
    assert leaks_in(contents(runs.airflow.logs), secrets) == {}


def test_the_searched_runs_include_pseudonyms_loads_and_erasures(runs):
    (run,) = runs.airflow.runs("forgetting")
    names = ("pseudonymised", "land", "erase")
    found = {name: runs.airflow.xcom("forgetting", run["dag_run_id"], name) for name in names}
    assert (found["land"]["rows"], found["erase"]["people"] >= 5) == (found["pseudonymised"]["rows"], True)
    assert found["erase"]["file_rows"] == found["pseudonymised"]["rows"] >= 5
    assert runs.rows("SELECT count(*) FROM forgotten.wacontacts_current") == [(0,)]
    assert len(runs.rows("SELECT hash FROM forgotten.wacontacts_erased")) > found["erase"]["people"]


def test_no_url_of_the_export_is_in_any_log(runs):
    logs = contents(runs.airflow.logs) | contents(runs.airflow.process_logs)
    assert logs
    assert [path.name for path, log in logs.items() if URL in log] == []


def test_no_table_of_airflow_leaks(runs, secrets):
    tables = tables_of(runs.metadata)
    some = ("xcom", "rendered_task_instance_fields", "asset_event", "task_instance", "dag_run", "log", "trigger")
    assert [name for name in some if not tables[name]] == []
    assert leaks_in(tables, secrets) == {}


def test_the_searched_logs_and_tables_contain_a_known_string(runs):
    (run,) = runs.airflow.runs("settling")
    summary = runs.airflow.xcom("settling", run["dag_run_id"], "pull")
    known = summary["extraction_id"]
    logs = contents(runs.airflow.logs, "dag_id=settling/**/*.log*").values()
    assert any("Syncing account" in log for log in logs)
    tables = tables_of(runs.metadata)
    assert known in tables["xcom"]
    assert known in tables["asset_event"]


def test_numbers_in_a_list_are_only_in_the_dags_source(runs):
    tables = tables_of(runs.metadata)
    assert '"numbers_in_a_list"' in tables["serialized_dag"].replace("'", '"')
    assert [name for name, rows in tables.items() if "1201555700" in rows] == ["dag_code"]


def test_no_trigger_leaks(runs, secrets):
    assert sum("WaitUntilTrigger" in row for row in runs.triggers_seen) >= 2
    assert sum("WhatsAppContactsTrigger" in row for row in runs.triggers_seen) >= 2
    assert secrets.findall("\n".join(runs.triggers_seen)) == []


def test_ledger_and_file_names_do_not_leak(runs, secrets):
    tables = tables_of(runs.store, unless=CONTACTS)
    assert tables["wacontacts_extraction"]
    assert tables["wacontacts_check"]
    assert tables["wacontacts_budget"]
    assert leaks_in(tables, secrets) == {}
    reasons = runs.rows("SELECT reason FROM wacontacts_reject WHERE extraction_id IS NOT NULL")
    assert len(reasons) == 2
    reasons += runs.rows("SELECT reason FROM wacontacts_check_result WHERE reason IS NOT NULL")
    assert len(reasons) > 6
    assert secrets.findall(str(reasons)) == []
    manifests = contents(runs.files, "**/_manifest.json")
    assert len(manifests) >= 6
    assert leaks_in(manifests, secrets) == {}
    assert secrets.findall("\n".join(map(str, runs.files.rglob("*")))) == []
