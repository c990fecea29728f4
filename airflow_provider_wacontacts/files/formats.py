"""The formats that contacts can be filed in."""

from __future__ import annotations

from importlib.util import find_spec

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.files.parquet import ParquetRows
from airflow_provider_wacontacts.files.sinks import JsonLines, PartWriter, Sink

__all__ = ["FILE_FORMATS", "JSON_LINES", "PARQUET", "new_writer", "validate_file_format"]

JSON_LINES = "jsonl.gz"
PARQUET = "parquet"
FILE_FORMATS = (JSON_LINES, PARQUET)


def validate_file_format(file_format: str) -> None:
    """
    Make sure that a format can be written here, before anything is asked of anybody.

    :raises ConfigError: there is no such format, or the library it needs is not installed.
    """
    if file_format not in FILE_FORMATS:
        known = " or ".join(map(repr, FILE_FORMATS))
        raise ConfigError(f"file_format is {file_format!r}; it can be {known}")
    if file_format == PARQUET and find_spec("pyarrow") is None:
        raise ConfigError(
            f"file_format {PARQUET!r} needs pyarrow: install airflow-provider-wacontacts[parquet], or choose "
            f"{JSON_LINES!r}"
        )


def new_writer(file_format: str, sink: Sink, source: str, account: str) -> PartWriter:
    """Return what writes contacts of one account into a new file."""
    return JsonLines(sink) if file_format == JSON_LINES else ParquetRows(sink, source, account)
