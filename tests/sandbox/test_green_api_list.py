"""Who is in the list, under which names, and when."""

import itertools
import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_wacontacts.sandbox import (
    ContactList,
    ListedContact,
    ListedState,
    example_contact_list,
    seeded_contact_list,
    seeded_world,
)

ANNA, BEA = "447700900123@c.us", "447700900124@c.us"
START = datetime(2022, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)
END = START + 14 * DAY


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


def test_a_change_shows_at_once_though_the_clock_stands_still(instance, account):
    before = len(instance.rows())
    account.put(ANNA)
    with_anna = len(instance.rows())
    account.remove(ANNA)

    assert (before, with_anna, len(instance.rows())) == (3, 4, 3)


def test_either_name_is_changed_alone(account):
    account.put(ANNA, name="Zorblatt", contact_name="Zorblatt at work")
    account.rename(ANNA, contact_name="Quillimar")

    assert account.find(ANNA) == ListedContact(ANNA, "Zorblatt", "Quillimar")


def test_a_contact_that_is_put_again_is_as_it_is_given(account):
    account.put(ANNA, name="Zorblatt", contact_name="Zorblatt at work", extra={"urn": "x"})
    account.put(ANNA, name="Quillimar")

    assert account.rows()[-1] == {"id": ANNA, "name": "Quillimar", "type": "user"}


@pytest.mark.parametrize("change", ["rename", "remove"])
def test_whoever_is_not_in_the_list_cannot_be_changed(account, change):
    account.put(ANNA, at="2022-09-13T09:00:00Z")

    for chat_id in (ANNA, BEA):
        with pytest.raises(LookupError):
            getattr(account, change)(chat_id)


def test_the_truth_is_every_state_up_to_now(account):
    account.load(ContactList())
    account.put(ANNA, at="2022-09-12T00:00:00Z")
    account.put(BEA, at="2022-09-13T00:00:00Z")
    account.remove(ANNA, at="2022-09-12T12:00:00Z")
    account.put(ANNA, at="2022-09-14T00:00:00Z")

    assert account.truth() == [
        ListedState(START, ANNA, ListedContact(ANNA)),
        ListedState(START + DAY / 2, ANNA, None),
        ListedState(START + DAY, BEA, ListedContact(BEA)),
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


def test_the_token_is_secret_in_every_form(account):
    account.change(token="a/b c")

    assert account.secret_texts() == {"a/b c", "a/b%20c", "a%2Fb%20c"}


def test_the_example_has_always_been_there():
    assert len(example_contact_list().listed(START - 10_000 * DAY)) == 3


def test_a_seed_gives_the_same_list_and_another_one_another():
    assert list(seeded_contact_list(3)) == list(seeded_contact_list(3)) != list(seeded_contact_list(4))


def test_a_seeded_contact_is_the_same_however_many_others_there_are():
    few, many = (seeded_contact_list(3, contacts=contacts) for contacts in (50, 500))
    ids = {state.id for state in few}

    assert [state for state in many if state.id in ids] == list(few)


def test_seeded_contacts_have_all_kinds_of_ids_and_names():
    contacts = seeded_contact_list(contacts=200, days=0).listed(START)
    kinds = Counter(contact.id.partition("@")[2] for contact in contacts)
    users = [contact for contact in contacts if not contact.is_group]

    assert (len(contacts), kinds) == (200, {"c.us": 170, "lid": 10, "g.us": 20})
    assert {"null@c.us", "120363000000000009@g.us"} < {contact.id for contact in contacts}
    assert {contact.contact_name is None for contact in users} == {contact.name == "" for contact in users}
    assert any("\u0590" < letter < "\u0600" for contact in users for letter in str(contact.name))
    assert all(contact.contact_name is None for contact in contacts if contact.is_group)


def test_seeded_users_are_the_people_of_turns_world():
    numbers = {event.details["whatsapp_id"] for event in seeded_world(5, contacts=100)}
    users = {state.id.removesuffix("@c.us") for state in seeded_contact_list(5, contacts=100) if "@c" in state.id}

    assert users - {"null"} < numbers
    assert len(users) == 85


def test_a_list_over_no_days_does_not_change():
    contacts = seeded_contact_list(contacts=300, days=0)

    assert {state.at for state in contacts} == {START}


def test_seeded_contacts_join_are_renamed_go_and_come_back():
    contacts = seeded_contact_list(contacts=400)
    lists = [{contact.id: contact for contact in contacts.listed(START + day * DAY)} for day in range(15)]
    sizes = [len(each) for each in lists]
    gone = {chat_id for one, other in itertools.pairwise(lists) for chat_id in one.keys() - other.keys()}
    back = gone & lists[-1].keys()
    renamed = {
        chat_id
        for one, other in itertools.pairwise(lists)
        for chat_id in one.keys() & other.keys()
        if one[chat_id] != other[chat_id]
    }

    assert 300 < sizes[0] < sizes[-1] < 400
    assert min(len(gone), len(back), len(gone - back), len(renamed)) > 5
    assert START < contacts.end < END


def test_a_changing_share_of_none_only_lets_contacts_join():
    contacts = seeded_contact_list(contacts=200, changing_share=0.0)

    assert len(list(contacts)) == len(contacts) == len(contacts.listed(END)) == 200


def test_two_hundred_thousand_contacts_come_in_one_answer(instance, account):
    account.load(seeded_contact_list(contacts=200_000, days=0))
    body = instance.contacts().content

    assert (body.count(b'"id":'), len(body) > 15_000_000) == (200_000, True)
