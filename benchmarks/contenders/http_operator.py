"""
What one writes with Airflow's own HttpOperator: a pagination_function that follows the cursors, and a filter.

Takes the level at which gzip is to compress; its own default otherwise.
"""

from __future__ import annotations

import gzip
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from airflow.providers.http.operators.http import HttpOperator
from requests import Response

from benchmarks.contender import compete, lines_in
from benchmarks.contenders.airflow_run import connect, context

ENDPOINT = "v1/data/contacts/cursor"
HEADERS = {"authorization": "Bearer example-token", "content-type": "application/json"}
LEVEL = int(sys.argv[1]) if sys.argv[1:] else 9
BODY = {"from": "2026-01-05T00:00:00.000Z", "until": "2026-01-06T00:00:00.000Z"}


def pull(url: str, out: Path) -> None:
    connect("turn_http", "http", url)
    cursor = HttpOperator(
        task_id="cursor",
        http_conn_id="turn_http",
        method="POST",
        endpoint=ENDPOINT,
        headers=HEADERS,
        data=json.dumps(BODY),
        response_filter=lambda response: response.json()["cursor"],
    ).execute(context())
    HttpOperator(
        task_id="pages",
        http_conn_id="turn_http",
        method="GET",
        endpoint=f"{ENDPOINT}/{cursor}",
        headers=HEADERS,
        pagination_function=_following,
        response_filter=partial(_write, out=out),
    ).execute(context())


def _following(response: Response) -> dict[str, Any] | None:
    cursor = response.json()["paging"]["next"]
    return {"endpoint": f"{ENDPOINT}/{cursor}"} if cursor else None


def _write(responses: list[Response], *, out: Path) -> None:
    with gzip.open(out / "contacts.jsonl.gz", "wt", compresslevel=LEVEL) as file:
        for response in responses:
            for contact in response.json()["data"]:
                file.write(json.dumps(contact, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    compete(pull, lambda out: lines_in(out.glob("*.gz")))
