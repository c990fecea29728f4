"""``wacontacts store status``: tables, JSON, and one line with an exit code for monitors."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts import cli
from airflow_provider_wacontacts.records.identities import IdentityChange
from airflow_provider_wacontacts.records.json import canonical
from airflow_provider_wacontacts.records.record import Record, Reject, row_hash
from airflow_provider_wacontacts.records.windows import Window
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.identities import SenderIdentities
from tests.identity_changes import record_changes

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NOW = MONDAY + 7 * DAY + 9 * HOUR
ALICE = "+16315551001"
REFUSED = (
    "The store cannot reach 127.0.0.1:1: the connection was refused."
    " Check host and port, and that PostgreSQL is running."
)
PAYLOAD = canonical(b'{"id": "12015550123@c.us"}')
CONTACT = Record("12015550123@c.us", MONDAY, row_hash(PAYLOAD), PAYLOAD, "12015550123", repaired=False)
TABLES = """\
STORE_URL: tables of version 1, as of 2024-01-08 09:00 UTC

Accounts
  SOURCE     ACCOUNT  UP TO             AGE    SYNCS  REJECTED
  green_api  depot    2024-01-06 01:00  2d 8h      1         0
  turn       main     2024-01-07 00:00  33h        5         2
  turn       other    never             -          0         0

Windows
  ACCOUNT  FROM              BASELINE UNTIL    GAPS    LOSSY
  main     2024-01-01 00:00  2024-01-02 00:05  1, 24h  1, 24h

Coverage gaps
  ACCOUNT  FROM              TO                LENGTH
  main     2024-01-04 00:00  2024-01-05 00:00  24h

Lossy intervals (synced too late)
  ACCOUNT  FROM              TO                LENGTH
  main     2024-01-05 00:00  2024-01-06 00:00  24h

Unfinished extractions
  ACCOUNT  STATE       REASON  COUNT  FIRST STARTED     LAST STARTED
  depot    incomplete  empty       1  2024-01-08 09:00  2024-01-08 09:00
  other    running     -           1  2024-01-08 09:00  2024-01-08 09:00

Rejected rows
  ACCOUNT    ROWS  LAST              REASON
  turn main     2  2024-01-03 00:05  no id

Senders
  SENDER        SPENT TODAY  LIMIT  OPEN CHECKS  OVERDUE  LOST  OLDEST OPEN
  +12015550100            1      -            1        0     0  2024-01-08 09:00

Numbers
  SENDER        STATUS      NUMBERS
  +12015550100  processing        1

Pending identity changes
  SENDER        USERS
  +12015550100      1

Rejected rows
  ACCOUNT                         ROWS  LAST              REASON
  whatsapp_business +12015550100     1  2024-01-08 09:00  too short
"""


class Week:
    """A store, and what happens to it in a week."""

    def __init__(self, url):
        self.engine = create_engine(url)
        self.store = Store(self.engine)
        self.store.prepare()

    def begin(self, day, account="main"):
        window = Window(MONDAY + day * DAY, MONDAY + (day + 1) * DAY)
        task = TaskInstanceKey("dag", f"run {account} {day}", "task")
        given = {"source": "turn", "account": account, "options_digest": "", "package_version": "1"}
        return self.store.begin(window=window, task=task, **given)

    def pull(self, day, *, late=timedelta(minutes=5), rejects=()):
        extraction = self.begin(day)
        moment = MONDAY + (day + 1) * DAY + late
        extraction.write([], rejects, position=None, pages=1, size=1, extracted_at=moment)
        extraction.finish()

    def snap(self, moment, *contacts):
        given = {"source": "green_api", "account": "depot", "options_digest": "", "package_version": "1"}
        snapshot = self.store.begin_snapshot(group=None, task=TaskInstanceKey("dag", str(moment), "task"), **given)
        snapshot.write(lambda: iter(contacts), extracted_at=moment, size=1)

    def check(self, *numbers, sender="+12015550100"):
        checks = SenderChecks(self.store.context, sender, daily_checks=10)
        check = checks.open(CheckSpec(TaskInstanceKey("dag", "run", "task"), "", "1", NOW - 7 * DAY))
        check.fill([CheckInput(number, number) for number in numbers] + [CheckInput("1", None, reason="too short")])
        check.lease([number_id for batch in check.queued(10) for number_id in batch])
        check.record(CheckResults(dict.fromkeys(numbers, ("processing", None)), NOW, NOW))
        check.start_waiting(NOW + HOUR)
        record_changes(SenderIdentities(self.store.context, sender), [IdentityChange("16315551001", "hash", NOW)])


@pytest.fixture
def week(sqlite_url, monkeypatch):
    """A store of which nothing is told yet; the time is Monday's, a week later, at nine."""
    monkeypatch.setitem(Store.__init__.__kwdefaults__, "now", lambda: NOW)
    monkeypatch.setenv("STORE_URL", sqlite_url)
    week = Week(sqlite_url)
    yield week
    week.engine.dispose()


