"""Deliveries of clients: genuine ones are recorded once, and all others leave no trace."""

import gzip
import json
import logging
import re
import socket
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha512
from hmac import digest
from types import SimpleNamespace

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from airflow_provider_wacontacts import __version__
from airflow_provider_wacontacts.cli.diagnosis import _check_receiver
from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.pipelines import callbacks
from airflow_provider_wacontacts.receiver import application, create_app, recorder
from tests.receiver.conftest import CONN_ID, PATH, SECRET, SENDER, sign
from tests.receiver.load import bodies_of, large_body

ANNA, HASH = "16315551000", "UKD6Y/5SqDU="
RESULT = json.dumps({"contacts": [{"input": f"+{ANNA}", "status": "valid", "wa_id": ANNA}]}).encode()
LIMIT = 256 * 1024


def system_message(**system):
    return {"from": ANNA, "id": "example", "system": system, "timestamp": "1602535356", "type": "system"}


CHANGED = system_message(type="user_identity_changed", identity=HASH, user=ANNA)


def delivery(*messages, **members):
    return json.dumps({"messages": messages, **members}).encode()


# Genuine deliveries


def test_results_are_recorded_with_their_whatsapp_ids(each_receiver):
    assert each_receiver.deliver(RESULT).status_code == 200

    assert each_receiver.rows("SELECT sender, number, status, wa_id FROM wacontacts_number") == [
        (SENDER, f"+{ANNA}", "valid", ANNA)
    ]


def test_changes_are_recorded_and_messages_are_not(each_receiver):
    number = system_message(type="user_changed_number", new_wa_id="16315551001")
    user_id = system_message(type="user_changed_user_id", previous_user_id="US.1", user_id="US.2")
    inbound = {"from": ANNA, "id": "example", "text": {"body": "Quillimar"}, "type": "text"}
    profile = {"profile": {"name": "Quillimar"}, "wa_id": ANNA}
    body = delivery(CHANGED, number, user_id, inbound, contacts=[profile], statuses=[{"status": "read"}])

    assert each_receiver.deliver(body).status_code == 200

    assert each_receiver.rows("SELECT wa_id, hash FROM wacontacts_identity") == [(ANNA, HASH)]
    assert each_receiver.rows("SELECT change_kind FROM wacontacts_identity_change") == [("pending",)]
    changes = "SELECT previous_value, current_value FROM wacontacts_identifier_change ORDER BY 1"
    assert each_receiver.rows(changes) == [(ANNA, "16315551001"), ("US.1", "US.2")]
    assert each_receiver.rows("SELECT * FROM wacontacts_number") == []


def test_a_repeated_delivery_changes_nothing(each_receiver):
    body = delivery(CHANGED, contacts=json.loads(RESULT)["contacts"])
    each_receiver.deliver(body)
    queries = (
        "SELECT number, status, checked_at, answered_at, failures, wa_id FROM wacontacts_number",
        "SELECT * FROM wacontacts_identity",
        "SELECT * FROM wacontacts_identity_change",
    )
    before = [each_receiver.rows(query) for query in queries]

    assert {each_receiver.deliver(body).status_code for _ in range(3)} == {200}

    assert [each_receiver.rows(query) for query in queries] == before


