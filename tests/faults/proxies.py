"""A failing proxy between a client and a mock server: plain, or with a tunnel by CONNECT."""

from __future__ import annotations

import http.client
import ssl
import tempfile
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from tests.clients.test_tls import certificate
from tests.faults.subjects import Fault, Subject

__all__ = ["KINDS", "PROXIES", "Kind", "Proxy", "Route"]

Kind = Literal["refused", "unavailable", "gateway", "lost", "cut"]
#: What a proxy does with a request that it strikes.
KINDS: dict[Kind, str] = {
    "refused": "502 Bad Gateway before it forwards, or no tunnel",
    "unavailable": "503 Service Unavailable after it forwarded",
    "gateway": "504 Gateway Timeout, as HTML, after it forwarded",
    "lost": "connection dropped after it forwarded",
    "cut": "response cut",
}
HTML = b"<html><body>The gateway has a problem.</body></html>"
#: Nothing listens there: only a proxy leads to the server.
HOST = "127.0.0.1:9"


class Route(NamedTuple):
    """How a client reaches the server: its URL, the proxy's by scheme, and the certificate to trust."""

    url: str
    proxies: dict[str, str]
    verify: str | bool


class Proxy:
    """
    Forwards every request to one server, until it is left.

    :param target: the server's URL.
    :param strikes: called for each request, and for each CONNECT; returns what goes wrong, or ``None``.
    """

    def __init__(self, target: str, strikes: Callable[[], Kind | None], *, is_tunnel: bool = False) -> None:
        self.target = urlsplit(target).netloc
        self.strikes = strikes
        self.is_tunnel = is_tunnel
        self._directory = tempfile.TemporaryDirectory()
        self._certificate = certificate(Path(self._directory.name) / "host.pem", address="127.0.0.1")
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self._certificate)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._directory.cleanup()

    @property
    def route(self) -> Route:
        url = f"http://127.0.0.1:{self._server.server_address[1]}"
        scheme = "https" if self.is_tunnel else "http"
        return Route(f"{scheme}://{HOST}", {scheme: url}, self._certificate)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nobody's business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_CONNECT(self) -> None:
        if self.server.proxy.strikes() == "refused":
            self._answer(502, HTML)
            return
        self.send_response(200)
        self.end_headers()
        self.request = self.server.proxy.tls.wrap_socket(self.connection, server_side=True)
        self.setup()
        self.close_connection = False

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        kind = self.server.proxy.strikes()
        if kind == "refused":
            self._answer(502, HTML)
            return
        with suppress(OSError, http.client.HTTPException):
            status, content, kept = self._forward(body)
            self._answer_after(kind, status, content, kept)
            return
        self.close_connection = True

    do_POST = do_GET  # noqa: N815

    def _forward(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        parts = urlsplit(self.path)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        line = http.client.HTTPConnection(self.server.proxy.target, timeout=60)
        try:
            line.request(self.command, path, body, headers)
            answer = line.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            return answer.status, answer.read(), kept
        finally:
            line.close()

    def _answer_after(self, kind: Kind | None, status: int, content: bytes, headers: dict[str, str]) -> None:
        match kind:
            case "unavailable":
                self._answer(503, HTML)
            case "gateway":
                self._answer(504, HTML)
            case "lost":
                self.close_connection = True
            case "cut":
                self._answer(status, content, headers, cut=len(content) // 2)
                self.close_connection = True
            case _:
                self._answer(status, content, headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in (headers or {"content-type": "text/html"}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])


#: Headers of one connection alone, and those that are written again.
_HOP = {"connection", "content-length", "host", "keep-alive", "proxy-connection", "transfer-encoding"}


def _fault(kind: Kind, *, is_tunnel: bool) -> Fault:
    def strike(subject: Subject) -> None:
        left = [subject.chance.randint(0, 3), subject.chance.choice([1, 3, 30])]

        def strikes() -> Kind | None:
            skip, times = left
            left[skip == 0] -= 1
            return kind if skip == 0 and times > 0 else None

        with Proxy(subject.sandbox.url, strikes, is_tunnel=is_tunnel) as proxy:
            subject.route = proxy.route
            subject.attempt()

    name = f"proxy, {'CONNECT' if is_tunnel else 'http'}: {KINDS[kind]}"
    return Fault(name, strike, lambda subject, _: bool(subject.requests))


PROXIES = tuple(_fault(kind, is_tunnel=is_tunnel) for is_tunnel in (False, True) for kind in KINDS)
