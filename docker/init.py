"""
Makes ready what the services of docker-compose.yaml need, before they start. Safe to run again: nothing is lost.

Airflow's tables, the databases of the store and of the invented CRM, pools, connections, the store's tables, and the
login. Of these, all but the pools and the login is left as it is where it is there already: a connection that was
changed in Airflow's UI stays so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import phonenumbers
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

MAINTENANCE_URL = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
CRM = "crm"


def main() -> None:
    """Do all of it, each step after the one before."""
    _run("airflow", "db", "migrate")
    for name in os.environ["DATABASES"].split():
        _make_database(name)
    _import("pools", os.environ["POOLS"])
    _import("connections", os.environ["CONNECTIONS"])
    _run("wacontacts", "store", "upgrade", "--url-env", "STORE_URL")
    _fill_crm()
    _write_login()


def _run(*command: str) -> None:
    print("+", *command[:3], flush=True)
    subprocess.run(command, check=True)


def _import(what: str, members: str) -> None:
    """Hand a mapping, as JSON, to ``airflow pools import`` or ``airflow connections import``, by a file of our own."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(json.loads(members), file)
        file.flush()
        _run("airflow", what, "import", file.name)


def _make_database(name: str) -> None:
    engine = create_engine(MAINTENANCE_URL, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if not connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}):
            connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
    engine.dispose()


def _fill_crm() -> None:
    """Put the example numbers that phonenumbers has for each country into a table of contacts."""
    engine = create_engine(make_url(MAINTENANCE_URL).set(database=CRM))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS contacts (contact_key text PRIMARY KEY, number text, opted_in boolean)"
        )
        connection.execute(
            text("INSERT INTO contacts VALUES (:contact_key, :number, true) ON CONFLICT DO NOTHING"), _examples()
        )
    engine.dispose()


def _examples() -> list[dict[str, str]]:
    kind, form = phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberFormat.INTERNATIONAL
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    found = {region: phonenumbers.example_number_for_type(region, kind) for region in regions}
    return [
        {"contact_key": region, "number": phonenumbers.format_number(number, form)}
        for region, number in found.items()
        if number
    ]


def _write_login() -> None:
    path = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    path.touch(0o600)
    path.write_text(json.dumps({"admin": os.environ["ADMIN_PASSWORD"]}), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
