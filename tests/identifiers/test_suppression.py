"""Suppression lists: identifiers of any kind, in clear or as pseudonyms, and contacts."""

import pytest

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.pseudonyms import pseudonymize
from airflow_provider_wacontacts.identifiers.reader import read_identifier
from airflow_provider_wacontacts.identifiers.suppression import (
    NO_SUPPRESSIONS,
    Contact,
    SuppressionKey,
    SuppressionList,
)
from airflow_provider_wacontacts.records.record import Record, Reject
from airflow_provider_wacontacts.records.windows import parse_time

BOB, EVE = "44623456700", "44623456799"
LID, USER_ID, GROUP = "120650379300963@lid", "US.13491208655302741918", "120363043968294520@g.us"
OF_EACH_KIND = [f"+{BOB}", f"{BOB}@c.us", LID, USER_ID, GROUP, "contact:f6c4e666"]
KEY = SuppressionKey(b"example-key")
SECRET = b"example-secret-of-sixteen-bytes"
SECRET_KEY = SuppressionKey.from_secret(SECRET)


def erased(*values, key=KEY):
    return SuppressionList({key: [key.hash(read_identifier(value)) for value in values]})


def record(contact_id="uuid", **ids):
    return Record(contact_id, parse_time("2024-01-01T00:00:00Z"), b"", b"{}", **ids)


@pytest.mark.parametrize("key", [KEY, SECRET_KEY])
@pytest.mark.parametrize("value", OF_EACH_KIND)
def test_an_identifier_is_listed_only_under_its_own_kind(key, value):
    identifier = read_identifier(value)
    found = erased(value, key=key)
    assert found.has(identifier)
    others = [read_identifier(other) for other in OF_EACH_KIND]
    assert {other.as_wa_id() for other in others if found.has(other)} == {identifier.as_wa_id()}
    assert not found.has(Identifier(identifier.kind, f"{identifier.value}0"))


def test_a_number_and_a_whatsapp_id_with_its_digits_have_one_hash():
    assert KEY.hash(Identifier(Kind.NUMBER, f"+{BOB}")) == KEY.hash(Identifier(Kind.WA_ID, BOB))


@pytest.mark.parametrize("value", OF_EACH_KIND[:-1])
def test_an_identifier_and_its_pseudonym_have_one_hash(value):
    identifier = read_identifier(value).as_wa_id()
    pseudonym = Identifier(identifier.kind, pseudonymize(identifier, SECRET))
    assert SECRET_KEY.hash(identifier) == SECRET_KEY.hash(pseudonym)
    assert SECRET_KEY.hash(identifier).hex() not in pseudonym.value


def test_hashes_differ_between_keys():
    keys = [KEY, SuppressionKey(SECRET[::-1]), SuppressionKey.from_secret(SECRET[::-1])]
    assert len({key.key_id for key in keys}) == 2
    assert len({key.hash(Identifier(Kind.WA_ID, BOB)) for key in keys}) == 3
    assert KEY.hash(Identifier(Kind.CONTACT, BOB)) != KEY.hash_contact(Contact("", "", BOB))


@pytest.mark.parametrize(
    ("row", "values"),
    [
        (record(wa_id=BOB), [f"+{BOB}", f"{BOB}@c.us"]),
        (record(lid=LID), [LID]),
        (record(user_id=USER_ID), [USER_ID]),
        (record(wa_id=EVE, user_id=USER_ID), [USER_ID]),
        (record("f6c4e666"), ["contact:f6c4e666"]),
        (record(f"{BOB}@s.whatsapp.net"), [f"+{BOB}"]),
        (record(f"+{BOB}@c.us"), [f"+{BOB}"]),
        (record(f"{BOB}@C.US"), [f"+{BOB}"]),
        (record(f"{BOB}:12@s.whatsapp.net"), [f"+{BOB}"]),
        (record(f"whatsapp:+{BOB}"), [f"+{BOB}"]),
        (record(f"{BOB}-1479621234@g.us"), [f"+{BOB}", f"group:{BOB}-1479621234@g.us"]),
        (record("120650379300963:3@lid"), [LID]),
        (record(GROUP), [GROUP]),
        (record(BOB), []),
        (record(f"{BOB}@lid"), [f"{BOB}@lid"]),
        (record(wa_id=EVE), []),
    ],
)
def test_a_record_matches_by_its_identifiers_and_those_in_its_id(row, values):
    candidates = [*OF_EACH_KIND, f"{BOB}@lid", f"group:{BOB}-1479621234@g.us"]
    matching = [value for value in candidates if erased(value).has_record("turn", "main", row)]
    assert set(matching) == {value for value in candidates if read_identifier(value).as_wa_id() in read_all(values)}
    assert erased(f"+{EVE}").remove_suppressed("turn", "main", [record("other")]) == ([record("other")], set())


def read_all(values):
    return {read_identifier(value).as_wa_id() for value in values}


def test_a_contact_is_listed_by_feed_and_account():
    contacts = [Contact("turn", "main", "bob"), Contact("turn", "other", "bob")]
    found = SuppressionList({KEY: [KEY.hash_contact(contacts[0])]})
    assert [found.has_contact(contact) for contact in contacts] == [True, False]


def test_rejects_that_mention_a_person_are_removed():
    rejects = [Reject("no id", b'{"phone": "+44 6234 56-700"}'), Reject("no id", EVE.encode())]
    assert erased(f"+{BOB}").remove_suppressed_rejects(rejects) == rejects[1:]


def test_a_reject_that_cannot_be_searched_loses_its_body():
    reject = Reject("not JSON", b"1" * 1_000_000)
    assert erased(f"+{BOB}").remove_suppressed_rejects([reject]) == [Reject("not JSON", b"")]
    assert NO_SUPPRESSIONS.remove_suppressed_rejects([reject]) == [reject]


def test_an_empty_list_matches_nothing():
    assert not NO_SUPPRESSIONS
    assert not NO_SUPPRESSIONS.found_in(BOB)
    assert not NO_SUPPRESSIONS.found_in("1" * 1_000_000)
    assert not NO_SUPPRESSIONS.has(Identifier(Kind.WA_ID, BOB))
