"""What goes wrong on demand."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from airflow_provider_wacontacts.sandbox import Fault, World
from airflow_provider_wacontacts.sandbox.core.faults import Faults


def test_a_status_is_answered_as_often_as_told(client, sandbox):
    cursor = client.cursor()
    sandbox.fail(Fault(kind="status", on="page", status=503, times=2, headers={"Retry-After": "7"}))
    answers = [client.page(cursor) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert [answer.headers.get("Retry-After") for answer in answers] == ["7", "7", None]
    assert answers[0].json()["errors"][0]["title"] == "Service Unavailable"


def test_faults_wait_for_their_kind_of_request_in_line(client, sandbox):
    sandbox.fail(
        Fault(kind="status", on="page", status=500),
        Fault(kind="status", on="page", status=502),
        Fault(kind="status", on="create", status=504),
    )
    created = [client.create() for _ in range(2)]
    read = [client.page(created[1].json()["cursor"]) for _ in range(3)]

    assert [answer.status_code for answer in created + read] == [504, 200, 500, 502, 200]


def test_a_cut_answer_ends_before_its_length(client, sandbox):
    cursor = client.cursor()
    sandbox.fail(Fault(kind="cut", share=0.25))
    answer = client.send("GET", f"/v1/data/contacts/cursor/{cursor}", headers=client.headers, stream=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError) as broken:
        answer.content  # noqa: B018

    assert answer.status_code == 200
    assert "IncompleteRead(97 bytes read, 293 more expected)" in str(broken.value)
    assert client.page(cursor).status_code == 200


def test_a_dropped_connection_answers_nothing(client, sandbox):
    sandbox.fail(Fault(kind="drop", on="create"))
    with pytest.raises(requests.exceptions.ConnectionError, match="closed connection without response"):
        client.create()

    assert client.create().status_code == 200


def test_html_comes_with_a_success(client, sandbox):
    sandbox.fail(Fault(kind="html"))
    answer = client.create()

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")


def test_any_bytes_can_be_a_body(client, sandbox):
    sandbox.fail(Fault(kind="body", body='{"data": {}, "\xff": 1}'))

    assert client.page("any").content == b'{"data": {}, "\xff": 1}'


def test_a_page_may_name_the_cursor_just_read(client, sandbox):
    sandbox.fail(Fault(kind="repeat_cursor", on="page"))
    cursor = client.cursor()

    assert client.page(cursor).json()["paging"] == {"next": cursor}


def test_an_empty_page_in_between_ends_nothing(client, sandbox, line_of):
    sandbox.load(line_of(4))
    sandbox.change(page_size=2)
    sandbox.fail(Fault(kind="empty_page", on="page", skip=1))

    assert [[row["id"] for row in page] for page in client.pages()] == [[1, 2], [], [3, 4]]


def test_an_export_may_expire_at_once(client, sandbox):
    cursor = client.cursor()
    sandbox.fail(Fault(kind="expired", on="page"))

    assert [client.page(cursor).status_code for _ in range(2)] == [400, 400]
    assert client.ids() == [1]


def test_a_single_429_says_when_to_come_back(client, sandbox):
    sandbox.change(retry_after="fraction")
    sandbox.fail(Fault(kind="rate_limited", delay_s=2.5))
    answer = client.create()

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2.500")
    assert answer.json()["errors"][0]["title"] == "Rate limit hit for bucket general"


def test_a_request_that_is_held_back_never_reaches_a_world_that_came_later(business, sandbox):
    sandbox.fail(Fault(kind="delay", on="check", delay_s=0.3))
    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(business.check, "+12015550123")
        while sandbox.faults.to_json():
            time.sleep(0.01)
        sandbox.load(World())
        with pytest.raises(requests.exceptions.ConnectionError):
            late.result()

    assert sandbox.whatsapp.asked == sandbox.whatsapp.checked == Counter()
    assert sandbox.requests.count() == 0


def test_a_burst_comes_back_every_so_often():
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
