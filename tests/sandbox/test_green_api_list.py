"""Who is in the list, under which names, and when."""

import json
from datetime import UTC, datetime

from airflow_provider_wacontacts.sandbox import (
    ContactList,
    ListedContact,
    ListedState,
    seeded_contact_list,
    seeded_world,
)

ANNA, BEA = "447700900123@c.us", "447700900124@c.us"
START = datetime(2022, 9, 12, tzinfo=UTC)


def test_the_list_is_as_it_is_at_the_sandboxs_time(instance, account, sandbox):
    account.load(ContactList())
    account.put(ANNA, name="Zorblatt", contact_name="Zorblatt at work", at="2022-09-13T09:00:00Z")
    account.rename(ANNA, name="Quillimar", at="2022-09-13T10:00:00Z")
    account.remove(ANNA, at="2022-09-13T11:00:00Z")
    account.put(ANNA, at="2022-09-13T12:00:00Z")
    told = []
    for hour in ("08", "09", "10", "11", "12", "10"):
        sandbox.clock.set(f"2022-09-13T{hour}:00:00Z")
        told.append([(row["name"], row.get("contactName")) for row in instance.rows()])

    assert told == [
        [],
        [("Zorblatt", "Zorblatt at work")],
        [("Quillimar", "Zorblatt at work")],
        [],
        [("", None)],
        [("Quillimar", "Zorblatt at work")],
    ]


def test_of_two_states_at_one_time_the_later_given_is_the_newer():
    contacts = [ListedContact(ANNA, name) for name in ("Zorblatt", "Quillimar")]
    made = ContactList.from_states(ListedState(START, ANNA, contact) for contact in contacts)
    grown = ContactList()
    for contact in contacts:
        grown.put(contact, at=START)

    assert made.listed(START) == grown.listed(START) == contacts[1:]


def test_what_is_personal_is_told_in_every_form(account):
    account.load(ContactList())
    account.put(ANNA, name="זורבלט", contact_name='Zorblatt "Z"')
    account.rename(ANNA, name="Quillimar")
    account.put("12015550101-1479621234@g.us", name="")
    account.put("null@c.us")

    assert account.personal_texts() == {
        *(ANNA, "447700900123", "זורבלט", json.dumps("זורבלט")[1:-1], 'Zorblatt "Z"', 'Zorblatt \\"Z\\"', "Quillimar"),
        *("12015550101-1479621234@g.us", "12015550101", "null@c.us"),
    }


def test_a_seeded_contact_is_the_same_however_many_others_there_are():
    few, many = (seeded_contact_list(3, contacts=contacts) for contacts in (50, 500))
    ids = {state.id for state in few}

    assert [state for state in many if state.id in ids] == list(few)


def test_seeded_users_are_the_people_of_turns_world():
    numbers = {event.details["whatsapp_id"] for event in seeded_world(5, contacts=100)}
    users = {state.id.removesuffix("@c.us") for state in seeded_contact_list(5, contacts=100) if "@c" in state.id}

    assert users - {"null"} < numbers
    assert len(users) == 85
