"""WhatsApp's identifiers, by kind: each reader accepts its own kind in all spellings, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.identifiers.identifier import Identifier, InvalidIdentifierError, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import pseudonymize
from airflow_provider_wacontacts.identifiers.reader import read_contact, read_identifier
from airflow_provider_wacontacts.identifiers.whatsapp_ids import (
    IdsByKind,
    group_creator,
    ids_by_kind,
    read_group,
    read_lid,
    read_user_id,
    read_wa_id,
)

READERS = {
    Kind.WA_ID: read_wa_id,
    Kind.LID: read_lid,
    Kind.USER_ID: read_user_id,
    Kind.GROUP: read_group,
}
SPELLINGS = {
    Identifier(Kind.WA_ID, "11001234567"): [
        "11001234567",
        "+11001234567",
        "11001234567@c.us",
        "+11001234567@c.us",
        "11001234567@C.US",
        "11001234567@s.whatsapp.net",
        "11001234567:12@s.whatsapp.net",
        "11001234567.0:12@s.whatsapp.net",
        " 11001234567@c.us\n",
    ],
    Identifier(Kind.LID, "120650379300963@lid"): [
        "120650379300963@lid",
        "120650379300963:1@lid",
        "120650379300963:1@hosted.lid",
        "120650379300963@LID",
    ],
    Identifier(Kind.USER_ID, "US.13491208655302741918"): ["US.13491208655302741918"],
    Identifier(Kind.USER_ID, "BR.1A2B3C4D5E"): ["BR.1A2B3C4D5E"],
    Identifier(Kind.USER_ID, "US.ENT.1349120865"): ["US.ENT.1349120865"],
    Identifier(Kind.GROUP, "79001234569-1479621234@g.us"): ["79001234569-1479621234@g.us"],
    Identifier(Kind.GROUP, "120363043968294520@g.us"): ["120363043968294520@g.us"],
}


@pytest.mark.parametrize(
    ("text", "identifier"), [(text, identifier) for identifier, texts in SPELLINGS.items() for text in texts]
)
def test_only_the_reader_of_its_kind_reads_an_identifier(text, identifier):
    found = {kind: read(text) for kind, read in READERS.items()}

    assert found == {kind: identifier if kind == identifier.kind else None for kind in READERS}
    if text.strip() != "+11001234567":
        assert read_identifier(text) == identifier


@pytest.mark.parametrize(
    "value",
    [
        *("0", "123456", "1" * 16, "0044623456700", "null@c.us", "@lid", "us.1234", "USA.1234", "US.", "US.12-34"),
        *("1@g.us", "11001234567@example.com", "11001234567:12", "1100 123 4567", "", None, 0, b"1100123456"),
    ],
)
def test_any_other_value_is_not_an_identifier(value):
    assert {kind: read(value) for kind, read in READERS.items()} == dict.fromkeys(READERS)
    assert ids_by_kind(value) == IdsByKind()


def test_the_values_of_a_contact_are_grouped_by_kind():
    values = (
        "120650379300963@lid",
        "11001234567@c.us",
        0,
        None,
        "US.1349",
        "79001234569-1479621234@g.us",
        "22001234567",
    )

    assert ids_by_kind(*values) == IdsByKind("11001234567", "120650379300963@lid", "US.1349")


@given(st.text(max_size=40) | st.from_regex(r"\+?[0-9]{1,20}(:[0-9]+)?(@[a-z.]{1,15})?", fullmatch=True))
def test_a_string_has_at_most_one_kind(text):
    found = [identifier for read in READERS.values() if (identifier := read(text))]

    assert len(found) <= 1
    assert [value for value in ids_by_kind(text) if value] == [i.value for i in found if i.kind is not Kind.GROUP]
    for identifier in found:
        assert READERS[identifier.kind](identifier.value) == identifier


def test_the_creator_of_a_group_is_read_from_the_old_form_only():
    assert group_creator(read_group("79001234569-1479621234@g.us")) == Identifier(Kind.WA_ID, "79001234569")
    assert group_creator(read_group("120363043968294520@g.us")) is None


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        (
            "contact:f6c4e666-81ad-430e-aea5-1ba33e6f4c35",
            Identifier(Kind.CONTACT, "f6c4e666-81ad-430e-aea5-1ba33e6f4c35"),
        ),
        ("number:+11001234567", Identifier(Kind.NUMBER, "+11001234567")),
        ("+11001234567", Identifier(Kind.NUMBER, "+11001234567")),
        ("lid:120650379300963@lid", Identifier(Kind.LID, "120650379300963@lid")),
        ("11001234567.0", Identifier(Kind.WA_ID, "11001234567")),
        ("1 100 123 4567", Identifier(Kind.NUMBER, "+11001234567")),
        ("contact:a\u202eb\xa0c\nd", Identifier(Kind.CONTACT, "a\u202eb\xa0c\nd")),
    ],
)
def test_an_identifier_of_any_kind_is_read_from_a_string(text, identifier):
    assert read_identifier(text) == identifier


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0821234567", "no country code"),
        ("null@c.us", "not a number"),
        ("lid:120650379300963", "not a lid"),
        ("contact:", "not a contact"),
        ("contact:" + "x" * 256, "not a contact"),
        ("contact:a\0b", "not a contact"),
        ("contact:a\ud800b", "not a contact"),
        ("27821234ba569", "letters"),
    ],
)
def test_an_invalid_identifier_is_refused_and_not_shown(text, reason):
    with pytest.raises(InvalidIdentifierError, match=f"^{reason}$"):
        read_identifier(text)


def test_the_repr_of_an_identifier_hides_its_value():
    assert "11001234567" not in repr(read_identifier("11001234567"))
    assert read_contact("US.1349").kind is Kind.CONTACT


def test_pseudonyms_keep_their_kind():
    secret = b"an example of 24 bytes.."
    for identifier in SPELLINGS:
        pseudonym = pseudonymize(identifier, secret)
        assert read_identifier(pseudonym) == Identifier(identifier.kind, pseudonym)
        assert pseudonymize(Identifier(identifier.kind, pseudonym), secret) == pseudonym
    assert pseudonymize(read_identifier("+11001234567"), secret) == pseudonymize(read_wa_id("11001234567"), secret)
    assert len({pseudonymize(Identifier(kind, "11001234567"), secret).partition("@")[0] for kind in Kind}) == 5
