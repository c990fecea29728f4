"""The contract of GetContacts, and the two methods beside it."""

import pytest

EXAMPLE = [
    {"id": "11001234567@c.us", "name": "Ivan Petrov", "contactName": "Ivan Petorov Work", "type": "user"},
    {
        "id": "79001234568@c.us",
        "name": "Lyusya Sidorova",
        "contactName": "Liusya Sidorova Sewing Circle",
        "type": "user",
    },
    {"id": "79001234569-1479621234@g.us", "name": "My group", "type": "group"},
]


def test_the_contracts_list_has_its_values(instance):
    answer = instance.contacts()

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert answer.json() == EXAMPLE


@pytest.mark.parametrize("method", ["GetContacts", "GetStateInstance", "GetWaSettings"])
def test_the_contracts_other_spelling_is_the_same_method(instance, method):
    assert instance.ask(method).json() == instance.ask(method[0].lower() + method[1:]).json()


def test_headers_and_a_body_that_nobody_asked_for_do_not_matter(instance):
    path = "/waInstance1101000001/getContacts/example-token"
    answer = instance.send("GET", path, headers={"Content-Type": "application/json"}, data=b"{}")

    assert answer.json() == EXAMPLE


def test_the_state_is_told(instance):
    assert instance.ask("getStateInstance").json() == {"stateInstance": "authorized"}


def test_the_whatsapp_settings_tell_how_much_of_the_history_is_loaded(instance):
    assert instance.ask("getWaSettings").json() == {
        "avatar": "",
        "base64Avatar": "",
        "phone": "79001234567",
        "chatId": "100000000000001@lid",
        "deviceId": "79001234567:8@s.whatsapp.net",
        "historySyncProgress": 100,
        "stateInstance": "authorized",
        "logoutProcess": False,
    }


def test_an_empty_list_means_to_ask_again(instance, account):
    account.change(empty_answers=2)

    assert [len(instance.rows()) for _ in range(4)] == [0, 0, 3, 3]


def test_an_empty_list_may_stay(instance, account):
    account.change(empty_answers=None)

    assert [instance.contacts().content for _ in range(3)] == [b"[]"] * 3


def test_empty_answers_are_counted_anew_when_they_are_set(instance, account):
    account.change(empty_answers=1)
    before = [len(instance.rows()) for _ in range(2)]
    account.change(empty_answers=1)

    assert (before, [len(instance.rows()) for _ in range(2)]) == ([0, 3], [0, 3])


def test_the_answer_bears_the_sandboxs_time(instance):
    assert instance.contacts().headers["date"] == "Tue, 13 Sep 2022 08:00:00 GMT"


def test_the_three_mock_servers_answer_side_by_side(instance, client, business):
    assert (len(instance.rows()), client.ids(), business.statuses("+16315551000")) == (3, [1], ["valid"])
