"""New files with personal data, which only their owner can read."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.files.local import FILE_MODE, create_file

__all__ = ["write_private"]


def write_private(path: str, data: bytes) -> None:
    """
    Write a new file.

    :raises ConfigError: it exists, or cannot be created.
    """
    try:
        with create_file(Path(path), FILE_MODE, exclusive=True) as file:
            file.write(data)
    except FileExistsError:
        raise ConfigError("The file of `--output` exists. Name a new one.") from None
    except OSError as error:
        raise ConfigError(f"The file of `--output` cannot be written ({type(error).__name__}).") from None
