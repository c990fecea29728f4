"""What the list may hold, and how it may be written."""

import pytest

from airflow_provider_wacontacts.sandbox import ContactList, Raw

USER, GROUP = "447700900123@c.us", "120363000000000009@g.us"


@pytest.fixture
def nobody(sandbox):
    """An account whose list is empty."""
    sandbox.green_api.load(ContactList())
    return sandbox.green_api


def test_names_are_sent_in_utf8_and_not_as_escapes(instance, nobody):
    nobody.put(USER, name="זורבלט")

    assert "זורבלט".encode() in instance.contacts().content


def test_a_value_may_be_any_bytes(instance, nobody):
    nobody.put(USER, name=Raw(b'"\xff"'), contact_name=Raw(b"null"), extra={"type": Raw(b"7"), "urn": "x"})

    assert instance.contacts().content == b'[{"id":"%s","name":"\xff","contactName":null,"type":7,"urn":"x"}]' % (
        USER.encode()
    )


@pytest.mark.parametrize(("group", "types"), [("true", ["group"]), ("false", ["user", "user"])])
def test_group_narrows_the_list(instance, group, types):
    assert [row["type"] for row in instance.rows(group=group)] == types


def test_count_counts_what_group_leaves(instance):
    assert instance.ids(group="true", count=2) == ["79001234569-1479621234@g.us"]