@pytest.fixture
def status(capsys):
    """Run `wacontacts store status`; gives its exit code and what it printed."""

    def run(*arguments, place=("--url-env", "STORE_URL")):
        code = cli.main(["store", "status", *place, *arguments])
        printed = capsys.readouterr()
        assert printed.err == ""
        return code, printed.out

    return run


@pytest.fixture
def full_week(week):
    """Everything that is told of, a little of each."""
    week.pull(1, rejects=[Reject("no id", b"{}")] * 2)
    for day in (0, 2, 5):
        week.pull(day)
    week.pull(4, late=5 * HOUR)
    week.begin(0, account="other")
    week.snap(MONDAY + 5 * DAY + HOUR, CONTACT)
    week.snap(MONDAY + 6 * DAY)
    week.check(ALICE)
    return week


# For people


def test_the_default_output_is_tables(full_week, status):
    assert status() == (0, TABLES)


def test_tables_fit_a_narrow_terminal():
    assert [line for line in TABLES.splitlines() if len(line) > 80] == []


def test_only_the_newest_of_many_intervals_are_shown(week, status):
    for day in range(0, 26, 2):
        week.pull(day)
    lines = status()[1].partition("Coverage gaps\n")[2].splitlines()

    assert lines[1] == "  main     2 earlier ones    --json has all    -"
    assert (lines[2].split()[1], lines[11].split()[1], len(lines)) == ("2024-01-06", "2024-01-24", 12)


def test_an_empty_store_has_no_data(week, status):
    code, out = status()

    assert (code, out.splitlines()[-1]) == (0, "No data found for this selection.")


def test_contacts_are_counted_with_contacts(full_week, status):
    accounts = status("--contacts", "--source", "green_api")[1].splitlines()[3:5]

    assert accounts == [
        "  SOURCE     ACCOUNT  UP TO             AGE    SYNCS  REJECTED  PRESENT  GONE",
        "  green_api  depot    2024-01-06 01:00  2d 8h      1         0        1     0",
    ]


def test_late_after_is_configurable(week, status):
    week.pull(0)
    week.pull(1, late=5 * HOUR)

    assert ["Lossy intervals" in status(*late)[1] for late in ([], ["--late-after", "5h"])] == [True, False]


def test_the_limit_of_a_connection_is_shown(full_week, capsys, monkeypatch):
    extra = {"auth": "bearer", "sender": "+12015550100", "daily_checks": 250}
    connection = {"conn_type": "whatsapp_business", "host": "https://wa.example.org", "password": "example-token"}
    monkeypatch.setenv("AIRFLOW_CONN_WHATSAPP", json.dumps(connection | {"extra": extra}))
    cli.main(["store", "status", "--url-env", "STORE_URL", "--json", "--whatsapp-business-conn-id", "whatsapp"])
    (sender,) = json.loads(capsys.readouterr().out)["senders"]

    assert (sender["spent"], sender["limit"], sender["left"]) == (1, 250, 249)


