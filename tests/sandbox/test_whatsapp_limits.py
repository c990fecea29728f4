"""Too many requests a second, too many numbers in one, too many checks for the messages sent."""

import pytest

from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour, World

NUMBER = "+16315551000"


@pytest.fixture
def limited():
    """A sandbox whose real time stands still, so that one request more than the burst is too many."""
    behaviour = WhatsAppBehaviour(rate_limit=20, rate_burst=2)
    with Sandbox(World(), now="2022-09-13T00:00:00Z", whatsapp=behaviour, real_time=lambda: 1_000.0) as sandbox:
        yield sandbox


@pytest.fixture
def hasty(limited, business):
    business.sandbox = limited
    business.check(NUMBER)
    return business


def test_one_request_too_many_is_429_with_errors(hasty, limited):
    limited.whatsapp.change(meta=False)
    answers = [hasty.check(NUMBER), hasty.check(NUMBER)]

    assert [answer.status_code for answer in answers] == [200, 429]
    assert "Retry-After" not in answers[1].headers
    assert answers[1].json() == {
        "errors": [{"code": 1015, "title": "Too many requests", "details": "Too many requests a second."}]
    }
    assert limited.asked_numbers == {NUMBER: 2}


def test_360dialogs_limit_is_a_400_in_its_own_form(hasty, limited):
    limited.whatsapp.change(rate_answer="dialog360", rate_burst=1)
    answer = hasty.check(NUMBER)

    assert answer.status_code == 400
    assert answer.json() == {
        "meta": {"success": False, "httpCode": 400, "developerMessage": "The rate limit is exceeded."}
    }


def test_a_thousand_numbers_fit_a_batch_and_no_more(business):
    numbers = [f"+1{area}55501{line:02d}" for area in range(201, 211) for line in range(100)]

    assert [business.check(*numbers).status_code, business.check(*numbers, NUMBER).status_code] == [200, 400]


def test_checks_that_outrun_messages_lead_to_a_ban(business, whatsapp):
    whatsapp.change(ban_ratio=1.0, ban_grace=1)
    answers = [business.check(f"+120155501{line:02d}") for line in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 403]
    assert answers[2].json()["errors"] == [
        {"code": 1031, "title": "Sender account locked", "details": "The account of the sender is locked."}
    ]
    assert whatsapp.is_banned
    assert business.identity().status_code == 403
