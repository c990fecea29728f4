"""Callbacks are created, posted and repeated."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour, World

QUICK, SLOW = "+16315551000", "+16315551001"
RESULT = {"contacts": [{"input": SLOW, "status": "valid", "wa_id": "16315551001"}]}


class Receiver:
    """The business's end: answers with the statuses that it was given, then with 200."""

    def __init__(self):
        receiver, self.bodies, self.statuses = self, [], []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                assert self.headers["Content-Type"] == "application/json"
                receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?of=example"


@pytest.fixture
def receiver():
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def hooked(receiver, whatsapp):
    """What can be done to a client whose callbacks go to the receiver."""
    whatsapp.change(callback_url=receiver.url, callback_backoff_s=0.01)
    return whatsapp


def test_a_slow_check_is_posted_when_it_is_done(business, hooked, receiver):
    answered = business.statuses(QUICK, SLOW)

    assert hooked.callbacks.wait_for(1)
    assert (answered, receiver.bodies) == (["valid", "processing"], [RESULT])
    assert business.statuses(SLOW) == ["valid"]


def test_a_callback_is_posted_again_after_3_seconds_and_then_after_6(receiver):
    receiver.statuses = [500, 302]
    times = [1_000.0]
    with Sandbox(World(), whatsapp=WhatsAppBehaviour(callback_url=receiver.url), real_time=lambda: times[0]) as sandbox:
        callbacks = sandbox.whatsapp.callbacks
        sandbox.whatsapp.call_back(RESULT)
        posted = [callbacks.wait_for(1, 500), callbacks.wait_for(1, 302, timeout_s=0.1)]
        times[0] += 3
        posted += [callbacks.wait_for(1, 302), callbacks.wait_for(1, timeout_s=0.1)]
        times[0] += 6

        assert (posted, callbacks.wait_for(1)) == ([True, False, True, False], True)
        assert [callback.outcomes for callback in callbacks.log] == [[500, 302, 200]]


def test_a_users_message_has_a_profile_and_no_result(hooked, receiver):
    hooked.receive("16315551000", "hi", name="Droswick")

    assert hooked.callbacks.wait_for(1)
    assert receiver.bodies == [
        {
            "contacts": [{"profile": {"name": "Droswick"}, "wa_id": "16315551000"}],
            "messages": [
                {
                    "from": "16315551000",
                    "id": "example-message-1",
                    "timestamp": "1663056000",
                    "text": {"body": "hi"},
                    "type": "text",
                    "identity": {"acknowledged": True, "hash": "UKD6Y/5SqDU=", "created_timestamp": 1600132094000},
                }
            ],
        }
    ]
