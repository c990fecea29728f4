"""``wacontacts store repseudonymize``."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.cli import main
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.checks.model import CheckResults, NumberResult
from airflow_provider_wacontacts.store.checks.sender import SenderChecks

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
OLD, NEW = b"an old secret of 16 bytes and more", "a new secret of 16 bytes and more"


def test_keys_are_recomputed_with_the_new_secret(tmp_path, monkeypatch, capsys):
    url = f"sqlite:///{tmp_path}/store.db"
    engine = create_engine(url)
    store = Store(engine, secret=OLD)
    store.prepare()
    results = CheckResults({"+16315551000": NumberResult("valid", "16315551000")}, NOON, NOON)
    SenderChecks(store.context, "+12015550100").record_delivered(results)
    monkeypatch.setenv("STORE_URL", url)
    monkeypatch.setenv("SECRET", NEW)

    arguments = ["store", "repseudonymize", "--url-env", "STORE_URL", "--secret-env", "SECRET", "--json"]
    assert [main(arguments), json.loads(capsys.readouterr().out)] == [0, {"rows": 1}]

    Store(engine, secret=NEW.encode()).prepare()
    with pytest.raises(ConfigError, match="repseudonymize"):
        store.prepare()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT person_key = number_key FROM wacontacts_number")).scalar() == 1
    engine.dispose()
