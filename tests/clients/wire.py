"""A fake server that sends scripted responses, including dropped connections, and records requests."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """
    A scripted response.

    :param headers: replace default headers; a wrong ``content-length`` is sent unchanged.
    :param cut: close the connection after this many bytes of the body; 0 sends only the head.
    :param drip_from: from this byte, send head and body byte by byte, 50 a second.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    drip_from: int | None = None

    def head(self) -> bytes:
        length = {} if "transfer-encoding" in self.headers else {"content-length": str(len(self.body))}
        lines = [f"{name}: {value}" for name, value in (length | dict(self.headers)).items()]
        return "\r\n".join([f"HTTP/1.1 {self.status} Some Reason", *lines, "", ""]).encode("latin-1")


#: The connection is dropped before a response.
DROP = Answer(status=0, cut=0)
#: No response is sent while the client waits.
SILENCE = Answer(status=0)


def chunked(*chunks: bytes, is_ended: bool = True) -> Answer:
    """A chunked response, with or without the final chunk."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    end = b"0\r\n\r\n" if is_ended else b""
    return Answer(body=body + end, headers={"transfer-encoding": "chunked"}, cut=None if is_ended else len(body))


class _Line(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        wire = self.server.wire
        wire.lines += 1
        with contextlib.suppress(OSError):
            while (asked := self._read()) is not None:
                wire.asked.append(asked)
                answer = wire.next_answer()
                if not self._say(answer):
                    return
                if asked.method == "CONNECT" and wire.tunnel and answer.status == 200:
                    self.request = wire.tunnel.wrap_socket(self.request, server_side=True)
                    self.setup()

    def _read(self) -> Asked | None:
        first = self.rfile.readline().decode("latin-1").split()
        if not first:
            return None
        headers = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return Asked(first[0], first[1], headers, self.rfile.read(int(headers.get("content-length", 0))))

    def _say(self, answer: Answer) -> bool:
        if answer is SILENCE:
            self.rfile.read(1)
        if answer.status:
            self._send(answer.head() + answer.body[: answer.cut], answer.drip_from)
        return answer.status > 0 and answer.cut is None

    def _send(self, data: bytes, drip_from: int | None) -> None:
        self.wfile.write(data[:drip_from])
        for byte in data[drip_from:] if drip_from is not None else b"":
            time.sleep(0.02)
            self.wfile.write(bytes([byte]))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    wire: Wire

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore handshakes that the client aborts."""


class Wire:
    """
    ``with Wire() as wire``: serves on a free port of the loopback interface.

    :param tls: a server's context, for ``https``.
    :param tunnel: the same for the host that a successful ``CONNECT`` reaches.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, tunnel: ssl.SSLContext | None = None) -> None:
        self.tunnel = tunnel
        self.asked: list[Asked] = []
        self.lines = 0
        self._script: deque[Answer] = deque()
        self._default = Answer()
        self._server = _Server(("127.0.0.1", 0), _Line)
        self._server.wire = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "https" if tls else "http"

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def will(self, *answers: Answer, ever_after: Answer | None = None) -> None:
        """Queue responses; after them, send an empty object, or ``ever_after``."""
        self._script.extend(answers)
        self._default = ever_after or self._default

    def next_answer(self) -> Answer:
        return self._script.popleft() if self._script else self._default

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