def test_an_awaited_result_counts_although_the_receivers_clock_is_behind(each_receiver, monkeypatch):
    class Behind(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - timedelta(days=1)

    awaited, final = (json.dumps({"contacts": [{"input": f"+{ANNA}", "status": s}]}) for s in ("processing", "valid"))
    assert each_receiver.deliver(awaited.encode()).status_code == 200
    for module in (application, recorder, callbacks):
        monkeypatch.setattr(module, "datetime", Behind, raising=False)

    assert each_receiver.deliver(final.encode()).status_code == 200

    ((status, at),) = each_receiver.rows("SELECT status, answered_at FROM wacontacts_number")
    at = datetime.fromisoformat(at) if isinstance(at, str) else at
    assert status == "valid"
    assert abs(datetime.now(UTC) - at.replace(tzinfo=at.tzinfo or UTC)) < timedelta(hours=1)


def test_gateways_may_have_their_own_signatures(run_receiver, connect, sqlite_url):
    extra = {"webhook_secret": SECRET, "webhook_header": "X-Hub-Signature", "webhook_algorithm": "sha512"}
    connect(extra=extra)
    receiver = run_receiver(sqlite_url)
    mac = digest(SECRET.encode(), RESULT, sha512)

    spellings = (mac.hex(), f"sha512={mac.hex()}", b64encode(mac).decode())
    statuses = [receiver.post(RESULT, **{"x-hub-signature": each}).status_code for each in spellings]

    assert (statuses, receiver.deliver(RESULT).status_code) == ([200] * 3, 401)


def test_a_client_without_signatures_delivers_to_a_secret_path(run_receiver, connect, sqlite_url):
    connect(extra={"webhook_path": PATH})
    receiver = run_receiver(sqlite_url)

    paths = [f"{CONN_ID}/{PATH}", CONN_ID, f"{CONN_ID}/", f"{CONN_ID}/{PATH}/", f"{CONN_ID}/{PATH[:-1]}", f"x/{PATH}"]

    assert [receiver.post(RESULT, path).status_code for path in paths] == [200, 401, 401, 401, 401, 401]


def test_a_replaced_secret_takes_effect(run_receiver, connect, sqlite_url, monkeypatch):
    monkeypatch.setattr(application, "REFRESH_SECONDS", 0.01)
    receiver = run_receiver(sqlite_url)
    connect(extra={"webhook_secret": "example-secret-that-is-new"})

    new = {"X-Turn-Hook-Signature": sign(RESULT, "example-secret-that-is-new")}
    while receiver.post(RESULT, **new).status_code != 200:
        pass

    assert receiver.deliver(RESULT).status_code == 401


def test_deliveries_that_arrive_together_share_transactions_and_none_is_lost(each_receiver):
    """Among them are two results of one number, and one that cannot be read: they are recorded apart."""
    bodies = [*bodies_of(40), *bodies_of(40)[:3], b"not JSON", RESULT, RESULT.replace(b'"valid"', b'"failed"')]

    with ThreadPoolExecutor(len(bodies)) as clients:
        responses = list(clients.map(each_receiver.deliver, bodies))

    assert {response.status_code for response in responses} == {200}
    assert each_receiver.rows("SELECT count(*) FROM wacontacts_number") == [(37,)]
    assert each_receiver.rows("SELECT count(*), count(DISTINCT identity_id) FROM wacontacts_identity_change") == [
        (4, 4)
    ]
    assert each_receiver.rows("SELECT count(*) FROM wacontacts_reject") == [(1,)]


def test_a_large_delivery_is_one_transaction(run_receiver, postgres_url):
    engine = create_engine(postgres_url)
    receiver = run_receiver(postgres_url, engine)

    number = system_message(type="user_changed_number", new_wa_id="16315551001")
    body = delivery(CHANGED, number, **json.loads(large_body(0)))

    assert receiver.deliver(body).status_code == 200

    tables = ("number", "identity", "identity_change_log", "identifier_change")
    rows = " UNION ALL ".join(f"SELECT CAST(xmin AS text) AS written_by FROM wacontacts_{table}" for table in tables)
    written = f"SELECT count(*), count(DISTINCT written_by) FROM ({rows}) AS written"
    assert receiver.rows(written) == [(1_003, 1)]
    engine.dispose()


# Forged deliveries


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (CONN_ID, {}),
        (CONN_ID, {"X-Turn-Hook-Signature": ""}),
        (CONN_ID, {"X-Turn-Hook-Signature": sign(RESULT, "another-example-secret")}),
        (CONN_ID, {"X-Turn-Hook-Signature": sign(RESULT + b" ")}),
        (CONN_ID, {"X-Turn-Hook-Signature": f"{sign(RESULT)}, {sign(RESULT)}"}),
        (CONN_ID, {"X-Turn-Hook-Signature": b"\xe9" * 44}),
        (CONN_ID, {"X-Hub-Signature": sign(RESULT)}),
        (f"{CONN_ID}/{SECRET}", {"X-Turn-Hook-Signature": sign(RESULT)}),
        ("turn_default", {"X-Turn-Hook-Signature": sign(RESULT)}),
        ("nowhere", {"X-Turn-Hook-Signature": sign(RESULT)}),
        ("", {"X-Turn-Hook-Signature": sign(RESULT)}),
        ("%00/%2e%2e/é", {"X-Turn-Hook-Signature": sign(RESULT)}),
    ],
)
def test_forged_deliveries_get_the_same_response(receiver, path, headers):
    response = receiver.post(RESULT, path, **headers)

    assert (response.status_code, response.content, set(response.headers)) == (
        401,
        b"",
        {"date", "server", "content-length"},
    )
    assert receiver.is_untouched


