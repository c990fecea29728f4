"""Logs contain no secrets and no data, even at level DEBUG."""

import logging
import logging.config
import threading
import traceback

import pytest
import requests

from airflow_provider_wacontacts.clients.http import Request
from airflow_provider_wacontacts.clients.requests_driver import Driver, quiet_urllib3
from airflow_provider_wacontacts.clients.retry import RetryLoop
from airflow_provider_wacontacts.exceptions import ContractError, WaContactsError
from tests.clients.test_retry_loop import Tokens
from tests.clients.wire import DROP, SILENCE, Answer, chunked

TOKEN = "example-token-5ec2e7"
CURSOR = "cursor-4b1d"
BODY = "whatsapp-name-in-a-body"
SECRETS = (TOKEN, CURSOR, BODY)

WAYS_TO_FAIL = {
    "refused": [Answer(400, BODY.encode())],
    "not accepted": [Answer(401, BODY.encode())],
    "not json": [Answer(200, BODY.encode())],
    "rate limit": [Answer(429, BODY.encode(), {"retry-after": "9999"})],
    "server": [Answer(500, BODY.encode(), {"retry-after": "9999"})],
    "tried again": [Answer(503, BODY.encode()), Answer(429, BODY.encode()), DROP, Answer(400)],
    "elsewhere": [Answer(302, BODY.encode(), {"location": f"https://198.51.100.1/{CURSOR}"})],
    "dropped": [DROP] * 50,
    "half read": [Answer(body=BODY.encode() * 9, cut=30)] * 50,
    "no end of chunks": [chunked(BODY.encode(), is_ended=False)] * 50,
    "packed wrongly": [Answer(body=BODY.encode(), headers={"content-encoding": "gzip"})] * 50,
    "silent": [SILENCE] * 50,
    "headers that are none": [Answer(200, BODY.encode(), {f"{CURSOR} {BODY}\r\n  : \x00": "x"})] * 50,
    "no http": [Answer(99999999, BODY.encode())] * 50,
}


def strict():
    response = yield Request("turn.contacts.page", "GET", f"/v1/{CURSOR}", {"x-more": CURSOR}, BODY.encode())
    raise ContractError("not what is documented", source="turn", operation="turn.contacts.page", status=response.status)


def chain(error):
    """All errors in an error's chain, including suppressed contexts."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.fixture
def everything(caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "requests", "airflow_provider_wacontacts"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def told(records):
    formatter = logging.Formatter("%(name)s %(message)s %(args)s")
    return "\n".join(formatter.format(record) + repr(vars(record)) for record in records)


@pytest.mark.parametrize("answers", WAYS_TO_FAIL.values(), ids=WAYS_TO_FAIL.keys())
@pytest.mark.filterwarnings("ignore")
def test_no_failure_reveals_a_secret(wire, clock, everything, answers):
    wire.will(*answers)
    with requests.Session() as session:
        driver = Driver(session, wire.url, RetryLoop(Tokens(TOKEN), clock=clock), timeout=(5, 0.1))
        with pytest.raises(WaContactsError) as caught:
            driver.run(strict())

    errors = list(chain(caught.value))
    shown = "".join(traceback.format_exception(caught.value)) + repr(errors) + repr([vars(one) for one in errors])
    assert wire.asked
    assert [secret for secret in SECRETS if secret in shown or secret in told(everything.records)] == []


def test_retries_are_logged(wire, clock, everything):
    wire.will(Answer(429, headers={"retry-after": "7"}))
    with requests.Session() as session, pytest.raises(ContractError):
        Driver(session, wire.url, RetryLoop(clock=clock, jitter=lambda: 0.0)).run(strict())

    assert [record.getMessage() for record in everything.records] == [
        "turn.contacts.page: HTTP 429. Attempt 2 follows in 7.0 s."
    ]


def test_other_threads_can_log_while_the_filter_is_active(wire, everything):
    with quiet_urllib3():
        requests.get(f"{wire.url}/quiet", timeout=5)
        other = threading.Thread(target=requests.get, args=(f"{wire.url}/other",), kwargs={"timeout": 5})
        other.start()
        other.join()
    requests.get(f"{wire.url}/afterwards", timeout=5)

    paths = [path for path in ("/quiet", "/other", "/afterwards") if path in told(everything.records)]
    assert paths == ["/other", "/afterwards"]


def test_the_filter_survives_a_new_logging_configuration(wire, everything):
    with quiet_urllib3():
        pass
    logging.config.dictConfig(
        {
            "version": 1,
            "incremental": False,
            "disable_existing_loggers": False,
            "loggers": {"urllib3.connectionpool": {"level": "DEBUG"}, "urllib3": {"level": "DEBUG"}},
        }
    )
    with quiet_urllib3(), quiet_urllib3():
        requests.get(f"{wire.url}/quiet", timeout=5)

    assert "/quiet" not in told(everything.records)
