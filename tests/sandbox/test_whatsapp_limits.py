"""Too many requests a second, too many numbers in one, too many checks for the messages sent."""

import pytest

from airflow_provider_wacontacts.sandbox import Fault, Sandbox, WhatsAppBehaviour, World
from airflow_provider_wacontacts.sandbox.limits import Bucket

NUMBER = "+16315551000"
DAY = 86_400


def test_a_bucket_allows_a_burst_and_then_a_rate():
    bucket = Bucket()
    waits = [bucket.ask(20, 3, moment) for moment in (100.0, 100.0, 100.0, 100.0, 100.05, 100.05, 110, 110, 110, 110)]

    assert [round(wait, 3) for wait in waits] == [0, 0, 0, 0.05, 0, 0.05, 0, 0, 0, 0.05]


def test_there_is_no_limit_unless_it_is_set(business):
    assert {business.check(NUMBER).status_code for _ in range(100)} == {200}


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


def test_logins_checks_and_identities_count_together(hasty):
    assert [hasty.login().status_code, hasty.identity().status_code, hasty.check(NUMBER).status_code] == [200, 429, 429]


def test_a_429_may_have_no_body(hasty, limited):
    limited.whatsapp.change(rate_answer="empty", rate_burst=1)
    answer = hasty.check(NUMBER)

    assert (answer.status_code, answer.content) == (429, b"")


def test_360dialogs_limit_is_a_400_in_its_own_form(hasty, limited):
    limited.whatsapp.change(rate_answer="dialog360", rate_burst=1)
    answer = hasty.check(NUMBER)

    assert answer.status_code == 400
    assert answer.json() == {
        "meta": {"success": False, "httpCode": 400, "developerMessage": "The rate limit is exceeded."}
    }


@pytest.mark.parametrize(
    ("style", "told"), [("integer", "1"), ("fraction", "0.050"), ("date", "Tue, 13 Sep 2022 00:00:01 GMT")]
)
def test_it_may_be_told_when_to_come_back(hasty, limited, style, told):
    limited.whatsapp.change(retry_after=style, rate_burst=1)

    assert hasty.check(NUMBER).headers["Retry-After"] == told


def test_a_single_429_can_be_had_without_a_limit(business, sandbox, whatsapp):
    whatsapp.change(retry_after="integer", rate_answer="empty")
    sandbox.fail(Fault(on="check", kind="rate_limited", delay_s=7))
    answers = [business.check(NUMBER), business.check(NUMBER)]

    assert [(answer.status_code, answer.headers.get("Retry-After")) for answer in answers] == [(429, "7"), (200, None)]


def test_a_batch_has_its_limit(business, sandbox, whatsapp):
    whatsapp.change(batch_limit=2)
    answers = [business.check(NUMBER, "+16315551002"), business.check(NUMBER, NUMBER, NUMBER)]

    assert [answer.status_code for answer in answers] == [200, 400]
    assert answers[1].json()["errors"] == [
        {"code": 1009, "title": "Parameter value is not valid", "details": "contacts has more than 2 numbers."}
    ]
    assert sandbox.asked_numbers == {NUMBER: 1, "+16315551002": 1}


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


def test_a_ban_does_not_end(business, whatsapp):
    whatsapp.change(ban_ratio=1.0)
    business.check(NUMBER)
    banned = business.check(NUMBER).status_code
    whatsapp.send(1000)

    assert (banned, business.check(NUMBER).status_code) == (403, 403)


def test_messages_allow_checks(business, whatsapp):
    whatsapp.change(ban_ratio=2.0)
    whatsapp.send(2)
    allowed = {business.check(f"+120155501{line:02d}").status_code for line in range(4)}
    business.check("+12015550104")

    assert (allowed, business.check(NUMBER).status_code) == ({200}, 403)


def test_what_the_cache_answers_does_not_count(business, whatsapp):
    whatsapp.change(ban_ratio=1.0, ban_grace=1)
    from_cache = {business.check(NUMBER).status_code for _ in range(20)}
    business.check(NUMBER, force_check=True)

    assert (from_cache, business.check(NUMBER).status_code) == ({200}, 403)


def test_a_ban_may_leave_time_to_write(business, sandbox, whatsapp):
    whatsapp.change(ban_ratio=1.0, ban_after_s=7 * DAY)
    business.check(NUMBER)
    sandbox.clock.advance(6 * DAY)
    warned = business.check(NUMBER).status_code
    whatsapp.send()
    sandbox.clock.advance(7 * DAY)
    forgiven = business.check("6315551002").status_code
    warned_again = business.check(NUMBER).status_code
    sandbox.clock.advance(7 * DAY)

    assert (warned, forgiven, warned_again, business.check(NUMBER).status_code) == (200, 200, 200, 403)


@pytest.mark.parametrize(
    "behaviour", [{"rate_limit": 0}, {"rate_burst": 0}, {"sender": "12015550100"}, {"callback_url": "localhost:80"}]
)
def test_what_cannot_be_is_no_behaviour(behaviour):
    with pytest.raises(ValueError, match=next(iter(behaviour))):
        WhatsAppBehaviour(**behaviour)
