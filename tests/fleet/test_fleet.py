"""The services of docker-compose.yaml together, with two Celery workers of which one is killed."""

import json
import re
from collections import Counter
from itertools import pairwise

import pytest

from airflow_provider_wacontacts.files import versions
from tests.fleet.conftest import CHECK, DAILY, DAYS, MANY, MANY_ROWS, SLICES, SNAPSHOT

LEDGER = "SELECT run_id, state FROM wacontacts_extraction WHERE dag_id = :dag AND task_id = 'to_store'"
RESULTS = "SELECT status FROM wacontacts_check_result WHERE check_id IN (SELECT check_id FROM wacontacts_check)"


def test_every_service_is_healthy_by_its_own_check(runs):
    unhealthy = [name for name, healthy in runs.health.items() if not healthy]
    checked = {instance.service.name for instance in runs.fleet.instances if instance.name in runs.health}
    assert unhealthy == []
    assert checked == {name for name in runs.fleet.services if name != "airflow-init"}


def test_two_workers_share_the_work(runs):
    tasks = runs.fleet.api.listing("task_instances", "dags", DAILY, "dagRuns", "~", "taskInstances")
    assert {task["hostname"] for task in tasks} == {"airflow-worker-1", "airflow-worker-2"}


@pytest.mark.parametrize("dag_id", [CHECK, SNAPSHOT, MANY, DAILY])
def test_every_run_succeeds(runs, dag_id):
    assert runs.states[dag_id] == {"success"}


# A worker is killed


def test_a_worker_is_killed_with_its_task(runs):
    commands = [" ".join(command) for command in runs.ran_there]
    assert runs.killed in ("airflow-worker-1", "airflow-worker-2")
    assert f"airflow worker -- {runs.lost_try}" in [command.strip() for command in commands]


def test_the_other_worker_retries_the_killed_task(runs):
    run_id, task_id = runs.lost
    (task,) = [task for task in runs.fleet.tasks(DAILY, run_id) if task["task_id"] == task_id]
    assert (task["state"], task["try_number"]) == ("success", 2)
    assert task["hostname"] != runs.killed


def test_every_window_is_synced_at_most_once_per_attempt(runs):
    states = Counter(runs.rows(LEDGER, dag=DAILY))
    complete = Counter(run_id for (run_id, state), times in states.items() if state == "complete" for _ in range(times))
    assert complete.keys() == set(runs.daily)
    # A task that was lost after its extraction was complete is tried again.
    assert [run_id for run_id, times in complete.items() if times > _attempts(runs, run_id, "to_store")] == []
    assert len(runs.daily) == DAYS


def test_the_files_have_each_window_at_most_once_per_attempt(runs):
    files = runs.fleet.home / "volumes" / "files"
    of_files = {(version.contact_id, version.updated_at) for version in versions(files)}
    of_store = runs.rows("SELECT contact_id, updated_at FROM wacontacts_version WHERE source = 'turn'")
    assert of_files == set(of_store)
    written = Counter(json.loads(path.read_text())["run_id"] for path in files.rglob("_manifest.json"))
    assert written.keys() == set(runs.daily)
    # A task that was lost after it wrote its manifest is tried again, and writes another prefix.
    assert [run_id for run_id, times in written.items() if times > _attempts(runs, run_id, "to_files")] == []


def _attempts(runs, run_id, task_id):
    return next(task["try_number"] for task in runs.fleet.tasks(DAILY, run_id) if task["task_id"] == task_id)


def test_the_tables_equal_those_of_one_process_that_synced_the_days_in_order(runs, dump_store):
    fleet, alone = (dump_store(engine, "turn_default") for engine in (runs.store, runs.reference))
    assert fleet == alone
    assert len(fleet["version"]) > DAYS


# Numbers


