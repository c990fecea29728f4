"""Refuse requests from web pages of other sites, which can reach a local server."""

from __future__ import annotations

import json
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["CallerMiddleware"]

#: Names of the host machine inside a container.
LOCAL_NAMES = frozenset({"host.docker.internal", "host.containers.internal"})
REFUSED = json.dumps(
    {"error": "The sandbox refuses requests of web pages, and of host names with a dot. Allow one with --allow-host."}
).encode()


class CallerMiddleware:
    """
    An application that responds with 403 Forbidden to requests with a foreign ``Origin`` or ``Host``.

    A web page can send requests to a local server, and with DNS rebinding also under the page's own host name.
    Addresses, and names without a dot, cannot be rebound.

    :param allowed: further host names.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str] = ()) -> None:
        self._app = app
        self._allowed = LOCAL_NAMES | {name.lower() for name in allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request."""
        if scope["type"] == "http" and not self._is_served(scope):
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(REFUSED)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSED})
            return
        await self._app(scope, receive, send)

    def _is_served(self, scope: Scope) -> bool:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        return (
            len(hosts) <= 1
            and all(self._is_local(f"//{host}") for host in hosts)
            and all(origin.partition("://")[2] in hosts for origin in origins)
        )

    def _is_local(self, url: str) -> bool:
        try:
            name = (urlsplit(url).hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self._allowed or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return bool(ip_address(name))
        except ValueError:
            return bool(name) and "." not in name
