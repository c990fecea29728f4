"""
dlt: its REST client into its filesystem destination as ``jsonl.gz``.

Takes how deep it is to take objects apart into columns; its own default otherwise. With 0 ``details`` stays one value,
as with us.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator
from requests import Request

from benchmarks.contender import compete, lines_in

NESTING = int(sys.argv[1]) if sys.argv[1:] else None
PATH = "v1/data/contacts/cursor"
BODY = {"from": "2026-01-05T00:00:00.000Z", "until": "2026-01-06T00:00:00.000Z"}


class _CursorInPath(JSONResponseCursorPaginator):
    """Turn.io's cursors are the last part of the path."""

    def update_request(self, request: Request) -> None:
        request.url = f"{request.url.rpartition('/')[0]}/{self._next_reference}"


@dlt.resource(name="contacts", max_table_nesting=NESTING, write_disposition="append")
def contacts(url: str) -> Iterator[list[dict[str, Any]]]:
    client = RESTClient(url, auth=BearerTokenAuth("example-token"), paginator=_CursorInPath(cursor_path="paging.next"))
    cursor = client.post(PATH, json=BODY).json()["cursor"]
    yield from client.paginate(f"{PATH}/{cursor}", data_selector="data")


def pull(url: str, out: Path) -> None:
    pipeline = dlt.pipeline(
        pipeline_name="contacts",
        pipelines_dir=str(out / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(out / "landed").as_uri()),
        dataset_name="turn",
    )
    pipeline.run(contacts(url), loader_file_format="jsonl").raise_on_failed_jobs()


if __name__ == "__main__":
    compete(pull, lambda out: lines_in((out / "landed/turn/contacts").glob("*.gz")))