def test_slow_results_are_waited_for_in_the_triggerer(runs):
    (wait,) = [task for task in runs.fleet.tasks(CHECK, runs.one_run[CHECK]) if task["task_id"] == "wait"]
    assert runs.fleet.xcom(CHECK, runs.one_run[CHECK], "check")["processing"] > 0
    here = {f"dag_id={CHECK}", f"run_id={runs.one_run[CHECK]}"}
    logs = [path for path in runs.fleet.task_logs() if here <= {*path.parts} and "trigger" in path.name]
    assert (wait["state"], len(logs)) == ("success", 1)


def test_every_check_ends_with_final_results(runs):
    assert {status for (status,) in runs.rows(RESULTS)} <= {"valid", "invalid", "rejected"}


def test_results_delivered_only_by_callback_end_the_wait(runs):
    assert runs.fleet.xcom(CHECK, runs.late, "check")["processing"] == 20
    assert {outcome for callback in runs.delivered for outcome in callback["outcomes"]} == {200}
    statuses = runs.rows("SELECT status FROM wacontacts_check_result WHERE contact_key LIKE 'late%'")
    assert (len(statuses), {status for (status,) in statuses} <= {"valid", "invalid"}) == (20, True)


def test_a_snapshot_of_all_contacts_is_complete(runs):
    assert runs.rows("SELECT state FROM wacontacts_extraction WHERE source = 'green_api'") == [("complete",)]


# Fan-out


def test_every_slice_is_checked_and_all_contacts_are_in_a_slice(runs):
    given = [runs.fleet.xcom(MANY, runs.one_run[MANY], "part.check", map_index=n)["given"] for n in range(SLICES)]
    assert (sum(given), min(given) > 0) == (MANY_ROWS, True)


def test_all_workers_share_the_senders_rate_limit(runs):
    """Tasks ask about two at a time here; those who wait, in the triggerer, about all that are left."""
    at = sorted(call["at"] for call in runs.calls if call["size"] <= 2)
    some = 100
    quickest = min(last - first for first, last in zip(at, at[some:], strict=False))
    assert len(at) >= MANY_ROWS / 2
    # Requests that were sent 20 a second may arrive in bursts; without a limit, all arrive at once.
    assert some / quickest <= 40
    assert runs.answered.keys() == {"200"}


def test_one_task_at_a_time_sends_requests_for_a_sender(runs):
    tasks = [task for task in runs.fleet.tasks(MANY, runs.one_run[MANY]) if task["task_id"] == "part.check"]
    spans = sorted((task["start_date"], task["end_date"]) for task in tasks)
    assert len(spans) == SLICES
    assert [after for before, after in pairwise(spans) if after[0] < before[1]] == []


def test_only_processing_numbers_are_requested_again(runs):
    slices = [runs.fleet.xcom(MANY, runs.one_run[MANY], "part.check", map_index=n) for n in range(SLICES)]
    again = [number for number, times in runs.asked.items() if times > 1]
    assert len(runs.asked) == MANY_ROWS
    assert len(again) == sum(one["processing"] for one in slices)


def test_the_mapped_values_contain_no_personal_data(runs):
    queries = runs.fleet.xcom(MANY, runs.one_run[MANY], "slices")
    assert {re.sub(r"slice = [0-9]+( OR c.contact_key IS NULL)?", "slice", query) for query in queries} == {
        re.sub(r"slice = [0-9]+", "slice", queries[-1])
    }
    assert len(queries) == SLICES


def test_the_valid_ids_of_all_slices_are_written(runs):
    of_many = "contact_key ~ '^[0-9]+$'"
    handed_on = runs.rows(f"SELECT contact_key, wa_id FROM whatsapp_ids WHERE {of_many} ORDER BY 1")
    valid = f"SELECT contact_key, wa_id FROM wacontacts_check_result WHERE status = 'valid' AND {of_many} ORDER BY 1"
    assert handed_on == runs.rows(valid)
    assert len(handed_on) > MANY_ROWS / 2
