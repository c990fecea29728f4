"""All hooks and threads of a process send at most one request a second to an instance."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.green_api import REQUEST_INTERVAL
from airflow_provider_wacontacts.clients.retry import Clock
from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
from tests.clients.wire import Wire
from tests.hooks.green_api.api import CONTACTS, NO_CONTACTS, define, hook_of, state

SECOND = REQUEST_INTERVAL.total_seconds()


def test_the_interval_is_at_least_a_second():
    assert timedelta(seconds=1) <= REQUEST_INTERVAL < timedelta(seconds=1.5)


def test_requests_of_one_hook_keep_the_interval(hook, wire, clock):
    wire.will(CONTACTS, state("authorized"), NO_CONTACTS)
    hook.get_contacts()
    hook.get_state()
    hook.get_contacts()

    assert clock.sleeps == [pytest.approx(SECOND)] * 2


def test_connections_to_one_instance_share_a_rate_limiter(connect, wire, clock):
    wire.will(ever_after=NO_CONTACTS)
    for conn_id in ("green_api_1", "green_api_2"):
        define(connect, wire, conn_id)
        hook_of(clock, conn_id).get_contacts()

    assert clock.sleeps == [pytest.approx(SECOND)]


def test_other_instances_and_hosts_have_their_own_rate_limiter(connect, wire, clock):
    with Wire() as other:
        for n, (server, login) in enumerate([(wire, "1101"), (wire, "1102"), (other, "1101")]):
            server.will(ever_after=NO_CONTACTS)
            define(connect, server, f"green_api_{n}", login=login)
            hook_of(clock, f"green_api_{n}").get_contacts()

    assert clock.sleeps == []


@pytest.mark.parametrize("is_shared", [True, False], ids=["one hook", "separate hooks"])
def test_threads_wait_for_each_other(connect, wire, is_shared):
    wire.will(ever_after=NO_CONTACTS)
    define(connect, wire)
    sleeps, gate = [], threading.Barrier(4)
    stopped = Clock(sleep=sleeps.append, monotonic=lambda: 1000.0)
    one = GreenApiHook(clock=stopped)
    one.validate_connection()

    def ask(_):
        hook = one if is_shared else GreenApiHook(clock=stopped)
        gate.wait()
        return hook.get_contacts().rows

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [0] * 4
    assert sorted(sleeps) == [pytest.approx(SECOND * turn) for turn in (1, 2, 3)]
