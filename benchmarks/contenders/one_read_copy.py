"""The least that any export can take: the bytes of the answers, each read at once by urllib3, into one file."""

from __future__ import annotations

import json
from pathlib import Path

import urllib3

from benchmarks.contender import compete
from benchmarks.contenders.copy import BODY, PATH, count, next_cursor


def copy(url: str, out: Path) -> None:
    headers = {"authorization": "Bearer example-token", "content-type": "application/json"}
    with urllib3.PoolManager(headers=headers) as pool, (out / "pages.json").open("wb") as file:
        created = pool.request("POST", url + PATH, body=json.dumps(BODY).encode())
        cursor: str | None = created.json()["cursor"]
        while cursor:
            body = pool.request("GET", f"{url}{PATH}/{cursor}").data
            file.write(body)
            cursor = next_cursor(body[-64:])


if __name__ == "__main__":
    compete(copy, count)