def test_the_store_of_a_connection_is_read_and_stdout_is_only_json(week, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/store.db"}))
    code = cli.main(["store", "status", "--conn-id", "lake", "--json"])

    assert (code, json.loads(capsys.readouterr().out)["store"]) == (0, "lake")


# For programs


def test_json_has_the_complete_status(full_week, status):
    code, out = status("--json")
    told = json.loads(out)
    feeds, senders = told.pop("feeds"), told.pop("senders")

    assert (code, told) == (
        0,
        {
            "store": "STORE_URL",
            "max_age_s": None,
            "is_fresh": None,
            "message": None,
            "as_of": "2024-01-08T09:00:00.000000Z",
            "schema_version": 1,
            "writes_version": 1,
            "problem": None,
            "field_changes": [],
        },
    )
    assert [(feed["account"], feed["age_s"]) for feed in feeds] == [
        ("depot", 201_600.0),
        ("main", 118_800.0),
        ("other", None),
    ]
    assert [(sender["sender"], sender["numbers"]) for sender in senders] == [("+12015550100", {"processing": 1})]


@pytest.mark.parametrize(("limit", "code", "is_fresh"), [("33h", 0, True), ("32h", 1, False)])
def test_json_has_the_freshness(week, status, limit, code, is_fresh):
    week.pull(5)
    got, out = status("--json", "--max-age", limit)
    told = json.loads(out)

    assert (got, told["is_fresh"], told["max_age_s"]) == (code, is_fresh, float(limit[:-1]) * 3600)
    assert told["message"].startswith("OK: " if is_fresh else "STALE: ")


def test_json_has_the_problem_of_an_unreadable_store(status, monkeypatch):
    monkeypatch.setenv("STORE_URL", "postgresql://user:secret-word@127.0.0.1:1/db")
    problem = REFUSED
    code, out = status("--json", "--max-age", "26h")

    assert (code, json.loads(out)) == (
        1,
        {
            "store": "STORE_URL",
            "max_age_s": 93_600.0,
            "is_fresh": False,
            "message": f"FAILED: {problem}",
            "as_of": None,
            "schema_version": None,
            "writes_version": None,
            "feeds": [],
            "senders": [],
            "field_changes": [],
            "problem": problem,
        },
    )


# For monitors


def test_max_age_prints_one_line_and_exits_with_0_if_all_accounts_are_fresh(week, status):
    week.pull(5)

    assert status("--max-age", "33h") == (0, "OK: the oldest account is 33h old; maximum age 33h\n")


def test_max_age_prints_one_line_and_exits_with_1_if_an_account_is_stale(full_week, status):
    assert status("--max-age", "34h") == (
        1,
        "STALE: green_api depot is 2d 8h old; maximum age 34h\n",
    )
    code, line = status("--max-age", "34h", "--account", "other")
    assert (code, line) == (1, "STALE: turn other was never synced; maximum age 34h\n")


def test_max_age_can_be_limited_to_one_account(full_week, status):
    assert status("--max-age", "34h", "--source", "turn", "--account", "main")[0] == 0


@pytest.mark.parametrize("asked", [("--account", "typo"), ("--account", "main", "--account", "typo")])
def test_max_age_reports_an_unknown_account(week, status, asked):
    week.pull(5)
    code, out = status("--max-age", "34h", *asked)

    assert (code, "typo was never synced" in out) == (1, True)


def test_max_age_reports_a_store_that_was_never_synced(week, status):
    assert status("--max-age", "26h") == (1, "STALE: no account was ever synced; maximum age 26h\n")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "Environment variable STORE_URL is not set"),
        ("sqlite:////nonexistent/store.db", "The store's SQLite file does not exist"),
        ("postgresql://user:secret-word@127.0.0.1:1/db", REFUSED),
    ],
)
def test_max_age_prints_one_line_for_an_unreadable_store(status, monkeypatch, url, said):
    monkeypatch.setenv("STORE_URL", url)
    code, out = status("--max-age", "26h")

    assert (code, out.count("\n"), out.startswith(f"FAILED: {said}")) == (1, 1, True)


@pytest.mark.parametrize("arguments", [[], ["--max-age", "26h"], ["--json"]])
def test_a_store_without_tables_is_reported_on_stdout(status, monkeypatch, arguments):
    monkeypatch.setenv("STORE_URL", "sqlite://")
    code, out = status(*arguments)

    assert (code, out.count("\n"), "The store has no tables yet" in out) == (1, 1, True)


# Rights


@pytest.fixture
def monitor(postgres, postgres_database, monkeypatch):
    """A store in PostgreSQL, and a user who may read what is granted; gives the owner's way to grant."""
    owner = create_engine(postgres.url(database=postgres_database))
    week = Week(owner.url)
    week.check(ALICE)
    week.pull(5)

    def grant(*statements):
        with owner.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    grant("DO $$ BEGIN CREATE ROLE status LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    monkeypatch.setenv("STORE_URL", owner.url.set(username="status").render_as_string(hide_password=False))
    yield grant
    owner.dispose()


def test_select_privileges_suffice(monitor, status):
    monitor("GRANT SELECT ON ALL TABLES IN SCHEMA public TO status")

    assert status("--contacts")[0] == 0


def test_max_age_needs_no_privileges_on_tables_with_personal_data(monitor, status):
    monitor("GRANT SELECT ON wacontacts_schema_version, wacontacts_account, wacontacts_extraction TO status")

    assert [status("--max-age", "1h")[1].partition(":")[0], status("--max-age", "100000d")[0]] == ["STALE", 0]


def test_missing_privileges_are_named(monitor, status):
    assert status("--max-age", "26h") == (
        1,
        "FAILED: The database user may not read the store. Grant it SELECT on the store's tables and views.\n",
    )
