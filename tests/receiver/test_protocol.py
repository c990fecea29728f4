"""Connections that send nothing, or slowly, keep nobody out."""

import socket

import pytest
import requests

from airflow_provider_wacontacts.receiver import protocol
from airflow_provider_wacontacts.receiver.protocol import LimitedProtocol
from tests.receiver.conftest import CONN_ID, sign
from tests.receiver.load import bodies_of
from tests.receiver.test_receiver import exchange

BODY = bodies_of(2)[1]
REQUEST = (
    f"POST /{CONN_ID} HTTP/1.1\r\nHost: x\r\nX-Turn-Hook-Signature: {sign(BODY)}\r\nContent-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY


@pytest.mark.parametrize("parts", [(), (b"POST /x HTTP/1.1\r\nX: ",)])
def test_a_connection_without_a_request_is_closed(receiver, monkeypatch, parts):
    monkeypatch.setattr(protocol, "MAX_HEADER_SECONDS", 0.1)

    assert exchange(receiver, *parts, end=False) == b""


def test_a_second_request_must_be_complete_as_soon(receiver, monkeypatch):
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as connection:
        connection.sendall(REQUEST)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        monkeypatch.setattr(protocol, "MAX_HEADER_SECONDS", 0.1)
        connection.sendall(b"POST /x HTTP/1.1\r\nX: ")
        assert connection.recv(65_536) == b""


def test_a_body_and_a_response_may_take_longer(receiver, monkeypatch):
    """They have time limits of their own."""
    receive, limits = LimitedProtocol.data_received, []

    def receive_and_note(connection, data):
        receive(connection, data)
        limits.append(connection._due)

    monkeypatch.setattr(LimitedProtocol, "data_received", receive_and_note)

    exchange(receiver, REQUEST[: -len(BODY)])

    assert limits[-1] is None


def test_a_client_too_many_is_told_when_to_come_again(receiver, monkeypatch):
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 1)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=60) as first:
        first.sendall(REQUEST)
        assert first.recv(65_536).startswith(b"HTTP/1.1 200 ")

        refused = requests.get(f"{receiver.url}/health", timeout=60)

        assert (refused.status_code, refused.headers["Retry-After"], refused.content) == (503, "5", b"")
        first.sendall(REQUEST)
        assert first.recv(65_536).startswith(b"HTTP/1.1 200 ")
    assert receiver.is_untouched is False
