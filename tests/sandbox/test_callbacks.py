"""Callbacks: made, posted, posted again."""

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


def test_a_check_that_takes_a_while_is_posted_when_it_is_done(business, hooked, receiver):
    answered = business.statuses(QUICK, SLOW)

    assert hooked.callbacks.wait_for(1)
    assert (answered, receiver.bodies) == (["valid", "processing"], [RESULT])
    assert business.statuses(SLOW) == ["valid"]


def test_nothing_is_posted_before_its_time(business, sandbox, hooked, receiver):
    hooked.change(processing_s=60, resolved_by="callback")
    business.check(SLOW)
    before = hooked.callbacks.wait_for(1, timeout_s=0.1)
    sandbox.clock.advance(60)

    assert (before, hooked.callbacks.wait_for(1), receiver.bodies) == (False, True, [RESULT])


def test_nothing_is_posted_where_asking_alone_resolves(business, hooked, receiver):
    hooked.change(resolved_by="asking")
    business.check(SLOW)

    assert (hooked.callbacks.wait_for(1, timeout_s=0.1), receiver.bodies) == (False, [])


def test_what_is_not_answered_with_200_is_posted_again(business, hooked, receiver):
    receiver.statuses = [500, 201, 302]
    business.check(SLOW)

    assert hooked.callbacks.wait_for(1)
    assert receiver.bodies == [RESULT] * 4
    assert [callback.outcomes for callback in hooked.callbacks.log] == [[500, 201, 302, 200]]


def test_the_time_until_it_is_posted_again_doubles(receiver):
    receiver.statuses = [500, 500]
    times = [1_000.0]
    behaviour = WhatsAppBehaviour(callback_url=receiver.url, callback_backoff_s=3)
    with Sandbox(World(), whatsapp=behaviour, real_time=lambda: times[0]) as sandbox:
        callbacks = sandbox.whatsapp.callbacks
        sandbox.whatsapp.call_back(RESULT)
        posted = [callbacks.wait_for(1, 500), callbacks.wait_for(2, 500, timeout_s=0.1)]
        times[0] += 3
        posted += [callbacks.wait_for(2, 500), callbacks.wait_for(1, timeout_s=0.1)]
        times[0] += 6

        assert (posted, callbacks.wait_for(1)) == ([True, False, True, False], True)
        assert [callback.outcomes for callback in callbacks.log] == [[500, 500, 200]]


def test_what_is_not_answered_at_all_is_posted_again(business, hooked, receiver):
    hooked.change(callback_url="http://127.0.0.1:9/")
    business.check(SLOW)
    refused = hooked.callbacks.wait_for(1, 0)
    (callback,) = hooked.callbacks.log
    callback.url = receiver.url

    assert (refused, hooked.callbacks.wait_for(1)) == (True, True)
    assert (callback.outcomes[0], callback.outcomes[-1]) == (0, 200)


def test_a_callback_may_come_more_than_once(business, hooked, receiver):
    hooked.change(callback_copies=3)
    business.check(SLOW)

    assert hooked.callbacks.wait_for(3)
    assert receiver.bodies == [RESULT] * 3


@pytest.mark.parametrize(("grouping", "sizes"), [("request", [2, 1]), ("number", [1, 1, 1])])
def test_contacts_of_one_request_come_together_or_alone(business, whatsapp, grouping, sizes):
    whatsapp.change(callback_grouping=grouping)
    for number in ("+12015550101", "+12015550102", "+12015550103"):
        whatsapp.put(number, slow=True)
    business.check("+12015550101", "+12015550102")
    business.check("+12015550102", "+12015550103")

    assert [len(json.loads(body)["contacts"]) for body in whatsapp.finish()] == sizes


def test_a_callback_may_tell_meta(business, whatsapp):
    whatsapp.change(callback_meta=True)
    business.check(SLOW)
    (body,) = whatsapp.finish()

    assert json.loads(body) == {**RESULT, "meta": {"version": "v2.41.2", "api_status": "stable"}}


def test_callbacks_come_late_for_what_was_since_had_by_asking(business, whatsapp):
    answers = [business.statuses(SLOW)[0] for _ in range(2)]

    assert (answers, [json.loads(body) for body in whatsapp.finish()]) == (["processing", "valid"], [RESULT])
    assert whatsapp.finish() == []


def test_without_an_address_callbacks_are_only_kept(business, whatsapp):
    business.check(SLOW)
    before = list(whatsapp.callbacks.log)
    whatsapp.finish()

    assert (before, [callback.to_json() for callback in whatsapp.callbacks.log]) == (
        [],
        [{"url": None, "body": RESULT, "outcomes": []}],
    )


def test_results_of_callbacks_are_in_the_cache(business, whatsapp):
    business.check(SLOW)
    whatsapp.finish()

    assert business.statuses(SLOW) == ["valid"]
    assert whatsapp.checked == {SLOW: 1}


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


def test_anything_can_be_called_back(hooked, receiver):
    hooked.call_back({"statuses": [{"status": "failed", "errors": [{"code": 480}]}]})

    assert hooked.callbacks.wait_for(1)
    assert receiver.bodies == [{"statuses": [{"status": "failed", "errors": [{"code": 480}]}]}]
