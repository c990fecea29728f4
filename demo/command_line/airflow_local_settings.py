"""
What Airflow's command line needs so as not to lose a race for its own SQLite database.

``airflow backfill create`` reads and then writes within a savepoint. On SQLite that is a transaction which begins as a
reader's and cannot become a writer's when the scheduler has written in between: "database is locked", at once, however
long the timeout. Begun as a writer's it waits for its turn. Airflow imports this module by its name.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine


@event.listens_for(Engine, "savepoint")
def _begin_as_a_writer(connection: Connection, _: Any) -> None:
    if connection.dialect.name == "sqlite" and not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
        connection.exec_driver_sql("BEGIN IMMEDIATE")
