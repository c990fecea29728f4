"""Self-test of the fake server."""

import http.client

import pytest

from tests.clients.wire import DROP, Answer, Asked, chunked


def ask(wire, *requests):
    line = http.client.HTTPConnection(wire.url.removeprefix("http://"), timeout=5)
    answers = []
    for method, path in requests:
        line.request(method, path, body=b"hello" if method == "POST" else None)
        response = line.getresponse()
        answers.append((response.status, response.read()))
    line.close()
    return answers


def test_it_sends_queued_responses_in_order_and_then_the_default(wire):
    wire.will(Answer(503, b"no"), Answer(201, b"yes"))

    assert ask(wire, ("GET", "/a"), ("GET", "/b"), ("GET", "/c")) == [(503, b"no"), (201, b"yes"), (200, b"{}")]


def test_it_records_requests_and_connections(wire):
    ask(wire, ("GET", "/a?b=c"), ("POST", "/d"))

    assert [(asked.method, asked.path, asked.body) for asked in wire.asked] == [
        ("GET", "/a?b=c", b""),
        ("POST", "/d", b"hello"),
    ]
    assert isinstance(wire.asked[0], Asked)
    assert wire.lines == 1


def test_it_drops_the_connection(wire):
    wire.will(DROP)

    with pytest.raises(http.client.RemoteDisconnected):
        ask(wire, ("GET", "/"))
    assert len(wire.asked) == 1


@pytest.mark.parametrize("answer", [Answer(body=b"0123456789", cut=4), chunked(b"0123", is_ended=False)])
def test_it_cuts_a_response(wire, answer):
    wire.will(answer)

    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(wire, ("GET", "/"))
    assert caught.value.partial == b"0123"


def test_it_sends_chunked_responses(wire):
    wire.will(chunked(b"01", b"23"))

    assert ask(wire, ("GET", "/"), ("GET", "/")) == [(200, b"0123"), (200, b"{}")]
