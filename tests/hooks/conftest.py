"""Connections as environment variables: Airflow reads them there without a database."""

import json

import pytest

from tests.clients.conftest import clock, wire

__all__ = ["clock", "connect", "wire"]


@pytest.fixture
def connect(monkeypatch):
    """Define a connection, or define it anew."""

    def define(conn_id="turn_default", **fields):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
        return conn_id

    return define
