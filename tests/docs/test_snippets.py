"""The snippets of README and the pages work: DAGs, programs, queries, connections and commands."""

import importlib
import inspect
import json
import re
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.files import ExtractionWriter
from airflow_provider_wacontacts.pipelines.store_status import read_ages, read_status
from airflow_provider_wacontacts.records.turn import parse_page, parse_record
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.status import Selection
from tests.docs.pages import ROOT, Block, is_for, of, query_under

#: What no test here can run: programs of other machines, and of other versions of Airflow.
FOREIGN = ("pip", "curl", "docker")

ROLES = ("airflow_contacts", "analyst", "monitor")
TASK = TaskInstanceKey("contacts", "run", "pull")
MONDAY = Window(datetime(2022, 9, 12, tzinfo=UTC), datetime(2022, 9, 13, tzinfo=UTC))
TUESDAY = Window(MONDAY.end, datetime(2022, 9, 14, tzinfo=UTC))
BOB = {
    "id": 1,
    "uuid": "f6c4e666-81ad-430e-aea5-1ba33e6f4c35",
    "number_id": 1,
    "updated_at": "2022-09-12T08:30:00.000Z",
    "details": {"name": "bob", "language": "eng", "whatsapp_id": "44623456700", "current_savings": 100},
}
RICHER = {**BOB, "updated_at": "2022-09-13T10:00:00.000Z", "details": {**BOB["details"], "current_savings": 120}}


DAGS = of("python", "DAG(")
TESTS = of("python", "def test_")
OTHER_PYTHON = [block for block in of("python") if block not in DAGS and block not in TESTS]
COMMANDS = [(block, line) for block in of("bash") for line in block.code.splitlines()]


