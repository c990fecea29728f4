"""The cache of seven days, and checks that take a while."""

from airflow_provider_wacontacts.sandbox import Sandbox, World
from airflow_provider_wacontacts.sandbox.whatsapp_business.checks import Call

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


def test_force_check_passes_the_cache_by(business, whatsapp):
    business.check(QUICK)
    whatsapp.put(QUICK, "invalid")

    assert business.statuses(QUICK, force_check=True) == ["invalid"]
    assert business.statuses(QUICK) == ["invalid"]
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


def test_what_is_left_to_callbacks_is_processing_until_its_callback_is_made(business, whatsapp):
    whatsapp.change(resolved_by="callback")
    before = [business.statuses(SLOW)[0] for _ in range(3)]
    whatsapp.finish()

    assert (before, business.statuses(SLOW), whatsapp.checked) == (["processing"] * 3, ["valid"], {SLOW: 1})


def test_a_failed_check_is_made_again(business, whatsapp):
    whatsapp.change(failing_share=1.0, processing_share=0.0, on_whatsapp=1.0)
    answers = [business.statuses("+12015550101")[0] for _ in range(3)]

    assert answers == ["failed", "valid", "valid"]
    assert whatsapp.checked == {"+12015550101": 2}


def test_both_spellings_of_a_person_share_the_cache(business, whatsapp):
    whatsapp.put("+5582900000001")
    entries = business.entries("+5582900000001", "+558200000001")

    assert [entry["wa_id"] for entry in entries] == ["558200000001"] * 2
    assert whatsapp.checked == {"+5582900000001": 1}


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
