"""The cache of seven days, and checks that take a while."""

import pytest
import requests

from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour, World
from airflow_provider_wacontacts.sandbox.checks import Call

SLOW = "+16315551001"
QUICK = "+16315551000"
WEEK = 7 * 86_400


def test_a_number_is_really_checked_once_in_seven_days(business, sandbox, whatsapp):
    business.check(QUICK)
    sandbox.clock.advance(WEEK - 1)
    business.check(QUICK)
    checked_within = whatsapp.checked
    sandbox.clock.advance(1)
    business.check(QUICK)

    assert (checked_within, whatsapp.checked, whatsapp.asked) == ({QUICK: 1}, {QUICK: 2}, {QUICK: 3})


def test_the_cache_does_not_see_who_leaves(business, sandbox, whatsapp):
    answers = [business.statuses(QUICK)]
    whatsapp.put(QUICK, "invalid")
    answers.append(business.statuses(QUICK))
    sandbox.clock.advance(WEEK)
    answers.append(business.statuses(QUICK))

    assert answers == [["valid"], ["valid"], ["invalid"]]


def test_force_check_passes_the_cache_by(business, whatsapp):
    business.check(QUICK)
    whatsapp.put(QUICK, "invalid")

    assert business.statuses(QUICK, force_check=True) == ["invalid"]
    assert business.statuses(QUICK) == ["invalid"]
    assert whatsapp.checked == {QUICK: 2}


def test_the_cache_may_last_otherwise(business, sandbox, whatsapp):
    whatsapp.change(cache_s=60)
    business.check(QUICK)
    sandbox.clock.advance(60)
    business.check(QUICK)

    assert whatsapp.checked == {QUICK: 2}


def test_processing_resolves_when_it_was_answered_often_enough(business, whatsapp):
    whatsapp.change(processing_answers=2)
    answers = [business.statuses(SLOW)[0] for _ in range(4)]

    assert answers == ["processing", "processing", "valid", "valid"]
    assert (whatsapp.asked, whatsapp.checked) == ({SLOW: 4}, {SLOW: 1})


def test_processing_resolves_when_the_sandboxs_time_has_come(business, sandbox, whatsapp):
    whatsapp.change(processing_s=600)
    early = [business.statuses(SLOW)[0] for _ in range(3)]
    sandbox.clock.advance(599)
    early += business.statuses(SLOW)
    sandbox.clock.advance(1)

    assert (early, business.statuses(SLOW)) == (["processing"] * 4, ["valid"])


def test_processing_resolves_when_the_real_time_has_come():
    times = [1_000.0]
    behaviour = WhatsAppBehaviour(processing_s=30, processing_time="real")
    with Sandbox(World(), whatsapp=behaviour, real_time=lambda: times[0]) as sandbox:
        client = sandbox.whatsapp
        first = client.check([SLOW])[0].status
        sandbox.clock.advance(86_400)
        second = client.check([SLOW])[0].status
        times[0] = 1_030.0

        assert (first, second, client.check([SLOW])[0].status) == ("processing", "processing", "valid")


def test_processing_may_never_resolve_by_asking(business, sandbox, whatsapp):
    whatsapp.change(resolved_by="never")
    answers = [business.statuses(SLOW)[0] for _ in range(5)]
    sandbox.clock.advance(86_400)

    assert answers + business.statuses(SLOW) == ["processing"] * 6
    assert business.statuses(SLOW, blocking="wait") == ["valid"]


def test_what_is_left_to_callbacks_is_processing_until_its_callback_is_made(business, whatsapp):
    whatsapp.change(resolved_by="callback")
    before = [business.statuses(SLOW)[0] for _ in range(3)]
    whatsapp.finish()

    assert (before, business.statuses(SLOW), whatsapp.checked) == (["processing"] * 3, ["valid"], {SLOW: 1})


def test_force_check_starts_what_is_processing_anew(business, sandbox, whatsapp):
    whatsapp.change(processing_s=600)
    business.check(SLOW)
    sandbox.clock.advance(600)

    assert business.statuses(SLOW, force_check=True) == ["processing"]
    assert whatsapp.checked == {SLOW: 2}
    assert len(whatsapp.finish()) == 1


