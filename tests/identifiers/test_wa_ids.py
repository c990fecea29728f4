"""WhatsApp ids."""

from __future__ import annotations

import pytest

from airflow_provider_wacontacts.identifiers.wa_ids import wa_id_digits


@pytest.mark.parametrize(
    ("value", "digits"),
    [("44623456700", "44623456700"), ("+44 623 456700", "44623456700"), ("", None), ("none", None), (7, None)],
)
def test_a_wa_id_is_its_digits(value: object, digits: str | None) -> None:
    assert wa_id_digits(value) == digits
