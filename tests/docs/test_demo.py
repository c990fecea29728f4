"""The demo's queries match the tables of the store."""

from sqlalchemy import create_engine

from airflow_provider_wacontacts.store import Store
from demo import checks_report, landed, snapshots


def test_the_demos_queries_match_the_tables(tmp_path):
    path = tmp_path / "store.db"
    engine = create_engine(f"sqlite:///{path}")
    Store(engine).prepare()
    engine.dispose()
    results = ", ".join(checks_report.Result._fields)

    assert landed.pulls(path) == []
    assert (landed.contacts(path), landed.states(path), landed.history_of(path, "any")) == (0, frozenset(), [])
    assert landed.query(path, snapshots.PAGE)[1] == []
    assert landed.query(path, f"SELECT {results} FROM wacontacts_check_result ORDER BY ordinal")[1] == []
