"""Hostile bodies that the sandbox sends, and users who hide their number."""

import pytest
import requests

from airflow_provider_wacontacts.sandbox import Fault, Sandbox, seeded_contact_list, seeded_world
from airflow_provider_wacontacts.sandbox.core.hostile import HOSTILE


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as started:
        yield started


def listed(sandbox):
    green_api = sandbox.green_api.behaviour
    url = f"{sandbox.url}/waInstance{green_api.id_instance}/getContacts/{green_api.token}"
    return requests.get(url, timeout=60)


@pytest.mark.parametrize("name", HOSTILE)
def test_each_hostile_body_differs_from_the_true_one_and_is_sent_once(sandbox, name):
    true = listed(sandbox).content
    sandbox.fail(Fault(kind="hostile", on="contacts", hostile=name))
    hostile = listed(sandbox)
    assert hostile.status_code == 200
    if "cursor" not in name and "year" not in name:
        assert hostile.content != true
    assert listed(sandbox).content == true


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="huge exponent"):
        Fault(kind="hostile", hostile="no such kind")


def test_some_users_hide_their_number_in_all_systems():
    world = seeded_world(contacts=200, hidden=0.5)
    ids = {event.id: str(event.details["whatsapp_id"]) for event in world}
    rows = [state.contact for state in seeded_contact_list(contacts=200, hidden=0.5) if state.contact]
    hidden = {row.id for row in rows if row.extra.get("username")}
    assert 60 < sum(wa_id.startswith("US.") for wa_id in ids.values()) < 140
    assert hidden
    assert all(chat_id.endswith("@lid") for chat_id in hidden)


def test_a_seed_gives_the_same_numbers_for_any_share_of_hidden_ones():
    shown, hidden = (seeded_world(contacts=50, hidden=share) for share in (0.0, 0.5))
    same = [a.details == b.details for a, b in zip(shown, hidden, strict=True)]
    assert True in same
    assert all(
        {**a.details, "whatsapp_id": ""} == {**b.details, "whatsapp_id": ""} for a, b in zip(shown, hidden, strict=True)
    )


def test_a_valid_number_has_a_user_id_if_user_ids_is_set(sandbox):
    sandbox.whatsapp.change(user_ids=True)
    (result,) = sandbox.whatsapp.check(["+16315551000"])
    assert sandbox.whatsapp.entry(result)["user_id"] == "US.10000000016315551000"
