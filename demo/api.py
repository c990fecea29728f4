"""Airflow's REST API, as a person who is logged in sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import requests

__all__ = ["Api", "ApiRefusedError"]


class ApiRefusedError(RuntimeError):
    """Airflow answered that it will not."""


class Api:
    """
    One person's session.

    :param url: address of the API server, without a slash at its end.
    :param username: a user of the simple auth manager.
    :param password: theirs.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url
        self._login = {"username": username, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False

    def health(self) -> dict[str, str]:
        """Return the state of each component by name, ``healthy`` where it is; empty while nobody answers."""
        try:
            answer = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5)
            return {name: str(part["status"]) for name, part in answer.json().items()}
        except (requests.RequestException, ValueError):
            return {}

    def call(self, method: str, *path: str, json: Any = None, **params: Any) -> Any:
        """
        Send one request.

        :param path: parts below ``/api/v2``, as they are; they are quoted here.
        :returns: the decoded answer, ``None`` where it is empty.
        :raises ApiRefusedError: the status is not a success.
        """
        answer = self._send(method, path, json, params)
        if answer.status_code == 401:
            self._log_in()
            answer = self._send(method, path, json, params)
        if not answer.ok:
            raise ApiRefusedError(f"{method} {'/'.join(path)}: HTTP {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def listing(self, key: str, *path: str, **params: Any) -> list[dict[str, Any]]:
        """Read a whole list, page by page; ``key`` is the member of the answer that holds it."""
        return list(self._pages(key, path, params))

    def _pages(self, key: str, path: tuple[str, ...], params: dict[str, Any]) -> Iterator[dict[str, Any]]:
        offset, total = 0, 1
        while offset < total:
            answer = self.call("GET", *path, limit=100, offset=offset, **params)
            yield from answer[key]
            offset, total = offset + 100, answer["total_entries"]

    def _send(self, method: str, path: tuple[str, ...], json: Any, params: dict[str, Any]) -> requests.Response:
        address = "/".join([f"{self.url}/api/v2", *(quote(part, safe="~") for part in path)])
        return self._session.request(method, address, json=json, params=params, timeout=60)

    def _log_in(self) -> None:
        answer = self._session.post(f"{self.url}/auth/token", json=self._login, timeout=60)
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
