"""
A mock server of Turn.io's export that answers as fast as a machine can: whole pages, written beforehand, from a file.

It runs in a process of its own, so what it takes is in nobody's figures. ``python -m benchmarks.server ROWS`` prints
its port and serves until its standard input ends. ``ROWS SECONDS FIELDS`` waits before each page, and gives each
contact more fields.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO

from benchmarks.contacts import cursor, pages

__all__ = ["Export", "serving"]

ROOT = Path(__file__).resolve().parent.parent
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Export:
    """An export to be had: where, and how much it is."""

    url: str
    rows: int
    size: int


@contextmanager
def serving(rows: int, delay_s: float = 0.0, more_fields: int = 0) -> Iterator[Export]:
    """Serve an export of so many contacts for as long as the block lasts, each page after a delay."""
    command = [sys.executable, "-m", "benchmarks.server", str(rows), str(delay_s), str(more_fields)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port, size = process.stdout.readline().split()
        try:
            yield Export(f"http://127.0.0.1:{port}", rows, int(size))
        finally:
            process.stdin.close()


class _Pages:
    """The pages, one behind the other in a file that has no name."""

    def __init__(self, file: BinaryIO, delay_s: float, bodies: Iterable[bytes]) -> None:
        self.file = file
        self._delay_s = delay_s
        self.size = 0
        self._at: dict[bytes, tuple[int, int]] = {}
        for number, body in enumerate(bodies):
            self._at[cursor(number).encode()] = (self.size, file.write(body))
            self.size += len(body)
        file.flush()

    def __contains__(self, name: bytes) -> bool:
        return name in self._at

    def send(self, client: socket.socket, name: bytes) -> None:
        offset, length = self._at[name]
        time.sleep(self._delay_s)
        client.sendall(_head(length), socket.MSG_MORE if hasattr(socket, "MSG_MORE") else 0)
        end = offset + length
        while offset < end:
            offset += os.sendfile(client.fileno(), self.file.fileno(), offset, end - offset)


def _head(length: int) -> bytes:
    date = formatdate(usegmt=True)
    return (
        f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def _answer(client: socket.socket, stored: _Pages) -> None:
    with client, client.makefile("rb", buffering=1 << 16) as lines:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request := lines.readline():
            headers = b"\r\n" + b"".join(iter(lines.readline, b"\r\n"))
            if length := LENGTH.search(headers):
                lines.read(int(length[1]))
            method, path, _ = request.split(b" ", 2)
            if method == b"POST":
                created = f'{{"cursor":"{cursor(0)}","expires_at":"2026-01-08T00:00:00.000000Z"}}'.encode()
                client.sendall(_head(len(created)) + created)
            elif (name := path.rpartition(b"/")[2]) in stored:
                stored.send(client, name)
            else:
                # The contact fields: it declares none.
                client.sendall(_head(2) + b"[]")


def main() -> None:
    with tempfile.TemporaryFile() as file, socket.create_server(("127.0.0.1", 0)) as listener:
        rows, delay_s, more_fields = sys.argv[1:]
        stored = _Pages(file, float(delay_s), pages(int(rows), int(more_fields)))
        print(listener.getsockname()[1], stored.size, flush=True)
        threading.Thread(target=_accept, args=(listener, stored), daemon=True).start()
        sys.stdin.read()


def _accept(listener: socket.socket, stored: _Pages) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_answer, args=(client, stored), daemon=True).start()


if __name__ == "__main__":
    main()