def test_a_number_is_found_under_another_id_once_its_person_has_one(business, whatsapp):
    business.check(SLOW)
    whatsapp.put(SLOW, wa_id="16315551099", slow=True)
    (entry,) = business.entries(SLOW, blocking="wait")

    assert (entry["wa_id"], whatsapp.checked) == ("16315551099", {SLOW: 2})


def test_wait_holds_the_answer_back_where_a_check_takes_a_while(business, sandbox, whatsapp):
    whatsapp.change(wait_s=5)
    body = {"contacts": [SLOW], "blocking": "wait"}
    with pytest.raises(requests.exceptions.ReadTimeout):
        business.session.post(f"{sandbox.url}/v1/contacts", json=body, headers=business.headers, timeout=0.1)

    assert business.statuses(SLOW, blocking="wait") == ["valid"]
    assert whatsapp.checked == {SLOW: 1}


def test_wait_may_be_ignored(business, whatsapp):
    whatsapp.change(wait_processes=True)

    assert business.statuses(SLOW, blocking="wait") == ["processing"]


def test_a_failed_check_is_made_again(business, whatsapp):
    whatsapp.change(failing_share=1.0, processing_share=0.0, on_whatsapp=1.0, failing_checks=2)
    answers = [business.statuses("+12015550101")[0] for _ in range(4)]

    assert answers == ["failed", "failed", "valid", "valid"]
    assert whatsapp.checked == {"+12015550101": 3}


def test_a_failed_check_may_be_cached(business, whatsapp):
    whatsapp.change(failing_share=1.0, processing_share=0.0, on_whatsapp=1.0, failed_is_cached=True)
    answers = [business.statuses("+12015550101")[0] for _ in range(3)]

    assert answers == ["failed"] * 3
    assert business.statuses("+12015550101", force_check=True) == ["valid"]


@pytest.mark.parametrize("failing", [{"failing_share": 1.0, "failing_checks": None}, {}])
def test_some_checks_fail_for_ever(business, whatsapp, failing):
    whatsapp.change(processing_share=0.0, **failing)
    if not failing:
        whatsapp.put("+12015550101", "failed")

    assert [business.statuses("+12015550101")[0] for _ in range(5)] == ["failed"] * 5


def test_both_spellings_of_a_person_share_the_cache(business, whatsapp):
    whatsapp.put("+5582900000001")
    entries = business.entries("+5582900000001", "+558200000001")

    assert [entry["wa_id"] for entry in entries] == ["558200000001"] * 2
    assert whatsapp.checked == {"+5582900000001": 1}


def test_a_tenth_of_many_numbers_is_processing_and_then_resolved(business, sandbox):
    numbers = [f"+1{area}55501{line:02d}" for area in range(201, 211) for line in range(100)]
    first = dict(zip(numbers, business.statuses(*numbers), strict=True))
    processing = [number for number in numbers if first[number] == "processing"]
    second = set(business.statuses(*processing))

    assert 60 < len(processing) < 140
    assert second == {"valid", "invalid"}
    assert sum(sandbox.asked_numbers.values()) == 1000 + len(processing)


def test_counts_are_of_answered_requests(business, sandbox, whatsapp):
    business.check(QUICK, SLOW, "6315551002")
    business.check(SLOW)
    business.check("not a number", QUICK, QUICK)

    assert sandbox.asked_numbers == {QUICK: 3, SLOW: 2, "+16315551002": 1, "+1": 1}
    assert [call.size for call in whatsapp.calls] == [3, 1, 3]


def test_calls_tell_when_and_how_they_were_made():
    times = [1_000.0]
    with Sandbox(World(), real_time=lambda: times[0]) as sandbox:
        client = sandbox.whatsapp
        client.check([QUICK, SLOW])
        times[0] = 1_005.5
        client.check([SLOW], force=True, wait=True)

        assert client.calls == [
            Call(at=1_000.0, size=2, force_check=False, blocking="no_wait"),
            Call(at=1_005.5, size=1, force_check=True, blocking="wait"),
        ]
