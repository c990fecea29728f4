"""What the list may hold, and how it may be written."""

import gzip
import json

import pytest

from airflow_provider_wacontacts.sandbox import ContactList, ListedContact, Raw
from airflow_provider_wacontacts.sandbox.green_api_rows import write_list

USER, GROUP = "447700900123@c.us", "120363000000000009@g.us"
KINDS = [
    USER,
    "12015550101-1479621234@g.us",
    GROUP,
    "100000000000014@lid",
    "null@c.us",
    "",
    "no at sign",
]


@pytest.fixture
def nobody(sandbox):
    """An account whose list is empty."""
    sandbox.green_api.load(ContactList())
    return sandbox.green_api


def test_every_kind_of_id_can_be_listed(instance, nobody):
    for chat_id in KINDS:
        nobody.put(chat_id)

    assert instance.rows() == [
        {"id": chat_id, "name": "", "type": "group" if chat_id.endswith("@g.us") else "user"} for chat_id in KINDS
    ]


@pytest.mark.parametrize(
    "name", ["", None, "Mizzelby 👩🏽‍⚕️", "זורבלט", "قويليمار", 'said "yes"\nthen\\left', "nul \0", "alone \ud83d here"]
)
def test_every_name_can_be_told(instance, nobody, name):
    nobody.put(USER, name=name, contact_name=name)
    (row,) = instance.rows()

    assert row == {"id": USER, "name": name, **({} if name is None else {"contactName": name}), "type": "user"}


def test_names_are_sent_in_utf8_and_not_as_escapes(instance, nobody):
    nobody.put(USER, name="זורבלט")

    assert "זורבלט".encode() in instance.contacts().content


def test_a_value_may_be_any_bytes(instance, nobody):
    nobody.put(USER, name=Raw(b'"\xff"'), contact_name=Raw(b"null"), extra={"type": Raw(b"7"), "urn": "x"})

    assert instance.contacts().content == b'[{"id":"%s","name":"\xff","contactName":null,"type":7,"urn":"x"}]' % (
        USER.encode()
    )


def test_a_lone_surrogate_in_one_row_leaves_raw_values_in_others(nobody):
    contacts = [ListedContact(USER, "\ude00"), ListedContact(GROUP, Raw(b"1e999"))]

    assert write_list(contacts) == (
        b'[{"id": "447700900123@c.us","name": "\\ude00","type": "user"},'.replace(b": ", b":")
        + b'{"id":"120363000000000009@g.us","name":1e999,"type":"group"}]'
    )


@pytest.mark.parametrize(
    ("style", "told"), [("absent", {}), ("empty", {"contactName": ""}), ("null", {"contactName": None})]
)
def test_a_contact_out_of_the_phone_book_has_its_style(instance, nobody, style, told):
    nobody.change(no_contact_name=style)
    nobody.put(USER)

    assert instance.rows() == [{"id": USER, "name": "", "type": "user", **told}]


def test_keys_that_are_not_documented_come_on_top(instance, nobody):
    nobody.change(extra_keys=True)
    nobody.put(USER)
    nobody.put(GROUP)

    assert [{key: row[key] for key in ("chatId", "phoneNumber", "isArchive")} for row in instance.rows()] == [
        {"chatId": USER, "phoneNumber": 447700900123, "isArchive": False},
        {"chatId": GROUP, "phoneNumber": 0, "isArchive": False},
    ]


def test_rows_may_be_no_contacts(instance, account):
    account.change(odd_rows=["null", "5", '{"name":"x"}', '{"id":7}'])

    assert instance.rows()[3:] == [None, 5, {"name": "x"}, {"id": 7}]


def test_hard_text_comes_with_a_share_of_the_contacts(instance, account):
    account.change(hostile_share=1.0, hostile=["nul"])
    told = [row["hostile"] for row in instance.rows()]
    account.change(hostile_share=0.0)

    assert told == ["before\0after"] * 3
    assert [row for row in instance.rows() if "hostile" in row] == []


def test_the_list_may_shrink_to_a_share_that_stays_the_same(instance, nobody):
    for number in range(400):
        nobody.put(f"4477009{number:05d}@c.us")
    nobody.change(shown_share=0.5)
    half = instance.ids()
    again = instance.ids()
    nobody.change(shown_share=0.6)
    more = instance.ids()

    assert (150 < len(half) < 250, again == half, set(half) < set(more)) == (True, True, True)


@pytest.mark.parametrize(("order", "numbers"), [("listed", [3, 1, 2]), ("reversed", [2, 1, 3]), ("id", [1, 2, 3])])
def test_the_list_has_its_order(instance, nobody, order, numbers):
    nobody.change(order=order)
    for number in (3, 1, 2):
        nobody.put(f"44770090000{number}@c.us")

    assert instance.ids() == [f"44770090000{number}@c.us" for number in numbers]


def test_the_order_may_be_another_one_each_time(instance, nobody):
    nobody.change(order="shuffled")
    for number in range(10, 30):
        nobody.put(f"4477009000{number}@c.us")
    orders = [tuple(instance.ids()) for _ in range(3)]

    assert (len(set(orders)), len({frozenset(order) for order in orders})) == (3, 1)


@pytest.mark.parametrize(("group", "types"), [("true", ["group"]), ("false", ["user", "user"])])
def test_group_narrows_the_list(instance, group, types):
    assert [row["type"] for row in instance.rows(group=group)] == types


@pytest.mark.parametrize(("side", "picked"), [("end", slice(1, None)), ("start", slice(2))])
def test_count_cuts_the_list_at_either_side(instance, account, side, picked):
    account.change(count_from=side)
    everybody = instance.ids()

    assert (instance.ids(count=2), instance.ids(count=9)) == (everybody[picked], everybody)


def test_count_counts_what_group_leaves(instance):
    assert instance.ids(group="true", count=2) == ["79001234569-1479621234@g.us"]


def test_group_and_count_may_be_ignored(instance, account):
    account.change(group_option="ignore", count_option="ignore", unknown_options="ignore")

    assert len(instance.rows(group="true", count=1, page=2)) == 3


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_below_one_may_mean_all(instance, account, count):
    account.change(count_below_one="all")

    assert len(instance.rows(count=count)) == 3


def test_answers_are_compressed_for_those_who_take_it(instance, account):
    account.change(compressed=True)
    path = "/waInstance1101000001/getContacts/example-token"
    plain = instance.send("GET", path, headers={"Accept-Encoding": "identity"})
    zipped = instance.send("GET", path, headers={"Accept-Encoding": "gzip"}, stream=True)

    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(zipped.raw.read())) == plain.json()
