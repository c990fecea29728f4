"""Proxies between a client and a TCP server of this machine."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from contextlib import suppress

__all__ = ["Proxy", "SilentProxy"]

#: Linux's socket option of a packet filter, and a filter that drops each packet before it is acknowledged.
SO_ATTACH_FILTER = 26
DROP = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))


class Proxy:
    """
    Forwards connections to a port of this machine.

    :ivar port: the port to connect to.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def rewrite(self, data: bytes) -> bytes:
        """Return what to forward instead of what was received."""
        return data

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._clients.append(client)
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(self.rewrite(data))
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class SilentProxy(Proxy):
    """A network that falls silent: packets are lost, and no connection is closed."""

    def silence(self) -> None:
        """Lose each further packet of the connections of now. New connections work."""
        for client in self._clients:
            client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(DROP)))
