"""The pages' tables document every argument, column, field and error of the code, and no others."""

import argparse
import dataclasses
import importlib
import inspect
import re

import msgspec
import pytest
from sqlalchemy import create_engine
from sqlalchemy import inspect as inspect_database

from airflow_provider_wacontacts import cli, exceptions
from airflow_provider_wacontacts.callbacks import record_callback
from airflow_provider_wacontacts.files import Manifest
from airflow_provider_wacontacts.get_provider_info import get_provider_info
from airflow_provider_wacontacts.operators import green_api, green_api_contacts, turn, whatsapp_business
from airflow_provider_wacontacts.operators.store import ContactFilesToSqlOperator
from airflow_provider_wacontacts.pipelines.identities import AcknowledgeSummary, FetchSummary
from airflow_provider_wacontacts.pipelines.import_files import ImportSummary
from airflow_provider_wacontacts.pipelines.store_status import StoreStatus
from airflow_provider_wacontacts.pipelines.summaries import CheckSummary, SnapshotSummary, SyncSummary
from airflow_provider_wacontacts.sensors.whatsapp_business import WhatsAppContactsSensor
from airflow_provider_wacontacts.store import upgrade
from airflow_provider_wacontacts.store.status import AccountStatus, Newest, Rejected, SenderStatus, Unfinished
from tests.docs.pages import PAGES, ROOT, page_text

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAME = re.compile(r"`([a-z0-9_]+)`")


def section(page, heading):
    """The text below a heading, up to the next of its rank or higher."""
    lines = page_text(page).splitlines()
    (start,) = (i for i, line in enumerate(lines) if re.fullmatch(rf"#+ {re.escape(heading)}", line))
    rank = lines[start].split()[0]
    rest = lines[start + 1 :]
    end = next((i for i, line in enumerate(rest) if re.match(rf"#{{1,{len(rank)}}} ", line)), len(rest))
    return "\n".join(rest[:end])


