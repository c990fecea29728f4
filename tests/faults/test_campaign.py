"""The short campaign, with one round of each fault, and the DAGs of the campaign on a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.faults.campaign import FAULTS, campaign, table
from tests.faults.deployed.deployment import DAGS, WORK

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag

SEED = 1


def test_no_fault_causes_loss_duplicates_overspending_hangs_or_leaks(
    tmp_path: Path, postgres: Any, postgres_engine: Any
) -> None:
    urls = [f"sqlite:///{tmp_path}/store.db"]
    for driver in ("psycopg2", "psycopg"):
        with postgres_engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text(f"CREATE DATABASE campaign_{driver}"))
        urls.append(postgres.url(driver=driver, database=f"campaign_{driver}"))

    tallies = campaign(SEED, 0, urls, tmp_path)

    assert set(tallies) == {fault.name for fault in FAULTS}
    assert [name for name, tally in tallies.items() if not tally.is_clean] == [], table(tallies)


def test_the_dags_of_the_campaign_on_a_deployment_import() -> None:
    bag = DagBag(dag_folder=str(DAGS))

    assert bag.import_errors == {}
    assert {*bag.dags} == {f"faults_{name}" for name in WORK}
