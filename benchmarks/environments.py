"""Environments of their own for the peers, below ``.bench/``: made once, and again when what is pinned changes."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from hashlib import blake2b
from pathlib import Path

from benchmarks.server import ROOT

__all__ = ["NotInstalledError", "python_of"]

HOME = ROOT / ".bench"
REQUIREMENTS = Path(__file__).parent / "peers"


class NotInstalledError(Exception):
    """A peer cannot be had here."""


def python_of(peer: str) -> str:
    """
    Return the Python of a peer's environment, made if need be.

    :raises NotInstalledError: it cannot be made.
    """
    pinned = REQUIREMENTS / f"{peer}-requirements.txt"
    digest = blake2b(pinned.read_bytes() + sys.version.encode(), digest_size=6).hexdigest()
    home = HOME / f"{peer}-{digest}"
    python = home / "bin" / "python"
    if not (home / "installed").exists():
        print(f"Setting up {peer} in {home.relative_to(ROOT)}, once", file=sys.stderr, flush=True)
        _keep_out_of_git()
        _call(sys.executable, "-m", "venv", "--clear", str(home))
        _install(str(python), str(pinned))
        (home / "installed").touch()
    return str(python)


def _keep_out_of_git() -> None:
    HOME.mkdir(exist_ok=True)
    (HOME / ".gitignore").write_text("*\n")


def _install(python: str, pinned: str) -> None:
    """Install by uv, which is quicker; where it is not to be had, or knows of no mirror that pip knows of, by pip."""
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    try:
        _call(str(uv), "pip", "install", "--quiet", "--python", python, "--requirement", pinned)
    except NotInstalledError:
        _call(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", pinned)


def _call(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotInstalledError(str(error)) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotInstalledError(said[-1] if said else f"{command[0]} ended with {done.returncode}")
