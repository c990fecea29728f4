"""Who is a person, what stands for one, and where one is named."""

from decimal import Decimal

import pytest

from airflow_provider_wacontacts.identifiers.suppression import (
    NO_SUPPRESSIONS,
    Contact,
    SuppressionKey,
    SuppressionList,
    read_person,
)
from airflow_provider_wacontacts.records.pseudonyms import Pseudonymizer
from airflow_provider_wacontacts.records.record import Record, Reject
from airflow_provider_wacontacts.records.windows import parse_time

BOB, EVE = "44623456700", "44623456799"
KEY = SuppressionKey(b"example-key")
SECRET = b"example-pseudonym-secret"


def erased(*people, key=KEY):
    return SuppressionList({key: [key.hash_person(person) for person in people]})


@pytest.mark.parametrize(
    "given",
    [
        BOB,
        int(BOB),
        float(BOB),
        Decimal(BOB),
        f" +{BOB}\n",
        "+44 (0) 6234-567.00",
        f"{BOB}@c.us",
        f"{BOB}@s.whatsapp.net",
        "٤٤٦٢٣٤٥٦٧٠٠",
        "\u202a+44\u00a06234 56700\u202c",
    ],
)
def test_any_spelling_of_an_id_or_number_is_read(given):
    assert read_person(given) == BOB


def test_a_pseudonym_is_returned_unchanged():
    assert read_person("p1_" + "a1" * 32) == read_person("p1_" + "a1" * 32 + "@c.us") == "p1_" + "a1" * 32


@pytest.mark.parametrize(
    "given", ["", "bob", "0044623456700", "123456", "1" * 16, f"{BOB}x", f"{BOB}@g.us", f"{BOB},{EVE}", 1.5, None, b"1"]
)
def test_anything_else_is_refused_and_not_shown(given):
    with pytest.raises(ValueError, match="neither a WhatsApp id nor an international number") as refused:
        read_person(given)
    assert BOB not in str(refused.value)


def test_digits_and_their_pseudonym_have_one_hash():
    key = SuppressionKey.from_secret(SECRET)
    standing = Pseudonymizer(SECRET, ["id"]).value("id", BOB, ["id"])
    assert key.pseudonymize(BOB) == standing
    assert key.hash_person(BOB) == key.hash_person(standing)
    assert key.hash_person(BOB).hex() not in standing


def test_hashes_differ_between_keys():
    keys = [KEY, SuppressionKey(b"another"), SuppressionKey.from_secret(b"another")]
    assert len({key.key_id for key in keys}) == 2
    assert len({key.hash_person(BOB) for key in keys}) == 3
    assert KEY.hash_person(BOB) != KEY.hash_contact(Contact("", "", BOB))


@pytest.mark.parametrize(
    ("contact_id", "wa_id", "is_theirs"),
    [
        ("uuid", BOB, True),
        ("uuid", EVE, False),
        ("uuid", None, False),
        (f"{BOB}@s.whatsapp.net", None, True),
        (f"{BOB}@lid", None, False),
        (BOB, None, False),
    ],
)
def test_a_record_matches_by_wa_id_and_contact_id(contact_id, wa_id, is_theirs):
    record = Record(contact_id, parse_time("2024-01-01T00:00:00Z"), b"", b"{}", wa_id)
    assert erased(BOB).has_record("turn", "main", record) is is_theirs
    assert erased(BOB).remove_suppressed("turn", "main", [record]) == ([] if is_theirs else [record])


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        (f'{{"id": {BOB}}}', True),
        (f"00{BOB}123", True),
        ("44-6234/567.00", True),
        ("44,623456700", False),
        ("4462345670", False),
        ("06234 56700", False),
        ("44    623456700", False),
        (r"\u0034\u0034623456700", True),
        ("", False),
    ],
)
def test_digits_are_found_in_any_spelling(text, is_named):
    assert erased(BOB).found_in(text) is is_named
    assert erased(BOB).found_in(text.encode()) is is_named
    rejects = [Reject("no id", text.encode())]
    assert erased(BOB).remove_suppressed_rejects(rejects) == ([] if is_named else rejects)


def test_a_pseudonym_is_found():
    key = SuppressionKey.from_secret(SECRET)
    standing = key.pseudonymize(BOB)
    assert erased(BOB, key=key).found_in(f'{{"id": "{standing}@c.us"}}')
    assert not erased(BOB, key=key).found_in(f'{{"id": "{standing}0"}}')


def test_digits_are_found_in_invalid_utf_8():
    assert erased(BOB).found_in(b"\xff\xfe" + BOB.encode() + b"\x80")


def test_an_empty_list_matches_nothing():
    assert not NO_SUPPRESSIONS
    assert not NO_SUPPRESSIONS.found_in(BOB)
    assert not NO_SUPPRESSIONS.has_person(BOB)
