"""Who is on WhatsApp."""

import pytest

from airflow_provider_wacontacts.sandbox import WhatsAppBehaviour
from airflow_provider_wacontacts.sandbox.people import People, Person

NUMBERS = [f"1{area}55501{line:02d}" for area in range(201, 251) for line in range(100)]


def everybody(**behaviour):
    people, settings = People(), WhatsAppBehaviour(**behaviour)
    return [people.find(number, settings) for number in NUMBERS]


def share(people, is_it):
    return sum(map(is_it, people)) / len(people)


def test_a_number_follows_from_the_seed_alone():
    one = everybody(seed=3)
    other = People()

    assert [other.find(number, WhatsAppBehaviour(seed=3)) for number in reversed(NUMBERS)] == one[::-1]
    assert everybody(seed=4) != one


def test_shares_of_all_numbers_are_as_they_are_set():
    people = everybody(on_whatsapp=0.6, processing_share=0.25, missing_share=0.1, failing_share=0.05)

    assert share(people, lambda person: person.status == "valid") == pytest.approx(0.6, abs=0.03)
    assert share(people, lambda person: person.slow) == pytest.approx(0.25, abs=0.03)
    assert share(people, lambda person: person.missing) == pytest.approx(0.1, abs=0.02)
    assert share(people, lambda person: person.failures == 1) == pytest.approx(0.05, abs=0.02)


def test_shares_may_be_all_and_none():
    people = everybody(on_whatsapp=1.0, processing_share=0.0)

    assert {(person.status, person.slow, person.missing, person.failures) for person in people} == {
        ("valid", False, False, 0)
    }


@pytest.mark.parametrize("shares", [{"on_whatsapp": 0.0}, {"on_whatsapp": 1.0, "processing_share": 1.0}])
def test_the_contracts_numbers_are_as_they_are_there(shares):
    people, behaviour = People(), WhatsAppBehaviour(**shares)
    numbers = ["16315551000", "16315551001", "16315551002", "916315551002", "9116315551002", "163155588"]

    assert [people.find(number, behaviour) for number in numbers] == [
        Person("16315551000", "valid"),
        Person("16315551001", "valid", slow=True),
        Person("16315551002", "invalid"),
        Person("916315551002", "invalid"),
        Person("9116315551002", "invalid"),
        Person("163155588", "failed", failures=None),
    ]


def test_both_spellings_of_a_brazilian_number_are_one_person():
    people, behaviour = People(), WhatsAppBehaviour(processing_share=0.5)
    pairs = [(f"55829000000{n:02d}", f"5582000000{n:02d}") for n in range(100)]

    assert all(people.find(one, behaviour) == people.find(other, behaviour) for one, other in pairs)


def test_what_is_set_of_a_number_holds_for_its_wa_id():
    people, person = People(), Person("558200000001", "invalid", slow=True)
    people.put("5582900000001", person)

    assert [people.find(digits, WhatsAppBehaviour()) for digits in ("5582900000001", "558200000001")] == [person] * 2
