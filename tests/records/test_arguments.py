"""Validation of arguments: each error names the argument, and none shows a string."""

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
def test_an_int_within_its_bounds_is_accepted(value):
    validate_int("batch_size", value, 1, 1_000)
    validate_int("limit", value, 1)


@pytest.mark.parametrize("value", [0, 1_001, -1, 1.0, 2.5, True, "7", None, [7], timedelta(days=7)])
def test_any_other_value_is_not_an_int_within_its_bounds(value):
    with pytest.raises(ConfigError, match=r"^batch_size is .+\. It must be a whole number, 1 to 1,000\.$"):
        validate_int("batch_size", value, 1, 1_000)


@pytest.mark.parametrize("value", [0, 0.01, 1, 1.0])
def test_a_ratio_is_from_0_to_1(value):
    validate_ratio("max_rejected", value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), True, "0.5", None])
def test_any_other_value_is_not_a_ratio(value):
    with pytest.raises(ConfigError, match=r"^max_rejected is .+\. It must be a number from 0 to 1\.$"):
        validate_ratio("max_rejected", value)


def test_a_timedelta_is_not_negative_and_zero_only_if_allowed():
    validate_timedelta("settle", timedelta(0))
    validate_timedelta("window_length", timedelta(microseconds=1), allow_zero=False)
    with pytest.raises(ConfigError, match=r"^window_length is zero\."):
        validate_timedelta("window_length", timedelta(0), allow_zero=False)
    with pytest.raises(ConfigError, match=r"^settle is negative\."):
        validate_timedelta("settle", timedelta(seconds=-1))


@pytest.mark.parametrize("value", [7, 7.0, "7 days", None, False])
def test_a_number_of_days_is_not_a_timedelta(value):
    with pytest.raises(ConfigError, match=r"^fresh_for is .+\. It must be a timedelta, for example"):
        validate_timedelta("fresh_for", value)


@pytest.mark.parametrize("value", [0, 1, "False", "", None])
def test_a_bool_is_true_or_false_and_not_their_names(value):
    validate_bool("force_check", value=True)
    with pytest.raises(ConfigError, match=r"^force_check is .+\. It must be True or False\.$"):
        validate_bool("force_check", value)


@pytest.mark.parametrize("check", [validate_ratio, validate_timedelta, validate_bool])
def test_a_string_given_by_mistake_is_not_shown(check):
    with pytest.raises(ConfigError, match="of type str") as raised:
        check("limit", SECRET)
    assert SECRET not in str(raised.value)
