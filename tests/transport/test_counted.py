"""What is counted by whoever asks for it: it is sent again only where it surely was not carried out."""

import socket
from datetime import timedelta

import pytest

from airflow_provider_wacontacts.exceptions import NetworkError, ServerError
from airflow_provider_wacontacts.protocol.flows import Request
from airflow_provider_wacontacts.transport.policy import RetryPolicy
from airflow_provider_wacontacts.transport.sync import Driver
from tests.transport.test_aio import drive
from tests.transport.test_sync import BROKEN, driver, of_clock, one, session

__all__ = ["drive", "driver", "session"]


def counted():
    return one(Request("whatsapp_business.contacts.check", "POST", "/", {}, b"{}", is_counted=True))


@pytest.mark.parametrize("broken", [each for name, each in BROKEN.items() if name != "503"])
def test_what_is_counted_is_sent_once_where_it_may_have_been_done(driver, wire, broken):
    wire.will(ever_after=broken)

    with pytest.raises((ServerError, NetworkError)):
        driver.run(counted())
    assert len(wire.asked) == 1


def test_what_is_counted_is_sent_again_to_a_host_that_nobody_listened_on(session, clock):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        policy = RetryPolicy(budget=timedelta(seconds=2))
        with pytest.raises(NetworkError, match="3 attempts: the connection could not be made"):
            Driver(session, url, policy=policy, clock=of_clock(clock), chance=lambda: 0.0).run(counted())

    assert clock.sleeps == [0.5, 1]


@pytest.mark.parametrize("broken", [each for name, each in BROKEN.items() if name != "503"])
def test_on_a_loop_what_is_counted_is_sent_once_where_it_may_have_been_done(drive, wire, broken):
    wire.will(ever_after=broken)

    with pytest.raises((ServerError, NetworkError)):
        drive(counted())
    assert len(wire.asked) == 1


def test_on_a_loop_what_is_counted_is_sent_again_to_a_host_that_nobody_listened_on(drive, clock):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        policy = RetryPolicy(budget=timedelta(seconds=2))
        with pytest.raises(NetworkError, match="3 attempts: the connection could not be made"):
            drive(counted(), url=url, policy=policy)

    assert clock.sleeps == [0.5, 1]
