"""The generated CRM table of the demo."""

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_wacontacts.identifiers.identifier import InvalidIdentifierError
from airflow_provider_wacontacts.identifiers.numbers import read_number
from demo.crm import SENDER, Crm, invented_contacts, newcomers


@pytest.fixture
def crm(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    yield Crm(engine, invented_contacts(60)), engine
    engine.dispose()


def read(written):
    try:
        return read_number(written, "US").value
    except InvalidIdentifierError:
        return None


def test_a_contact_of_a_callback_is_matched_in_any_spelling():
    contacts = [*invented_contacts(), *newcomers()]
    assert [read(one.number) for one in contacts] == [one.e164 for one in contacts]
    assert SENDER not in {one.e164 for one in contacts}


def test_every_row_has_a_unique_key():
    keys = [one.contact_key for one in (*invented_contacts(), *newcomers())]
    assert len(set(keys)) == len(keys)


def test_there_are_several_spellings_duplicates_and_invalid_numbers():
    contacts = invented_contacts(60)
    numbers = [one.e164 for one in contacts if one.e164]
    assert len(set(numbers)) < len(numbers) < len(contacts)
    assert {one.number[:1] for one in contacts} >= {"+", "(", "1", "2", "t"}


def test_one_opted_out_row_applies_to_all_rows_of_its_number(crm):
    contacts, _ = crm
    rows = [one.opted_in for one in contacts.contacts if one.e164 in contacts.opted_out]
    assert None in rows
    assert not contacts.opted_out & set(contacts.numbers)


def test_the_table_is_correct_after_an_opt_out(crm):
    contacts, engine = crm
    gone = contacts.numbers[:2]
    contacts.opt_out(gone)
    assert contacts.opted_out >= set(gone)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT contact_key, number, opted_in FROM contacts ORDER BY contact_key"))
        held = [(key, number, None if opted_in is None else bool(opted_in)) for key, number, opted_in in rows]
    assert held == sorted((one.contact_key, one.number, one.opted_in) for one in contacts.contacts)
