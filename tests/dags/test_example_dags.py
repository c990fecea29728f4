"""The structure of the example DAGs: imports, retries, pools, schedules and approval."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_wacontacts.hooks.store import open_store
from airflow_provider_wacontacts.records.identities import IdentityChange
from airflow_provider_wacontacts.store.identities import SenderIdentities
from tests.identity_changes import record_changes

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

DAGS = Path(__file__).resolve().parents[2] / "dags"
DAY = timedelta(days=1)

#: Ends with an error at the first file that is written, socket that is connected, database opened or program started.
STRICT_IMPORT = """
import runpy, socket, sqlite3, subprocess, sys
import airflow_provider_wacontacts.operators.green_api
import airflow_provider_wacontacts.operators.turn
import airflow_provider_wacontacts.operators.whatsapp_business
import airflow_provider_wacontacts.sensors.whatsapp_business
from airflow.timetables.interval import CronDataIntervalTimetable

REFUSED = {"socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen"}

def refuse(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    harmless = writes and (".pyc" in str(arguments[0]) or arguments[0] == "/dev/null")
    if event in REFUSED or (writes and not harmless):
        print("I/O at import:", event, arguments, file=sys.stderr)
        sys.exit(3)

sys.addaudithook(refuse)
for path in sys.argv[1:]:
    runpy.run_path(path)
"""


APPROVAL = "whatsapp_identity_approval"
IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
HAS_APPROVAL = tuple(map(int, version("apache-airflow").split(".")[:2])) >= (3, 3)
TURN = ("turn_contacts_daily", "turn_contacts_first_load")


@pytest.fixture(scope="module")
def bag():
    return DagBag(dag_folder=str(DAGS))


@pytest.fixture(params=sorted(path.stem for path in DAGS.glob("[a-z]*.py")))
def dag(bag, request):
    return bag.dags[request.param]


@pytest.fixture(params=TURN)
def pulling(bag, request):
    return bag.dags[request.param]


@pytest.fixture(scope="module")
def daily(bag):
    return bag.dags["turn_contacts_daily"]


@pytest.fixture(scope="module")
def scheduled(daily):
    """The daily DAG as the scheduler sees it."""
    return DagSerialization.from_dict(DagSerialization.to_dict(daily))


def test_every_file_imports_and_defines_a_dag(bag):
    assert bag.import_errors == {}
    assert set(bag.dags) == {path.stem for path in DAGS.glob("[a-z]*.py")}
    assert set(bag.dags) >= {*TURN, "whatsapp_check_contacts", "whatsapp_revalidate_stale", "green_api_snapshot"}


def strictly_imported(*files):
    argv = [sys.executable, "-c", STRICT_IMPORT, *map(str, files)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr[-500:] if done.returncode else ""


def test_importing_an_example_has_no_side_effects():
    assert strictly_imported(*sorted(DAGS.glob("*.py"))) == (0, "")


def test_the_import_guard_detects_file_writes_and_connections(tmp_path):
    writes, connects = tmp_path / "writes.py", tmp_path / "connects.py"
    writes.write_text(f"open({str(tmp_path / 'made')!r}, 'w')")
    connects.write_text("import socket; socket.create_connection(('127.0.0.1', 9))")
    assert [strictly_imported(path)[0] for path in (writes, connects)] == [3, 3]


def test_each_dag_has_one_active_run_and_no_catchup(dag):
    assert (dag.max_active_runs, dag.catchup) == (1, False)


def test_every_requesting_task_has_retries_with_a_delay_and_a_timeout(dag):
    asking = [task for task in dag.tasks if type(task).__module__.startswith("airflow_provider_wacontacts")]
    assert asking or dag.dag_id == "turn_contacts_first_load" or (dag.dag_id == APPROVAL and not HAS_APPROVAL)
    mapped = [task for task in dag.tasks if task.task_type.startswith("TurnContacts")]
    for task in {task.task_id: task for task in (*asking, *mapped)}.values():
        assert task.retries >= 2
        assert task.retry_delay >= timedelta(minutes=1)
        # On Airflow 2 it also counts while a task is deferred, for as long as a budget or results may take.
        if IS_AIRFLOW_2 and dag.dag_id in {"green_api_check", "whatsapp_check_many"}:
            assert task.execution_timeout is None
        else:
            assert timedelta(0) < task.execution_timeout <= DAY


def test_every_sync_uses_the_documented_pool(pulling):
    assert {task.pool for task in pulling.tasks} == {"turn"}
    assert "pool ``turn``" in pulling.doc_md


def test_the_daily_run_of_a_day_syncs_that_day(scheduled):
    monday = datetime(2022, 9, 12, tzinfo=UTC)
    infos = list(scheduled.iter_dagrun_infos_between(monday, monday + 2 * DAY))
    assert [(info.logical_date, info.data_interval.start, info.data_interval.end) for info in infos] == [
        (day, day, day + DAY) for day in (monday, monday + DAY, monday + 2 * DAY)
    ]


def test_a_daily_run_starts_at_the_end_of_its_day(scheduled):
    monday = datetime(2022, 9, 12, tzinfo=UTC)
    (info,) = scheduled.iter_dagrun_infos_between(monday, monday)
    assert info.run_after == monday + DAY


def test_the_outlet_of_both_syncs_is_the_store_asset(bag):
    outlets = [asset.uri for name in TURN for asset in bag.dags[name].get_task("to_store").outlets]
    assert outlets == ["x-wacontacts-store://wacontacts_store/turn"] * 2


def test_the_first_load_is_only_started_manually(bag):
    assert not bag.dags["turn_contacts_first_load"].timetable.can_be_scheduled


@pytest.mark.parametrize(
    ("days", "borders"),
    [
        (30, ["2022-01-10T00:00", "2022-02-09T00:00", "2022-03-11T00:00", "2022-03-15T12:00"]),
        (60, ["2022-01-10T00:00", "2022-03-11T00:00", "2022-03-15T12:00"]),
    ],
)
def test_the_first_load_has_adjacent_slices_up_to_now(bag, days, borders):
    slices = bag.dags["turn_contacts_first_load"].get_task("slices").python_callable
    now = datetime(2022, 3, 15, 12, 5, tzinfo=UTC)

    class Run:
        run_after = now

    cut = slices({"since": "2022-01-10T00:00:00Z", "window_days": days}, Run())
    moments = [f"{border}:00.000000Z" for border in borders]
    assert cut == [{"start": start, "end": end} for start, end in pairwise(moments)]
    assert bag.dags["turn_contacts_first_load"].params["window_days"] == 30


def event(*identity_ids):
    """Return an event of the trigger of identity changes."""
    return SimpleNamespace(extra={"from_trigger": True, "payload": {"identity_ids": list(identity_ids)}})


def test_only_approved_identities_are_acknowledged(bag):
    dag = bag.dags["whatsapp_identity_changes"]
    order = {task.task_id: task.upstream_task_ids for task in dag.tasks}

    assert order == {"look": set(), "decide": {"look"}, "acknowledge": {"decide"}}
    assert not dag.get_task("acknowledge").acknowledge_latest


@pytest.mark.skipif(not HAS_APPROVAL, reason="assets have no state before Airflow 3.3")
class TestApproval:
    def test_a_change_starts_a_run_and_is_acknowledged_after_an_approval(self, bag):
        dag = bag.dags[APPROVAL]

        assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
            "changed": set(),
            "approve": {"changed"},
            "acknowledge": {"changed", "approve"},
        }
        (asset,) = dag.timetable.asset_condition.objects
        (watcher,) = asset.watchers
        assert type(watcher.trigger).__name__ == "IdentityChangedTrigger"

    def test_the_request_shows_ids_and_counts(self, bag):
        approve = bag.dags[APPROVAL].get_task("approve")

        class Task:
            @staticmethod
            def xcom_pull(task_ids):
                assert task_ids == "changed"
                return [3, 5]

        approve.render_template_fields({"ti": Task})
        assert approve.subject == "Acknowledge 2 changed WhatsApp identities?"
        assert approve.body == "Look them up by `identity_id` in `wacontacts_identity`: 3, 5."

    def test_the_response_is_no_xcom_because_it_has_a_name(self, bag):
        assert not bag.dags[APPROVAL].get_task("approve").do_xcom_push

    def test_the_identities_of_all_events_are_acknowledged_together(self, changed, identities):
        first, second, third = identities

        assert changed(event(third, second), event(second, first)) == [first, second, third]

    def test_a_person_is_not_asked_about_acknowledged_identities(self, changed, identities, sender):
        acknowledged, *pending = identities
        sender.record_acknowledged(acknowledged)

        assert changed(event(*identities)) == pending
        with pytest.raises(AirflowSkipException):
            changed(event(acknowledged))

    @pytest.mark.parametrize("events", [[], [SimpleNamespace(extra={"from_rest_api": True})]])
    def test_a_run_without_a_change_asks_nobody(self, changed, identities, events):
        with pytest.raises(AirflowSkipException):
            changed(*events)

    @pytest.fixture
    def changed(self, bag):
        dag = bag.dags[APPROVAL]
        (asset,) = dag.timetable.asset_condition.objects
        return lambda *events: dag.get_task("changed").python_callable({asset: list(events)})

    @pytest.fixture
    def sender(self, monkeypatch, tmp_path):
        connection = {"conn_type": "sqlite", "host": str(tmp_path / "store.db")}
        monkeypatch.setenv("AIRFLOW_CONN_WACONTACTS_STORE", json.dumps(connection))
        store = open_store("wacontacts_store")
        store.prepare()
        return SenderIdentities(store.context, "+12015550100")

    @pytest.fixture
    def identities(self, sender):
        """Return the IDs of three pending identities."""
        at = datetime(2026, 11, 2, tzinfo=UTC)
        record_changes(sender, [IdentityChange(f"1631555{n:04}", f"hash{n}", at) for n in range(3)])
        return [identity_id for _, identity_id in sender.changes(0, 10)]

    def test_approval_can_be_disabled(self, tmp_path):
        source = (DAGS / f"{APPROVAL}.py").read_text()
        (tmp_path / "example.py").write_text(source.replace("NEEDS_APPROVAL = True", "NEEDS_APPROVAL = False"))
        (dag,) = DagBag(dag_folder=str(tmp_path)).dags.values()

        assert {task.task_id: task.upstream_task_ids for task in dag.tasks} == {
            "changed": set(),
            "acknowledge": {"changed"},
        }


def test_on_an_older_airflow_the_error_names_the_required_version(tmp_path):
    source = (DAGS / f"{APPROVAL}.py").read_text()
    (tmp_path / "example.py").write_text(source.replace(">= (3, 3)", ">= (99, 0)"))
    (dag,) = DagBag(dag_folder=str(tmp_path)).dags.values()

    assert not dag.timetable.can_be_scheduled
    with pytest.raises(Exception, match=r"needs Airflow 3\.3 or newer"):
        dag.get_task("missing").python_callable()


def test_the_approval_needs_no_meta_package_of_airflow(monkeypatch):
    def only_core(name):
        if name == "apache-airflow":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("importlib.metadata.version", only_core)

    assert DagBag(dag_folder=str(DAGS / f"{APPROVAL}.py")).import_errors == {}
