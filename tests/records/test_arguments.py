"""Figures that somebody gives as arguments."""

from datetime import timedelta

import pytest

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.records.arguments import (
    validate_bool,
    validate_int,
    validate_ratio,
    validate_timedelta,
)

SECRET = "+12015550123"


@pytest.mark.parametrize("value", [1, 7, 1_000])
def test_a_whole_number_within_its_bounds_will_do(value):
    validate_int("batch_size", value, 1, 1_000)
    validate_int("limit", value, 1)


@pytest.mark.parametrize("value", [0, 1_001, -1, 1.0, 2.5, True, "7", None, [7], timedelta(days=7)])
def test_anything_else_will_not(value):
    with pytest.raises(ConfigError, match=r"^batch_size is .+; it is a whole number, 1 to 1,000$"):
        validate_int("batch_size", value, 1, 1_000)


@pytest.mark.parametrize("value", [0, 0.01, 1, 1.0])
def test_a_share_is_from_0_to_1(value):
    validate_ratio("max_rejected", value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.5", None])
def test_nothing_else_is_a_share(value):
    with pytest.raises(ConfigError, match=r"^max_rejected is .+; it is a share, 0 to 1$"):
        validate_ratio("max_rejected", value)


def test_a_span_may_be_nothing_unless_it_may_not():
    validate_timedelta("settle", timedelta(0))
    validate_timedelta("window_length", timedelta(microseconds=1), allow_zero=False)
    with pytest.raises(ConfigError, match=r"^window_length must be longer than nothing$"):
        validate_timedelta("window_length", timedelta(0), allow_zero=False)
    with pytest.raises(ConfigError, match=r"^settle is negative$"):
        validate_timedelta("settle", timedelta(seconds=-1))


@pytest.mark.parametrize("value", [7, 7.0, "7 days", None, False])
def test_a_number_of_days_is_no_span(value):
    with pytest.raises(ConfigError, match=r"^fresh_for is .+; it is a timedelta, such as timedelta\(days=1\)$"):
        validate_timedelta("fresh_for", value)


@pytest.mark.parametrize("value", [0, 1, "False", "", None])
def test_a_flag_is_true_or_false_and_no_text_that_says_so(value):
    validate_bool("force_check", value=True)
    with pytest.raises(ConfigError, match=r"^force_check is .+; it is True or False$"):
        validate_bool("force_check", value)


@pytest.mark.parametrize("check", [validate_ratio, validate_timedelta, validate_bool])
def test_what_was_given_by_mistake_is_not_shown(check):
    with pytest.raises(ConfigError, match="of type str") as raised:
        check("limit", SECRET)
    assert SECRET not in str(raised.value)
