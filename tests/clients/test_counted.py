"""What is counted by whoever asks for it: it is sent again only where it surely was not carried out."""

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.clients.http import Request
from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.retry import RetryPolicy
from airflow_provider_wacontacts.exceptions import NetworkError, ServerError
from tests.clients.test_aiohttp_driver import drive
from tests.clients.test_requests_driver import BROKEN, of_clock, one, session

__all__ = ["drive", "session"]


@pytest.fixture(params=["worker", "loop"])
def send(request, session, drive, clock):
    """Send something that is counted, from a worker or on an event loop."""

    def run(url, policy=None):
        flow = one(Request("whatsapp_business.contacts.check", "POST", "/", {}, b"{}", is_counted=True))
        if request.param == "loop":
            return drive(flow, url=url, policy=policy)
        return Driver(session, url, policy=policy, clock=of_clock(clock), chance=lambda: 0.0).run(flow)

    return run


@pytest.mark.parametrize("broken", [each for name, each in BROKEN.items() if name != "503"])
def test_it_is_sent_once_where_it_may_have_been_done(send, wire, broken):
    wire.will(ever_after=broken)

    with pytest.raises((ServerError, NetworkError)):
        send(wire.url)
    assert len(wire.asked) == 1


def test_it_is_sent_again_to_a_host_that_nobody_listened_on(send, unheard_url, clock):
    with pytest.raises(NetworkError, match="3 attempts: the connection could not be made"):
        send(unheard_url, RetryPolicy(budget=timedelta(seconds=2)))

    assert clock.sleeps == [0.5, 1]