def first_column(text):
    """The names in the first cells of all rows of all tables."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [name for cell in rows for name in NAME.findall(cell)]


def columns(engine, table):
    return {column["name"] for column in inspect_database(engine).get_columns(table)}


@pytest.fixture
def store(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/store.db")
    upgrade(engine)
    yield engine
    engine.dispose()


def test_every_argument_of_the_operators_is_documented():
    named = arguments(turn.TurnContactsToSqlOperator, turn.TurnContactsToObjectStorageOperator)

    assert sorted(first_column(section("operators.md", "Arguments"))) == sorted(named)


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("turn_conn_id", "`turn_default`"),
        ("lookback", "10 minutes"),
        ("settle", "5 minutes"),
        ("late_after", "1 hour"),
        ("max_rejected", "0.01"),
    ],
)
def test_defaults_match_the_page(argument, shown):
    default = inspect.signature(turn.TurnContactsToSqlOperator.__init__).parameters[argument].default
    spelled = {"0:10:00": "10 minutes", "0:05:00": "5 minutes", "1:00:00": "1 hour", "turn_default": "`turn_default`"}
    (row,) = (line for line in section("operators.md", "Arguments").splitlines() if line.startswith(f"| `{argument}`"))

    assert (spelled.get(str(default), str(default)), row.split("|")[3].strip()) == (shown, shown)


def test_template_fields_are_marked():
    marked = {
        name
        for line in section("operators.md", "Arguments").splitlines()
        if "; templated" in line
        for name in NAME.findall(line.split("|")[1])
    }

    assert marked == {
        *turn.TurnContactsToSqlOperator.template_fields,
        *turn.TurnContactsToObjectStorageOperator.template_fields,
    }


def arguments(*kinds):
    given = {name for kind in kinds for name in inspect.signature(kind.__init__).parameters}
    return given - {"self", "args", "kwargs"}


def test_every_argument_of_checks_is_documented():
    check = whatsapp_business.WhatsAppCheckContactsOperator
    revalidate = whatsapp_business.WhatsAppRevalidateContactsOperator
    shared = arguments(check) & arguments(revalidate)

    assert set(first_column(section("checks.md", "Arguments"))) == arguments(check)
    assert set(first_column(section("checks.md", "Keeping results fresh"))) - shared == arguments(revalidate) - shared
    assert set(first_column(section("checks.md", "Checks with GREEN-API"))) == arguments(
        green_api.GreenApiCheckContactsOperator
    )
    assert set(first_column(section("checks.md", "Waiting"))) == arguments(WhatsAppContactsSensor)


@pytest.mark.parametrize(
    ("page", "summary"),
    [("operators.md", SyncSummary), ("checks.md", CheckSummary), ("green_api.md", SnapshotSummary)],
    ids=["sync", "check", "snapshot"],
)
def test_every_field_of_a_summary_is_documented(page, summary):
    fields = {field.name for field in dataclasses.fields(summary)}

    assert sorted(first_column(section(page, "The summary"))) == sorted(fields)


SNAPSHOTS = (green_api.GreenApiContactsToSqlOperator, green_api.GreenApiContactsToObjectStorageOperator)


def test_every_argument_of_snapshots_is_documented():
    named = arguments(*SNAPSHOTS)

    assert sorted(first_column(section("green_api.md", "Arguments"))) == sorted(named)


def test_every_argument_and_summary_field_of_loading_files_is_documented():
    members = {field.name for field in dataclasses.fields(ImportSummary)}

    shown = first_column(section("green_api.md", "Files into the store"))
    assert sorted(shown) == sorted([*arguments(ContactFilesToSqlOperator), *members])


def shown_of(kinds, heading):
    """The rows of a table by their arguments, and the parameters that the code has."""
    rows = [line.split("|") for line in section("green_api.md", heading).splitlines() if line.startswith("| `")]
    shown = {name: (what, default.strip()) for _, names, what, default, *_ in rows for name in NAME.findall(names)}
    known = {name: found for kind in kinds for name, found in inspect.signature(kind.__init__).parameters.items()}
    return shown, known


def test_defaults_of_snapshots_match_the_page():
    shown, known = shown_of(SNAPSHOTS, "Arguments")
    spelled = {"0:02:00": "2 minutes", "<class 'inspect._empty'>": "required"}

    told = {name: default.replace("`", "") for name, (_, default) in shown.items() if known[name].default is not None}
    has = {name: known[name].default for name in told}
    assert told == {name: spelled.get(str(default), str(default)) for name, default in has.items()}


@pytest.mark.parametrize(
    ("kinds", "heading"), [(SNAPSHOTS, "Arguments"), ((ContactFilesToSqlOperator,), "Files into the store")]
)
def test_template_fields_of_snapshots_and_files_are_marked(kinds, heading):
    rows = [line.split("|") for line in section("green_api.md", heading).splitlines() if line.startswith("| `")]
    marked = {name for _, names, what, *_ in rows if "templated" in what for name in NAME.findall(names)}

    assert marked == {name for kind in kinds for name in kind.template_fields}


def test_every_reason_for_an_incomplete_snapshot_is_documented():
    assert set(first_column(section("green_api.md", "Deleted contacts"))) == set(green_api_contacts.INCOMPLETE_REASONS)


def test_every_field_of_the_manifest_is_documented():
    assert sorted(first_column(section("files.md", "The manifest"))) == sorted(
        field.name for field in msgspec.structs.fields(Manifest)
    )


def test_the_columns_of_versions_and_history_are_documented(store):
    shown = first_column(section("store.md", "wacontacts_current, wacontacts_version, wacontacts_history"))

    assert set(shown) == columns(store, "wacontacts_history")
    assert set(shown[:-2]) == columns(store, "wacontacts_current") == columns(store, "wacontacts_version")


def test_the_columns_of_checks_and_their_results_are_documented(store):
    shown = set(first_column(section("store.md", "wacontacts_check, wacontacts_check_result")))

    assert shown <= columns(store, "wacontacts_check") | columns(store, "wacontacts_check_result")


def test_the_columns_of_the_directory_are_documented(store):
    assert set(first_column(section("store.md", "wacontacts_directory"))) == columns(store, "wacontacts_directory")


TABLES = ("extraction", "reject", "number", "identity", "budget")


@pytest.mark.parametrize("table", [f"wacontacts_{name}" for name in TABLES])
def test_documented_columns_exist(store, table):
    assert set(first_column(section("store.md", table))) <= columns(store, table)


@pytest.mark.parametrize("connection_type", get_provider_info()["connection-types"], ids=lambda kind: kind["hook-name"])
def test_every_extra_of_a_connection_form_is_documented(connection_type):
    is_store = connection_type["connection-type"] == "wacontacts_store"
    heading = "The store" if is_store else connection_type["hook-name"]
    documented = first_column(section("connections.md", heading))

    assert set(connection_type["conn-fields"]) <= set(documented)


#: What users import, and what of it is for this package alone.
PUBLIC = {
    "assets": (),
    "exceptions": ("DOCUMENTATION",),
    "hooks.turn": (),
    "hooks.green_api": (),
    "hooks.store": ("create_store", "pseudonym_key", "read_store_connection_async"),
    "hooks.whatsapp_business": (),
    "callbacks": (),
    "receiver": (),
    "files": (
        "FILE_FORMATS",
        "FileEntry",
        "ExtractionWriter",
        "ObjectPath",
        "validate_file_format",
    ),
    "operators.green_api": (),
    "operators.store": (),
    "operators.turn": (),
    "operators.whatsapp_business": (),
    "sandbox": (),
    "sensors.whatsapp_business": (),
    "triggers.wait": (),
    "triggers.whatsapp_business": (),
}


@pytest.mark.parametrize("module", PUBLIC)
def test_every_name_that_users_import_is_in_the_reference(module):
    names = set(importlib.import_module(f"airflow_provider_wacontacts.{module}").__all__) - set(PUBLIC[module])
    pages = "".join(page_text(page) for page in ("api.md", "sandbox_api.md"))
    shown = re.findall(r"^\.\. auto(?:class|function|exception):: (\w+)$", pages, re.MULTILINE)

    assert sorted(names - set(shown)) == []


def test_every_error_has_a_heading():
    headings = re.findall(r"^##+ (.+)$", page_text("troubleshooting.md"), re.MULTILINE)
    errors = [vars(exceptions)[name] for name in exceptions.__all__ if name.endswith("Error")]
    concrete = [error for error in errors if not issubclass(exceptions.ApiError, error)]

    assert {error.__name__ for error in concrete} - {"TransientError"} - set(headings) == set()


def test_every_option_of_the_receiver_is_documented():
    given = re.findall(r"^\| `--([a-z-]+)`", page_text("receiver.md"), re.MULTILINE)
    options = vars(cli._parser().parse_args(["receiver"]))

    assert sorted(name.replace("-", "_") for name in given) == sorted(set(options) - {"run"})


def test_every_option_of_the_sandbox_is_documented():
    given = re.findall(r"^\| `--([a-z-]+)`", page_text("sandbox.md"), re.MULTILINE)
    options = vars(cli._parser().parse_args(["sandbox"]))

    assert sorted(name.replace("-", "_") for name in given) == sorted(set(options) - {"run"})


def test_every_option_of_the_status_is_documented():
    given = re.findall(r"^\| `--([a-z-]+)`", page_text("monitoring.md"), re.MULTILINE)
    options = vars(cli._parser().parse_args(["store", "status"]))

    assert sorted(name.replace("-", "_") for name in given) == sorted(set(options) - {"run"})


def commands(parser, *names):
    """Yield each command of a parser, and its options and arguments."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for name, child in inner[0].choices.items() if inner else ():
        yield from commands(child, *names, name)
    if not inner:
        yield " ".join(names), {(action.option_strings or [action.metavar])[0] for action in parser._actions} - {"-h"}


