"""
Files in a local directory: private whatever the umask, and never written through a symbolic link.

A file gets the permissions of its folder, without execute permission. So users with permission to list an extraction
may read it, and a rewritten file is as private as the original.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE
from typing import IO, Any

from airflow_provider_wacontacts.exceptions import ConfigError

__all__ = ["FILE_MODE", "create_file", "create_folder", "local_path", "refuse_links", "walk"]

#: Permissions of files: only the owner may read and write them.
FILE_MODE = 0o600


def local_path(path: Any) -> Path | None:
    """Return the path in the local file system; ``None`` for object storage."""
    protocol = getattr(path, "protocol", None)
    if protocol in {"file", "local"}:
        return Path(path.path)
    # In Airflow 2.11, paths of object storage are PathLike as well.
    return Path(path) if isinstance(path, os.PathLike) and not protocol else None


def create_file(path: Path, mode: int | None = None, *, exclusive: bool = False) -> IO[bytes]:
    """
    Create a file, or empty it, and open it for writing.

    :param mode: permissions. Default: permissions of its folder, without execute permission.
    :param exclusive: fail if it exists.
    """
    if mode is None:
        mode = S_IMODE(path.parent.stat().st_mode) & 0o666

    def open_private(name: str, flags: int) -> int:
        descriptor = os.open(name, flags | os.O_NOFOLLOW, FILE_MODE)
        os.fchmod(descriptor, mode)
        return descriptor

    return open(path, "xb" if exclusive else "wb", opener=open_private)


def create_folder(path: Path, file_mode: int) -> None:
    """
    Create a folder, and its missing parents.

    :param file_mode: permissions of the files in it. Users that may read these may list the folder.
    """
    if path.is_dir():
        return
    create_folder(path.parent, file_mode)
    path.mkdir(exist_ok=True)
    path.chmod(file_mode | (file_mode & 0o444) >> 2)


def refuse_links(root: Path, names: Sequence[str]) -> None:
    """
    Check that no folder below the root is a symbolic link.

    :raises ConfigError: a folder is a symbolic link: readers and erasures would not find files behind it.
    """
    for depth in range(1, len(names) + 1):
        if root.joinpath(*names[:depth]).is_symlink():
            raise ConfigError(
                f"The folder {'/'.join(names[:depth])!r} below `path` is a symbolic link. Readers and erasures do not"
                " follow it. Replace it with a directory, or set `path` to its target."
            )


def walk(root: Path, depth: int, feeds: Collection[str]) -> Iterator[tuple[str, ...]]:
    """
    Yield the files and folders at a depth below the root, each as a tuple of names. Symbolic links are not followed.

    :param feeds: folders below the root in which a symbolic link is an error.
    :raises ConfigError: a folder of a feed is a symbolic link.
    """
    return _walk(root, (), depth, feeds)


def _walk(root: Path, names: tuple[str, ...], depth: int, feeds: Collection[str]) -> Iterator[tuple[str, ...]]:
    found: list[tuple[str, bool, bool]] = []
    # Another process may have deleted the folder since it was listed.
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(root.joinpath(*names)) as entries:
        found = [(entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries]
    for name, is_folder, is_link in found:
        below = (*names, name)
        if len(below) == depth:
            yield below
        elif is_folder and is_link and below[0] in feeds:
            refuse_links(root, below)
        elif is_folder and not is_link:
            yield from _walk(root, below, depth, feeds)
