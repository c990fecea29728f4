"""A real pgbouncer in transaction mode, in which each transaction may use another server session."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.erasure import erase
from demo.postgres import free_port
from tests.store.conftest import MONDAY

CONFIG = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 100
"""


@pytest.fixture(params=["psycopg2", "psycopg"])
def pooled_url(request, postgres_url):
    """URL of a database behind a pool of two sessions, for each driver."""
    pytest.importorskip(request.param)
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    url = make_url(postgres_url)
    listen = free_port()
    # pgbouncer refuses to run as root.
    user = "nobody" if getpass.getuser() == "root" else None
    with NamedTemporaryFile("w", suffix=".ini") as config:
        config.write(CONFIG.format(host=url.host, port=url.port, user=url.username, listen=listen))
        config.flush()
        Path(config.name).chmod(0o644)
        process = subprocess.Popen([program, "-q", config.name], user=user, stderr=subprocess.DEVNULL)
        _wait_for(listen, process)
        yield url.set(drivername=f"postgresql+{request.param}", port=listen).render_as_string(hide_password=False)
        process.terminate()
        process.wait()


def _wait_for(port, process):
    while True:
        assert process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


def test_loading_and_erasing_work_behind_a_pool_of_two_sessions(pooled_url, landing_on):
    engine = create_engine(pooled_url)
    store = Store(engine)
    store.prepare()
    landing = landing_on(store, engine)
    failures = []

    def work(number):
        try:
            for day in range(3):
                extraction = landing.begin(f"worker {number}, {day}")
                records = [landing.record(f"{number}-{day}-{n}", MONDAY, name="é\\") for n in range(20)]
                landing.land(extraction, *records, landing.record("shared", MONDAY), position=MONDAY)
        except Exception as error:  # noqa: BLE001 - shown below
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    erase(store.context, [Identifier(Kind.CONTACT, "shared")])

    landing.land(landing.begin("again"), landing.record("shared", MONDAY))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT count(*), count(DISTINCT contact_id) FROM wacontacts_version")).one()
    engine.dispose()
    assert (failures, tuple(found)) == ([], (360, 360))
