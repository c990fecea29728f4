"""Faults of the sandbox's responses."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from airflow_provider_wacontacts.sandbox import Fault, World
from airflow_provider_wacontacts.sandbox.core.faults import Faults


def test_a_status_is_returned_the_given_number_of_times(client, sandbox):
    cursor = client.cursor()
    sandbox.fail(Fault(kind="status", on="page", status=503, times=2, headers={"Retry-After": "7"}))
    answers = [client.page(cursor) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert [answer.headers.get("Retry-After") for answer in answers] == ["7", "7", None]
    assert answers[0].json()["errors"][0]["title"] == "Service Unavailable"


def test_faults_queue_for_their_kind_of_request(client, sandbox):
    sandbox.fail(
        Fault(kind="status", on="page", status=500),
        Fault(kind="status", on="page", status=502),
        Fault(kind="status", on="create", status=504),
    )
    created = [client.create() for _ in range(2)]
    read = [client.page(created[1].json()["cursor"]) for _ in range(3)]

    assert [answer.status_code for answer in created + read] == [504, 200, 500, 502, 200]


def test_a_cut_response_ends_before_its_length(client, sandbox):
    cursor = client.cursor()
    sandbox.fail(Fault(kind="cut", share=0.25))
    answer = client.send("GET", f"/v1/data/contacts/cursor/{cursor}", headers=client.headers, stream=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError) as broken:
        answer.content  # noqa: B018

    assert answer.status_code == 200
    assert "IncompleteRead(97 bytes read, 293 more expected)" in str(broken.value)
    assert client.page(cursor).status_code == 200


def test_a_dropped_connection_returns_no_response(client, sandbox):
    sandbox.fail(Fault(kind="drop", on="create"))
    with pytest.raises(requests.exceptions.ConnectionError, match="closed connection without response"):
        client.create()

    assert client.create().status_code == 200


def test_an_empty_page_does_not_end_an_export(client, sandbox, line_of):
    sandbox.load(line_of(4))
    sandbox.change(page_size=2)
    sandbox.fail(Fault(kind="empty_page", on="page", skip=1))

    assert [[row["id"] for row in page] for page in client.pages()] == [[1, 2], [], [3, 4]]


def test_a_delayed_request_does_not_reach_a_later_world(business, sandbox):
    sandbox.fail(Fault(kind="delay", on="check", delay_s=2.0))
    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(business.check, "+12015550123")
        while sandbox.faults.to_json():
            time.sleep(0.01)
        sandbox.load(World())
        with pytest.raises(requests.exceptions.ConnectionError):
            late.result()

    assert sandbox.whatsapp.asked == sandbox.whatsapp.checked == Counter()
    assert sandbox.requests.count() == 0


def test_a_burst_recurs():
    faults = Faults()
    faults.add(Fault(kind="status", every=4, times=2, skip=1))

    assert [faults.take("page") is not None for _ in range(10)] == [
        *(False,),
        *(True, True, False, False),
        *(True, True, False, False),
        True,
    ]


def test_requests_are_counted_by_kind_and_outcome(client, sandbox):
    sandbox.fail(Fault(kind="status", on="page", status=500), Fault(kind="cut", on="page"))
    cursor = client.cursor()
    client.page(cursor)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.page(cursor)
    client.page(cursor)

    assert [sandbox.requests.count(kind) for kind in ("create", "page", "schemas", None)] == [1, 3, 0, 4]
    assert [sandbox.requests.count("page", outcome) for outcome in (200, 500, "cut", "drop")] == [1, 1, 1, 0]
    assert sandbox.requests.asked == [{"from": "2022-09-12T00:00:00.000Z", "until": "2022-09-13T00:00:00.000Z"}]
