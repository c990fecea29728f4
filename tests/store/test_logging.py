"""SQLAlchemy's logs of a store contain statements if enabled, but never rows."""

import io
import logging

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.store.transactions import Transactions

ROW = "16315551000"


@pytest.fixture
def log(monkeypatch):
    """All logs of SQLAlchemy at DEBUG."""
    said = io.StringIO()
    logger = logging.getLogger("sqlalchemy")
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(said)])
    monkeypatch.setattr(logger, "propagate", False)
    # An earlier logging configuration may have disabled loggers, or set their levels.
    for name, child in logger.manager.loggerDict.items():
        if name.startswith("sqlalchemy.") and isinstance(child, logging.Logger):
            for state, value in {"disabled": False, "level": logging.NOTSET, "propagate": True}.items():
                monkeypatch.setattr(child, state, value)
    logger.manager._clear_cache()
    yield said
    logger.manager._clear_cache()


def ask(connection):
    return connection.execute(text("SELECT CAST(:value AS text)"), {"value": ROW}).scalar()


def test_neither_parameters_nor_rows_are_logged_at_debug(log, store_engine):
    sessions = Transactions(store_engine)

    with sessions.read() as connection:
        found = [ask(connection), sessions.run(ask)]

    assert found == [ROW, ROW]
    assert log.getvalue().count("SELECT CAST(") >= 2
    assert ROW not in log.getvalue()


@pytest.mark.parametrize("echo", [True, "debug"])
def test_an_engine_with_echo_does_not_log_them_either(log, sqlite_url, capsys, echo):
    engine = create_engine(sqlite_url, echo=echo)

    Transactions(engine).run(ask)

    assert ROW not in log.getvalue() + "".join(capsys.readouterr())
    engine.dispose()


def test_other_engines_are_unchanged(log, sqlite_url):
    engine = create_engine(sqlite_url)
    Transactions(engine)

    with engine.connect() as connection:
        ask(connection)

    assert (engine.hide_parameters, engine.logging_name) == (False, None)
    assert log.getvalue().count(ROW) == 2
    engine.dispose()