def landed(engine, window, contacts, *, late=timedelta(minutes=5), **options):
    store = Store(engine, **options)
    store.prepare()
    extraction = store.begin(
        source="turn", account="turn_default", window=window, task=TASK, options_digest="", package_version="0"
    )
    records = [parse_record(json.dumps(contact).encode()) for contact in contacts]
    extraction.write(records, position=None, pages=1, size=1, extracted_at=window.end + late, number_ids={"1"})
    extraction.finish()


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def store_url(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def asked(store_engine):
    """Bob's Monday and Tuesday, and all that a query answers about them."""
    landed(store_engine, MONDAY, [BOB])
    landed(store_engine, TUESDAY, [RICHER])

    def ask(code):
        statements = [statement.rstrip().rstrip(";") for statement in code.split(";\n") if statement.strip()]
        with store_engine.connect() as connection:
            return [connection.execute(text(statement)).mappings().all() for statement in statements]

    return ask


# DAGs and Python


def test_all_kinds_of_snippets_are_found():
    assert min(map(len, (DAGS, TESTS, OTHER_PYTHON, COMMANDS, of("sql"), of("json")))) > 0


@pytest.mark.parametrize("block", DAGS, ids=str)
def test_each_shown_dag_imports_unchanged(block, tmp_path):
    try:
        dagbag = importlib.import_module("airflow.dag_processing.dagbag")
    except ModuleNotFoundError:
        dagbag = importlib.import_module("airflow.models.dagbag")
    (tmp_path / "dag_of_airflow.py").write_text(block.code)

    bag = dagbag.DagBag(dag_folder=str(tmp_path))

    assert bag.import_errors == {}
    assert len(bag.dags) == block.code.count("with DAG(")
    assert all(dag.tasks for dag in bag.dags.values())
    assert [dag for dag in block.code.split("with DAG(")[1:] if not has_window(dag)] == []


def has_window(dag):
    """Whether syncs of windows get one on every Airflow: presets and cron strings give none on Airflow 3."""
    return not ("TurnContacts" in dag and 'schedule="' in dag) or "window_length=" in dag or "start=" in dag


@pytest.mark.parametrize("block", OTHER_PYTHON, ids=str)
def test_each_shown_program_reads_files(block, tmp_path, monkeypatch):
    for module in ("duckdb", "pandas", "pyarrow"):
        if module in block.code:
            pytest.importorskip(module)
    page = parse_page(json.dumps({"data": [RICHER]}).encode())
    file_format = "parquet" if "parquet" in block.code else "jsonl.gz"
    with ExtractionWriter(
        tmp_path,
        source="turn",
        account="turn_default",
        window=TUESDAY,
        task=TASK,
        package_version="0",
        file_format=file_format,
    ) as extraction:
        extraction.write(page)
        extraction.finish(extracted_at=TUESDAY.end, finished_at=TUESDAY.end, lossy=False)
    printed = []
    names = {"print": lambda *values: printed.extend(values)}

    exec(compile(block.code.replace("/srv/contacts", str(tmp_path)), str(block), "exec"), names)

    if "frame" in names:
        printed.append(names["frame"].to_dict())
    if "table" in names:
        printed.append(names["table"].to_pydict())
    seen = " ".join(map(str, printed))
    assert BOB["uuid"][:8] in seen


@pytest.mark.parametrize("block", TESTS, ids=str)
def test_each_shown_test_passes(block, monkeypatch, tmp_path):
    there = {"monkeypatch": monkeypatch, "tmp_path": tmp_path}
    names = {}
    exec(compile(block.code, str(block), "exec"), names)
    for name, test in names.items():
        if name.startswith("test_"):
            test(**{fixture: there[fixture] for fixture in inspect.signature(test).parameters})


# SQL


def test_the_query_of_bobs_history_has_the_shown_result(asked):
    (rows,) = asked(query_under("history.md", "Bob"))

    assert [(str(row["savings"]), row["valid_to"] is None) for row in rows] == [("100", False), ("120", True)]


def test_as_of_a_date_returns_the_version_of_that_date(asked):
    query = query_under("queries.md", "As of a date")
    (rows,) = asked(query.replace("AS name", "AS name, payload->'details'->>'current_savings' AS savings"))

    assert [str(row["savings"]) for row in rows] == ["100"]


def test_what_changed_yesterday_shows_before_and_after(asked):
    (rows,) = asked(query_under("queries.md", "What changed yesterday"))

    (was, became) = (rows[0][name] for name in ("was", "became"))
    savings = [(json.loads(state) if isinstance(state, str) else state)["current_savings"] for state in (was, became)]
    assert (len(rows), savings) == (1, [100, 120])


def test_the_history_of_a_field_has_a_row_for_each_of_its_values(asked):
    (rows,) = asked(query_under("queries.md", "The history of a custom field"))

    assert [str(row["value"]) for row in rows] == ["100", "120"]


def test_the_query_of_fields_lists_all_fields(asked, store_engine):
    (code,) = (block.code for block in of("sql", "AS field") if is_for(block, store_engine.dialect.name))

    assert [row["field"] for row in asked(code)[0]] == ["current_savings", "language", "name", "whatsapp_id"]


def test_the_shown_privileges_suffice_and_grant_no_more(postgres, postgres_database):
    owner = create_engine(postgres.url(database=postgres_database))
    landed(owner, MONDAY, [BOB], table_schema="contacts")
    with owner.begin() as connection:
        for role in ROLES:
            connection.exec_driver_sql(f"DROP ROLE IF EXISTS {role}")
            connection.exec_driver_sql(f"CREATE ROLE {role}")
        for block in of("sql", "GRANT"):
            connection.exec_driver_sql(block.code)

    try:
        worker = create_engine(owner.url, connect_args={"options": "-c role=airflow_contacts"})
        landed(worker, TUESDAY, [RICHER], table_schema="contacts", auto_upgrade=False)
        worker.dispose()
        analyst = create_engine(owner.url, connect_args={"options": "-c role=analyst"})
        with analyst.connect() as connection:
            views = ("current", "history", "version", "extraction")
            counts = [connection.scalar(text(f"SELECT count(*) FROM contacts.wacontacts_{view}")) for view in views]
        with analyst.connect() as connection, pytest.raises(SQLAlchemyError, match="permission denied"):
            connection.execute(text("SELECT count(*) FROM contacts.wacontacts_reject"))
        analyst.dispose()
        monitor = create_engine(owner.url, connect_args={"options": "-c role=monitor"})
        ages = read_ages(Store(monitor, table_schema="contacts"), Selection())
        with pytest.raises(ConfigError, match="may not read"):
            read_status(Store(monitor, table_schema="contacts"), Selection())
        monitor.dispose()
    finally:
        with owner.begin() as connection:
            for role in ROLES:
                connection.exec_driver_sql(f"DROP OWNED BY {role}")
                connection.exec_driver_sql(f"DROP ROLE {role}")
        owner.dispose()

    assert counts == [1, 2, 2, 2]
    assert [feed.newest.reached_at for feed in ages.feeds] == [TUESDAY.end]


def test_the_first_sync_creates_the_tables_of_an_ordinary_user(postgres, postgres_database):
    (block,) = of("sql", "AUTHORIZATION")
    administrator = create_engine(postgres.url(database=postgres_database))
    with administrator.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS airflow_contacts")
        connection.exec_driver_sql(block.code)

    user = create_engine(administrator.url.set(username="airflow_contacts", password="choose one"))
    try:
        landed(user, MONDAY, [BOB], table_schema="contacts")
        with user.connect() as connection:
            owners = connection.scalars(text("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'contacts'"))
            assert owners.all() == ["airflow_contacts"]
    finally:
        user.dispose()
        with administrator.begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY airflow_contacts; DROP ROLE airflow_contacts")
        administrator.dispose()


def test_the_shown_materialized_view_can_be_created(postgres, postgres_database):
    engine = create_engine(postgres.url(database=postgres_database))
    landed(engine, MONDAY, [BOB])
    (code,) = (block.code for block in of("sql", "CREATE MATERIALIZED VIEW"))
    with engine.begin() as connection:
        connection.exec_driver_sql(code)
        found = connection.execute(text("SELECT language FROM contact_languages")).all()
    engine.dispose()

    assert found == [("eng",)]


# Connections


def connections():
    """All that is shown, as JSON blocks and as environment variables."""
    for block in of("json"):
        yield pytest.param("example", block.code, id=str(block))
    for block, line in COMMANDS:
        if line.startswith("export AIRFLOW_CONN_"):
            name, _, value = shlex.split(line)[1].partition("=")
            yield pytest.param(name.removeprefix("AIRFLOW_CONN_").lower(), value, id=f"{block}-{name}")
        if "--conn-json" in line:
            words = shlex.split(line)
            yield pytest.param(words[3], words[words.index("--conn-json") + 1], id=f"{block}-{words[3]}")


@pytest.mark.parametrize(("conn_id", "value"), connections())
def test_each_shown_connection_is_valid(conn_id, value, monkeypatch):
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.hooks.store import read_store_connection
    from airflow_provider_wacontacts.hooks.turn import TurnHook
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

    fields = json.loads(value)
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value)

    if fields["conn_type"] == "turn":
        assert TurnHook(conn_id).account == fields.get("extra", {}).get("account", conn_id)
    elif fields["conn_type"] == "green_api":
        hook = GreenApiHook(conn_id)
        hook.validate_connection()
        assert hook.account == fields.get("extra", {}).get("account", conn_id)
    elif fields["conn_type"] == "whatsapp_business":
        hook = WhatsAppBusinessHook(conn_id)
        hook.validate_connection()
        assert hook.sender == fields.get("extra", {}).get("sender", conn_id)
    else:
        store = read_store_connection(conn_id)
        assert store.table_schema == fields.get("extra", {}).get("table_schema")
        store.engine.dispose()


# Commands


def command_id(given):
    return str(given) if isinstance(given, Block) else given[:40]


@pytest.mark.parametrize(
    ("block", "line"), [(b, line) for b, line in COMMANDS if line.startswith("make")], ids=command_id
)
def test_each_shown_make_target_exists(block, line):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert shlex.split(line)[1] in targets


@pytest.mark.parametrize(
    ("block", "line"), [(b, line) for b, line in COMMANDS if line.startswith("wacontacts")], ids=command_id
)
def test_each_shown_command_is_valid(block, line):
    cli._parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize(
    ("block", "line"), [(b, line) for b, line in COMMANDS if line.startswith("airflow")], ids=command_id
)
def test_each_shown_airflow_command_is_valid(block, line):
    parser = importlib.import_module("airflow.cli.cli_parser").get_parser()

    parser.parse_args(shlex.split(line)[1:])


def test_no_other_commands_are_shown():
    known = ("make", "wacontacts", "airflow", "export", *FOREIGN)

    assert [line for _, line in COMMANDS if not line.startswith(known)] == []
