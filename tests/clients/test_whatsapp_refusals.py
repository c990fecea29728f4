"""Responses with 200 OK that lack results, or contain more than was requested."""

import pytest

from airflow_provider_wacontacts.clients.whatsapp_business import check_contacts, get_identity
from airflow_provider_wacontacts.exceptions import (
    AuthError,
    ContractError,
    NotEnabledError,
    RateLimitedError,
    ServerError,
)
from tests.clients.test_whatsapp_business import THE_CONTRACTS, VALID, answer, check, drive


@pytest.mark.parametrize("contacts", [[], None, [None]])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1031, NotEnabledError),
        (1005, AuthError),
        (1015, RateLimitedError),
        (429, RateLimitedError),
        (1011, ServerError),
    ],
)
def test_a_200_with_an_error_and_no_results_raises_the_error(contacts, code, kind):
    with pytest.raises(kind):
        drive(check_contacts([VALID]), answer({"contacts": contacts, "errors": [{"code": code}]}))


def test_an_error_about_some_numbers_does_not_stop_the_others():
    found = check(errors=[{"code": 1013, "title": "User is not valid"}], asked=[VALID])

    assert (found.missing, found.error_codes, found.error) == ([VALID], (1013,), None)


def test_results_are_read_even_if_other_numbers_are_refused():
    found = check(THE_CONTRACTS[0], errors=[{"code": 1031}])

    assert (list(found.results), len(found.missing)) == ([VALID], 3)
    assert isinstance(found.error, NotEnabledError)


def test_errors_with_all_results_refuse_no_number():
    assert check(*THE_CONTRACTS, errors=[{"code": 1016}]).error is None


@pytest.mark.parametrize("words", [["valid", "failed"], ["failed", "valid"], ["processing", "valid"]])
def test_if_a_number_has_two_entries_the_more_specific_one_counts(words):
    entries = [{"input": VALID, "status": word} for word in words]

    assert check(*entries, asked=[VALID]).results[VALID].status == "valid"


def test_an_id_that_is_too_long_is_ignored():
    found = check({"input": VALID, "status": "valid", "wa_id": "1" * 5_000}, asked=[VALID])

    assert found.results[VALID].wa_id is None


def test_a_hash_that_is_too_long_is_ignored():
    with pytest.raises(ContractError):
        drive(get_identity("16315551000"), answer({"contacts": {"hash": "h" * 5_000}}))
