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


def test_queued_responses_are_sent_in_order_and_then_the_default(wire):
    wire.will(Answer(503, b"no"), Answer(201, b"yes"))

    assert ask(wire, ("GET", "/a"), ("GET", "/b"), ("GET", "/c")) == [(503, b"no"), (201, b"yes"), (200, b"{}")]


def test_requests_and_connections_are_recorded(wire):
    ask(wire, ("GET", "/a?b=c"), ("POST", "/d"))

    assert [(asked.method, asked.path, asked.body) for asked in wire.asked] == [
        ("GET", "/a?b=c", b""),
        ("POST", "/d", b"hello"),
    ]
    assert isinstance(wire.asked[0], Asked)
    assert wire.lines == 1


def test_a_connection_can_be_dropped(wire):
    wire.will(DROP)

    with pytest.raises(http.client.RemoteDisconnected):
        ask(wire, ("GET", "/"))
    assert len(wire.asked) == 1


@pytest.mark.parametrize("answer", [Answer(body=b"0123456789", cut=4), chunked(b"0123", is_ended=False)])
def test_a_response_can_be_truncated(wire, answer):
    wire.will(answer)

    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(wire, ("GET", "/"))
    assert caught.value.partial == b"0123"


def test_a_response_can_be_chunked(wire):
    wire.will(chunked(b"01", b"23"))

    assert ask(wire, ("GET", "/"), ("GET", "/")) == [(200, b"0123"), (200, b"{}")]
