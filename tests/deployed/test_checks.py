"""Checks by a real Airflow, whose triggerer is killed while it waits for results."""

from datetime import UTC, datetime

import pytest

from demo.crm import SENDER

RESULTS = (
    "SELECT number, status FROM wacontacts_check_result WHERE check_id = :check AND NOT duplicate ORDER BY ordinal"
)


@pytest.fixture(params=["checked", "revalidated"])
def asked(runs, request):
    return getattr(runs, request.param)


def results(runs, asked):
    return dict(runs.rows(RESULTS, check=asked.summary["check_id"]))


def grown_old(runs):
    """What had grown old when the second run began: whom the first had found or failed to ask about."""
    return {number for number, status in results(runs, runs.checked).items() if status in ("valid", "failed")}


def test_both_runs_succeed(runs):
    assert [*runs.states["whatsapp_check_contacts"].values()] == ["success"]
    assert [*runs.states["whatsapp_revalidate_stale"].values()] == ["success"]


def test_every_number_that_is_not_opted_out_is_checked(runs):
    assert runs.checked.times.keys() == runs.checked.allowed
    assert len(runs.crm.opted_out) > 1
    assert not runs.crm.opted_out & runs.whatsapp.asked_numbers.keys()


def test_only_stale_numbers_are_rechecked(runs):
    assert runs.revalidated.times.keys() == grown_old(runs)
    assert 0 < len(grown_old(runs)) < len(runs.checked.allowed)


def test_a_number_is_polled_only_while_it_is_processing(asked):
    again = [number for number, times in asked.times.items() if times > 1]
    assert len(again) == asked.summary["processing"] > 0


def test_a_wait_moves_to_another_triggerer_when_its_own_is_lost(runs):
    first, second = runs.checked.triggerers
    assert first != second


def test_the_wait_ends_with_all_results(runs, asked):
    statuses = results(runs, asked).values()
    assert set(statuses) <= {"valid", "invalid", "rejected", "not_asked"}
    ((state, drawn),) = runs.rows(
        "SELECT state, finished_at IS NOT NULL FROM wacontacts_check WHERE check_id = :check",
        check=asked.summary["check_id"],
    )
    assert (state, drawn) == ("resolved", True)


def test_the_store_has_the_true_status_of_each_number(runs):
    known = runs.rows("SELECT number, status, wa_id FROM wacontacts_number WHERE status IS NOT NULL")
    true = [runs.whatsapp.whatsapp.truth(number) for number, _, _ in known]
    assert known == [(one.number, one.status, one.wa_id) for one in true]
    assert len(known) == len(runs.checked.allowed)


def test_a_result_has_the_servers_time(runs):
    stale = grown_old(runs)
    checked = runs.rows("SELECT number, checked_at FROM wacontacts_number WHERE checked_at IS NOT NULL")
    days = {number: (datetime.now(UTC) - at).days for number, at in checked}
    assert days == {number: 0 if number in stale else 8 for number in runs.checked.allowed}


def test_the_budget_is_spent_once_for_each_number_of_each_run(runs):
    (spent,) = runs.rows("SELECT sum(spent) FROM wacontacts_budget WHERE sender = :sender", sender=SENDER)
    assert spent == (sum(len(one.times) for one in (runs.checked, runs.revalidated)),)


def test_valid_ids_are_passed_downstream_with_contact_keys(runs):
    first, truth = results(runs, runs.checked), runs.whatsapp.whatsapp.truth
    valid = [one for one in runs.crm.contacts if first.get(one.e164) == "valid"]
    handed_on = dict(runs.rows("SELECT contact_key, wa_id FROM whatsapp_ids"))
    assert handed_on == {one.contact_key: truth(one.e164).wa_id for one in valid}
    assert len(set(handed_on.values())) < len(handed_on)


def test_the_summary_counts_the_inputs(runs):
    summary = runs.checked.summary
    contacts = [one for one in runs.crm.contacts if one.contact_key.startswith("C")]
    numbers = {one.e164 for one in contacts if one.e164}
    assert {name: summary[name] for name in ("given", "rejected", "duplicates", "asked", "not_asked")} == {
        "given": len(contacts),
        "rejected": sum(one.e164 is None for one in contacts),
        "duplicates": sum(one.e164 is not None for one in contacts) - len(numbers),
        "asked": len(runs.checked.allowed),
        "not_asked": len(numbers - runs.checked.allowed),
    }