def test_two_signatures_are_refused(receiver):
    request = f"POST /{CONN_ID} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(RESULT)}\r\n"
    request += f"X-Turn-Hook-Signature: {sign(RESULT)}\r\n" * 2 + "\r\n"

    assert exchange(receiver, request.encode() + RESULT).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [CONN_ID, "docs", "redoc", "openapi.json", ""])
def test_other_methods_and_paths_are_405(receiver, method, path):
    response = requests.request(method, f"{receiver.url}/{path}", timeout=60)

    assert (response.status_code, response.text) == (405, "Method Not Allowed")


# Bodies that are too large, too slow, not complete, or no JSON


def exchange(receiver, *parts, end=True):
    """Send raw bytes, and read until the receiver closes the connection."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        if end:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
        return received


def test_bodies_are_limited_to_256_kib(receiver):
    largest = RESULT + b" " * (LIMIT - len(RESULT))

    assert receiver.deliver(largest).status_code == 200
    assert receiver.deliver(largest + b" ").status_code == 413


def test_chunked_bodies_are_limited_while_they_arrive(receiver):
    head = f"POST /{CONN_ID} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"

    received = exchange(receiver, head, chunk * 4, b"1\r\n \r\n", end=False)

    assert received.startswith(b"HTTP/1.1 413 ")


def test_a_too_slow_body_is_refused(receiver, monkeypatch):
    monkeypatch.setattr(application, "MAX_BODY_SECONDS", 0.1)
    head = f"POST /{CONN_ID} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(RESULT)}\r\n\r\n".encode()

    assert exchange(receiver, head + RESULT[:9], end=False).startswith(b"HTTP/1.1 408 ")


def test_an_incomplete_delivery_is_not_recorded(receiver):
    signature = sign(RESULT[:-1])
    head = f"POST /{CONN_ID} HTTP/1.1\r\nX-Turn-Hook-Signature: {signature}\r\nContent-Length: {len(RESULT)}\r\n\r\n"

    exchange(receiver, head.encode() + RESULT[:-1])

    assert receiver.is_untouched
    assert receiver.deliver(RESULT).status_code == 200


UNREADABLE = [b"", b"null", b"[]", b"not JSON", RESULT[:-1], gzip.compress(RESULT), b"[" * 100_000, b"\xff\xfe\0"]


@pytest.mark.parametrize("body", UNREADABLE, ids=range(len(UNREADABLE)))
def test_unreadable_genuine_deliveries_are_stored_once(each_receiver, body):
    headers = {"Content-Encoding": "gzip"} if body.startswith(b"\x1f") else {}

    assert {each_receiver.deliver(body, **headers).status_code for _ in range(2)} == {200}

    ((reason, kept),) = each_receiver.rows("SELECT reason, body FROM wacontacts_reject")
    assert (reason, bytes(kept)) == ("delivery that is not a JSON object", body)


def test_a_result_next_to_unreadable_values_is_recorded(receiver):
    deep = b'{"messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"," + RESULT[1:]

    assert receiver.deliver(deep).status_code == 200
    assert receiver.rows("SELECT number FROM wacontacts_number") == [(f"+{ANNA}",)]


@settings(max_examples=60)
@given(body=st.binary(max_size=300) | st.text(max_size=300).map(str.encode), is_signed=st.booleans())
def test_any_body_is_acknowledged_if_it_is_genuine_and_refused_if_not(receiver, body, is_signed):
    response = receiver.deliver(body) if is_signed else receiver.post(body, **{"X-Turn-Hook-Signature": sign(b"x")})

    assert response.status_code == (200 if is_signed else 401)


# Limits, health and logs


def test_only_genuine_deliveries_count_against_the_rate_limit(run_receiver, sqlite_url):
    receiver = run_receiver(sqlite_url, max_deliveries_per_second=0.01)
    assert [receiver.deliver(RESULT).status_code for _ in range(2)] == [200, 429]

    receiver = run_receiver(sqlite_url, max_deliveries_per_second=2.0)
    assert {receiver.post(RESULT).status_code for _ in range(5)} == {401}
    assert [receiver.deliver(RESULT).status_code for _ in range(2)] == [200, 200]


def test_a_delivery_over_the_rate_limit_can_be_repeated_after_retry_after(run_receiver, sqlite_url, monkeypatch):
    monkeypatch.setattr(application, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    seconds = [0.0]
    receiver = run_receiver(sqlite_url, max_deliveries_per_second=2.0)

    refused = [receiver.deliver(RESULT) for _ in range(3)][-1]
    seconds[0] += 0.5

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert receiver.deliver(RESULT).status_code == 200


def test_health_returns_the_state_of_the_store_and_the_version(receiver):
    response = requests.get(f"{receiver.url}/health", timeout=60)

    assert (response.status_code, response.json()) == (200, {"store": "available", "version": __version__})


def test_the_doctor_reports_the_receiver_and_its_store(receiver):
    finding = _check_receiver(f"{receiver.url}/")

    assert (finding.is_ok, finding.message) == (True, "It is running, and reaches the store.")


def test_logs_contain_no_delivery_data_and_no_secrets(run_receiver, connect, sqlite_url, caplog):
    caplog.set_level(logging.DEBUG)
    connect("signs_nothing", extra={"webhook_path": PATH})
    receiver = run_receiver(sqlite_url, conn_ids=(CONN_ID, "signs_nothing"))

    assert receiver.deliver(delivery(CHANGED, contacts=json.loads(RESULT)["contacts"])).status_code == 200
    assert receiver.post(RESULT, f"signs_nothing/{PATH}").status_code == 200
    assert receiver.deliver(RESULT[:-1]).status_code == 200
    assert receiver.post(RESULT, f"signs_nothing/{ANNA}").status_code == 401

    others = ("urllib3.connectionpool", "uvicorn.access")  # this test's client, and a log that the command has not
    shown = repr([(record.getMessage(), vars(record)) for record in caplog.records if record.name not in others])
    lines = [record.getMessage() for record in caplog.records if record.name == application.__name__]
    assert [re.sub(r" in \d+ ms", "", line) for line in lines] == [
        f"POST {CONN_ID} 200: 1 results, 1 identities, 0 changed identifiers, 0 ignored",
        "POST signs_nothing 200: 1 results, 0 identities, 0 changed identifiers, 0 ignored",
        f"POST {CONN_ID} 200: it cannot be read, and is in wacontacts_reject",
        "POST - 401",
    ]
    assert [each for each in (ANNA, HASH, SECRET, PATH, sign(RESULT)) if each in shown] == []


# Connections that are wrong


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({}, "extra 'webhook_secret' is missing"),
        ({"webhook_secret": "x" * 15}, "extra 'webhook_secret' has less than 16 bytes"),
        ({"webhook_path": "x" * 31}, "extra 'webhook_path' must be 32 to 200"),
        ({"webhook_path": "x/" * 20}, "extra 'webhook_path' must be 32 to 200"),
        ({"webhook_secret": SECRET, "webhook_header": "X Signature"}, "extra 'webhook_header' is not"),
        ({"webhook_secret": SECRET, "webhook_algorithm": "md5"}, "extra 'webhook_algorithm' must be one of"),
    ],
)
def test_a_receiver_without_a_valid_secret_does_not_start(connect, sqlite_url, extra, message):
    connect(extra=extra)

    with pytest.raises(ConfigError, match=message) as caught:
        create_app()
    assert not [value for value in extra.values() if value in str(caught.value).replace("'", "") and value != "md5"]


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_receiver_that_would_refuse_every_delivery_does_not_start(connect, rate):
    with pytest.raises(ConfigError, match=r"max_deliveries_per_second is .* must be greater than zero"):
        create_app(max_deliveries_per_second=rate)


def test_a_receiver_without_a_connection_does_not_start(connect):
    connect("elsewhere", conn_type="http")

    with pytest.raises(ConfigError, match="'nowhere' is not defined"):
        create_app(["nowhere"])
    with pytest.raises(ConfigError, match="no connection of type 'whatsapp_business'"):
        create_app(["elsewhere"])


def test_a_connection_of_another_type_is_reported_and_its_deliveries_are_refused(
    run_receiver, connect, sqlite_url, caplog
):
    connect("turn_default", conn_type="turn", password=SECRET, extra={"webhook_secret": SECRET})
    receiver = run_receiver(sqlite_url, conn_ids=(CONN_ID, "turn_default"))

    response = receiver.post(RESULT, "turn_default", **{"X-Turn-Hook-Signature": sign(RESULT)})

    assert (response.status_code, receiver.deliver(RESULT).status_code) == (401, 200)
    assert "Connection 'turn_default' is of type 'turn'" in caplog.text
