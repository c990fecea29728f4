"""A killed worker leaves no files that a reader accepts as complete."""

import random
import signal
import subprocess
import sys
import time

import pytest

from airflow_provider_wacontacts.files import complete_prefixes, read_contacts

KILLS, PAGES, ROWS = 10, 6, 40

WORKER = f"""
import sys
from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_wacontacts.files import ExtractionWriter
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.turn import parse_page
from airflow_provider_wacontacts.records.windows import Window

start, end = datetime(2022, 9, 12, tzinfo=UTC), datetime(2022, 9, 13, tzinfo=UTC)
text = '{{"uuid":"%d","updated_at":"2022-09-12T08:30:00Z","details":{{"name":"' + "x" * 2000 + '"}}}}'
body = '{{"data":[' + ",".join(text % n for n in range({ROWS})) + "]}}"
page = parse_page(body.encode())
print("ready", flush=True)
while True:
    with ExtractionWriter(Path(sys.argv[1]), source="turn", account="main", window=Window(start, end),
                          task=TaskInstanceKey("dag", "run", "task"), package_version="0.0.1", file_format=sys.argv[2],
                          part_rows={ROWS} * 2) as extraction:
        for _ in range({PAGES}):
            extraction.write(page)
        extraction.finish(extracted_at=end, finished_at=end, lossy=False)
    print(extraction.extraction_id, flush=True)
"""


@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_only_finished_extractions_of_killed_workers_are_read(tmp_path, file_format):
    finished = set()
    kills = 0
    while kills < KILLS or is_whole(tmp_path):
        command = [sys.executable, "-c", WORKER, tmp_path, file_format]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout.readline() == "ready\n"
            time.sleep(random.Random(kills).uniform(0, 0.08))
            worker.send_signal(signal.SIGKILL)
            said = worker.stdout.read()
        kills += 1
        finished.update(line for line in said.splitlines() if len(line) == 32)
    complete = complete_ids(tmp_path)
    assert finished <= complete
    assert len(complete - finished) <= kills, "each worker can die between its last manifest and saying so"
    read = [found.extraction_id for found in read_contacts(tmp_path)]
    assert {extraction_id: read.count(extraction_id) for extraction_id in complete} == dict.fromkeys(
        complete, PAGES * ROWS
    )
    assert len(begun_ids(tmp_path) - complete) <= kills


def begun_ids(path):
    return {each.name for each in path.glob("turn/main/2022-09-12/*")}


def complete_ids(path):
    return {found.manifest.extraction_id for found in complete_prefixes(path)}


def is_whole(path):
    """No worker was killed inside an extraction yet."""
    return begun_ids(path) == complete_ids(path)