def test_every_command_and_option_is_on_the_page_of_the_command_line():
    page = page_text("cli.md")
    shared = set(re.findall(r"^\| `([^`]+)`", section("cli.md", "Store options"), re.MULTILINE))
    elsewhere = {"doctor", "receiver", "sandbox", "store status"}
    given = {name: options for name, options in commands(cli._parser()) if name not in elsewhere}
    for name in elsewhere | {name.removesuffix(" export").removesuffix(" apply") for name in given}:
        assert f"`wacontacts {name}`" in page

    suppression = {"store suppression": given.pop("store suppression export") | given.pop("store suppression apply")}
    for name, options in (given | suppression).items():
        shown = set(re.findall(r"^\| `([^`]+)`", section("cli.md", name), re.MULTILINE))
        assert shown == (options - shared if "--url-env" in options else options), name


@pytest.mark.parametrize(
    ("heading", "kind", "computed"),
    [
        ("Each of the feeds", AccountStatus, {"age_s"}),
        ("Each of the senders", SenderStatus, {"left"}),
        ("For programs", StoreStatus, {"store", "max_age_s", "is_fresh", "message"}),
    ],
)
def test_every_field_of_the_status_is_documented(heading, kind, computed):
    text = section("monitoring.md", heading).partition("### ")[0]

    assert set(first_column(text)) == {field.name for field in dataclasses.fields(kind)} | computed


def test_every_field_of_lists_in_the_status_is_documented():
    named = set(NAME.findall(section("monitoring.md", "Each of the feeds")))

    assert {field.name for kind in (Newest, Unfinished, Rejected) for field in dataclasses.fields(kind)} <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_link_targets_exist(page):
    """Whether a heading is there, Sphinx tells when it builds the pages."""
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link]

    assert [target for target in targets if target and not (page.parent / target).exists()] == []


def test_every_page_is_in_the_table_of_contents():
    listed = re.findall(r"^((?:[a-z-]+/)?[a-z_]+)$", page_text("index.md"), re.MULTILINE)

    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    assert sorted(listed) == sorted(pages - {"index"})


def test_every_argument_of_the_identity_operators_is_documented():
    operators = (whatsapp_business.WhatsAppGetIdentityOperator, whatsapp_business.WhatsAppAcknowledgeIdentityOperator)

    assert set(first_column(section("identities.md", "Arguments"))) == arguments(*operators)


def test_every_field_of_the_identity_summaries_is_documented():
    members = {field.name for kind in (FetchSummary, AcknowledgeSummary) for field in dataclasses.fields(kind)}

    assert set(first_column(section("identities.md", "The summary"))) == members - {"sender", "given"}


def test_every_argument_of_record_callback_is_documented():
    assert first_column(section("callbacks.md", "Arguments")) == list(inspect.signature(record_callback).parameters)
