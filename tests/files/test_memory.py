"""The memory of an extraction does not depend on its length."""

import subprocess
import sys

import pytest

WORKER = """
import os
import sys
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

from airflow_provider_wacontacts.files import ExtractionWriter, read_contacts
from airflow_provider_wacontacts.records.task_instances import TaskInstanceKey
from airflow_provider_wacontacts.records.turn import parse_page
from airflow_provider_wacontacts.records.windows import Window

root, file_format, pages = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
start, end = datetime(2022, 9, 12, tzinfo=UTC), datetime(2022, 9, 13, tzinfo=UTC)
task = TaskInstanceKey("dag", "run", "task")
with ExtractionWriter(root, source="turn", account="main", window=Window(start, end), file_format=file_format,
                      task=task, package_version="0.0.1", part_bytes=8 * 2**20) as extraction:
    for _ in range(pages):
        noise = b64encode(os.urandom(750_000)).decode()
        rows = ",".join(
            '{"uuid":"%d","updated_at":"2022-09-12T08:30:00Z","details":{"name":"%s"}}' % (n, noise[n : n + 10_000])
            for n in range(0, 1_000_000, 10_000)
        )
        extraction.write(parse_page(('{"data":[' + rows + "]}").encode()))
    extraction.finish(extracted_at=end, finished_at=end, lossy=False)
assert sum(1 for _ in read_contacts(root)) == pages * 100
for line in open("/proc/self/status"):  # rusage would tell of the parent, whose peak a child inherits
    if line.startswith("VmHWM:"):
        print(line.split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of a process")
@pytest.mark.parametrize("file_format", ["jsonl.gz", "parquet"])
def test_memory_does_not_grow_with_the_number_of_pages(tmp_path, file_format):
    def most_kib(pages):
        command = [sys.executable, "-c", WORKER, tmp_path / str(pages), file_format, str(pages)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert most_kib(120) - most_kib(20) < 60 * 1024, "the 100 MB more were held"
