"""The directory: one row for each person, with data from every feed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.records.identities import Identity, IdentityChange
from airflow_provider_wacontacts.records.json import canonical
from airflow_provider_wacontacts.records.record import Record, row_hash
from airflow_provider_wacontacts.records.windows import parse_time
from airflow_provider_wacontacts.store import TaskInstanceKey
from airflow_provider_wacontacts.store.checks.model import CheckResults
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.identities import SenderIdentities
from tests.identity_changes import record_changes

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TUESDAY, WEDNESDAY, THURSDAY = MONDAY + DAY, MONDAY + 2 * DAY, MONDAY + 3 * DAY
ANN = "11001234567"
#: The same person's dialed number, and the WhatsApp ID from before numbers got another digit.
BRAZIL, BRAZIL_ID = "5511961234567", "551161234567"
MEXICO, MEXICO_ID = "522221234567", "5212221234567"
NOTHING = {
    "name": None,
    "accounts": 0,
    "turn_account": None,
    "turn_accounts": 0,
    "turn_contact_id": None,
    "turn_name": None,
    "turn_details": None,
    "turn_updated_at": None,
    "turn_last_seen_at": None,
    "green_api_account": None,
    "green_api_accounts": 0,
    "green_api_contact_id": None,
    "green_api_contact_name": None,
    "green_api_name": None,
    "green_api_state": None,
    "green_api_updated_at": None,
    "green_api_last_seen_at": None,
    "sender": None,
    "senders": 0,
    "number": None,
    "status": None,
    "checked_at": None,
    "identity_pending": None,
    "identity_changed_at": None,
}


class Feeds:
    """Loads data of the three systems into one store, and reads its directory."""

    def __init__(self, landing):
        self.landing = landing
        self.engine = landing.engine

    def turn(self, *contacts, account="main", seen_at=MONDAY):
        """Load Turn.io contacts: ID, details and optionally the time of update, by default Monday."""
        records = []
        for contact_id, details, *updated_at in contacts:
            payload = canonical(json.dumps({"uuid": contact_id, "details": details}).encode())
            wa_id = details.get("whatsapp_id") if isinstance(details, dict) else None
            records.append(Record(contact_id, *(updated_at or [MONDAY]), row_hash(payload), payload, wa_id))
        extraction = self.landing.begin(f"{account} {seen_at}", account=account)
        self.landing.land(extraction, *records, extracted_at=seen_at)
        extraction.finish()

    def green_api(self, moment, *contacts, account="phone"):
        """Load a snapshot of GREEN-API."""
        records = []
        for contact in contacts:
            payload = canonical(json.dumps(contact).encode())
            wa_id = contact["id"].removesuffix("@c.us") if contact["id"].endswith("@c.us") else None
            records.append(Record(contact["id"], moment, row_hash(payload), payload, wa_id))
        begun = self.landing.store.begin_snapshot(
            source="green_api",
            account=account,
            group=None,
            task=TaskInstanceKey("dag", f"{account} {moment}", "task"),
            options_digest="",
            package_version="1",
        )
        begun.write(lambda: iter(records), extracted_at=moment, size=10)

    def check(self, moment, says, sender="+4400"):
        """Record results of numbers: status and WhatsApp ID."""
        SenderChecks(self.landing.store.context, sender).record_delivered(
            CheckResults(says, moment, moment), verified=True
        )

    def identities(self, sender="+4400"):
        return SenderIdentities(self.landing.store.context, sender)

    def rows(self, where=""):
        """Return the directory by WhatsApp ID, in its order."""
        with self.engine.connect() as connection:
            found = connection.execute(text(f"SELECT * FROM wacontacts_directory {where} ORDER BY wa_id")).mappings()
            rows = [{name: _read(name, value) for name, value in row.items()} for row in found]
        # Identifiers are tested with person keys.
        for row in rows:
            assert row.pop("person_key") == row["wa_id"]
            assert not any(row.pop(name) for name in ("user_id", "lid", "has_many_identifiers"))
        by_id = {row.pop("wa_id"): row for row in rows}
        assert len(by_id) == len(rows)
        return by_id

    def column(self, name):
        return {wa_id: row[name] for wa_id, row in self.rows().items()}


def _read(name, value):
    if value is None:
        return None
    if name.endswith("_at"):
        return parse_time(value) if isinstance(value, str) else value.astimezone(UTC)
    if name == "turn_details" and isinstance(value, str):
        return json.loads(value)
    return bool(value) if name == "identity_pending" else value


@pytest.fixture
def feeds(landing):
    return Feeds(landing)


def book(wa_id, **fields):
    return {"id": f"{wa_id}@c.us", "type": "user", **fields}


def test_all_data_of_a_person_is_one_row(feeds):
    details = {"name": "Ann", "whatsapp_id": ANN, "current_savings": 100}
    feeds.turn(("ann-uuid", details, MONDAY), seen_at=TUESDAY)
    feeds.green_api(WEDNESDAY, book(ANN, name="annie", contactName="Ann Work"))
    feeds.check(THURSDAY, {f"+{ANN}": ("valid", ANN)})
    record_changes(feeds.identities(), [IdentityChange(ANN, "hash", WEDNESDAY)])

    assert feeds.rows() == {
        ANN: {
            "name": "Ann",
            "accounts": 2,
            "turn_account": "main",
            "turn_accounts": 1,
            "turn_contact_id": "ann-uuid",
            "turn_name": "Ann",
            "turn_details": details,
            "turn_updated_at": MONDAY,
            "turn_last_seen_at": TUESDAY,
            "green_api_account": "phone",
            "green_api_accounts": 1,
            "green_api_contact_id": f"{ANN}@c.us",
            "green_api_contact_name": "Ann Work",
            "green_api_name": "annie",
            "green_api_state": "present",
            "green_api_updated_at": WEDNESDAY,
            "green_api_last_seen_at": WEDNESDAY,
            "sender": "+4400",
            "senders": 1,
            "number": f"+{ANN}",
            "status": "valid",
            "checked_at": THURSDAY,
            "identity_pending": True,
            "identity_changed_at": WEDNESDAY,
        }
    }


def test_people_in_a_single_feed_are_included_and_rows_are_ordered(feeds):
    feeds.check(TUESDAY, {"+44400": ("invalid", None)})
    feeds.turn(("turn", {"whatsapp_id": "44200", "name": "T"}))
    record_changes(feeds.identities(), [IdentityChange("44100", "hash", MONDAY)])
    feeds.green_api(MONDAY, book("44300"))

    rows = feeds.rows()
    assert list(rows) == ["44100", "44200", "44300", "44400"]
    assert rows == {
        "44100": NOTHING | {"identity_pending": True, "identity_changed_at": MONDAY},
        "44200": NOTHING
        | {
            "name": "T",
            "accounts": 1,
            "turn_account": "main",
            "turn_accounts": 1,
            "turn_contact_id": "turn",
            "turn_name": "T",
            "turn_details": {"whatsapp_id": "44200", "name": "T"},
            "turn_updated_at": MONDAY,
            "turn_last_seen_at": MONDAY,
        },
        "44300": NOTHING
        | {
            "accounts": 1,
            "green_api_account": "phone",
            "green_api_accounts": 1,
            "green_api_contact_id": "44300@c.us",
            "green_api_state": "present",
            "green_api_updated_at": MONDAY,
            "green_api_last_seen_at": MONDAY,
        },
        "44400": NOTHING
        | {"sender": "+4400", "senders": 1, "number": "+44400", "status": "invalid", "checked_at": TUESDAY},
    }


def test_a_number_without_a_result_is_keyed_by_its_digits(feeds):
    with feeds.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO wacontacts_number (sender, number, number_key, person_key) "
                "VALUES ('+4400', '+44500', '44500', '44500')"
            )
        )

    assert feeds.rows() == {"44500": NOTHING | {"sender": "+4400", "senders": 1, "number": "+44500"}}


def test_contacts_without_an_identifier_are_not_included(feeds):
    feeds.turn(("nobody", {"name": "Nobody"}))
    feeds.green_api(MONDAY, {"id": "79001234569-1479621234@g.us", "type": "group"}, {"id": "12@lid", "type": "user"})

    assert feeds.rows() == {}


@pytest.mark.parametrize(("number", "wa_id"), [(BRAZIL, BRAZIL_ID), (MEXICO, MEXICO_ID)], ids=["Brazil", "Mexico"])
@pytest.mark.parametrize("checked_first", [True, False])
def test_a_number_is_keyed_by_its_returned_whatsapp_id(feeds, number, wa_id, checked_first):
    if checked_first:
        feeds.check(THURSDAY, {f"+{number}": ("valid", wa_id)})
    feeds.turn(("bob", {"whatsapp_id": number, "name": "Bob"}))
    feeds.green_api(MONDAY, book(number, contactName="By number"), account="office")
    feeds.green_api(TUESDAY, book(wa_id, contactName="By id"))
    record_changes(feeds.identities(), [IdentityChange(number, "hash", MONDAY)])
    if not checked_first:
        assert list(feeds.rows()) == sorted([number, wa_id])
        feeds.check(THURSDAY, {f"+{number}": ("valid", wa_id)})

    rows = feeds.rows()
    names = ("name", "green_api_contact_name", "accounts", "green_api_accounts", "number", "status", "identity_pending")
    assert {key: tuple(row[name] for name in names) for key, row in rows.items()} == {
        wa_id: ("By id", "By id", 1, 1, f"+{number}", "valid", None),
        number: ("Bob", "By number", 2, 1, None, None, True),
    }
    assert feeds.rows(f"WHERE person_key = '{wa_id}'") == {wa_id: rows[wa_id]}


def test_numbers_with_one_whatsapp_id_are_one_row_with_the_newest_result(feeds):
    feeds.check(TUESDAY, {f"+{BRAZIL}": ("valid", BRAZIL_ID)})
    feeds.check(MONDAY, {f"+{BRAZIL_ID}": ("valid", BRAZIL_ID)})

    assert feeds.rows() == {
        BRAZIL_ID: NOTHING
        | {"sender": "+4400", "senders": 1, "number": f"+{BRAZIL}", "status": "valid", "checked_at": TUESDAY}
    }


def test_a_whatsapp_id_of_one_sender_applies_to_all_senders(feeds):
    feeds.check(MONDAY, {f"+{BRAZIL}": ("valid", BRAZIL_ID)}, sender="+4401")
    feeds.check(TUESDAY, {f"+{BRAZIL}": ("processing", None)}, sender="+4402")

    assert feeds.rows() == {
        BRAZIL_ID: NOTHING | {"sender": "+4402", "senders": 2, "number": f"+{BRAZIL}", "status": "processing"}
    }


@pytest.mark.parametrize("turned", [False, True])
def test_if_senders_have_different_ids_the_newest_counts(feeds, turned):
    feeds.turn(("bob", {"whatsapp_id": BRAZIL}))
    told = [(MONDAY, BRAZIL_ID, "+4401"), (TUESDAY, "551171234567", "+4402")]
    for moment, wa_id, sender in reversed(told) if turned else told:
        feeds.check(moment, {f"+{BRAZIL}": ("valid", wa_id)}, sender=sender)

    assert feeds.column("sender") == {"551171234567": "+4402", BRAZIL: None}
    assert feeds.column("turn_contact_id") == {"551171234567": None, BRAZIL: "bob"}


def test_the_newest_row_of_several_accounts_counts_and_all_are_counted(feeds):
    feeds.turn(("old", {"whatsapp_id": ANN, "name": "Old"}, MONDAY), account="first", seen_at=THURSDAY)
    feeds.turn(("new", {"whatsapp_id": ANN, "name": "New"}, TUESDAY), account="second", seen_at=TUESDAY)
    feeds.turn(("twin", {"whatsapp_id": ANN, "name": "Twin"}, MONDAY), account="second", seen_at=TUESDAY)
    feeds.green_api(WEDNESDAY, book(ANN, contactName="A"), account="a")
    feeds.green_api(TUESDAY, book(ANN, contactName="B"), account="b")

    names = ("turn_account", "turn_name", "turn_accounts", "green_api_account", "green_api_accounts", "accounts")
    (row,) = feeds.rows().values()
    assert tuple(row[name] for name in names) == ("second", "New", 2, "a", 2, 4)


def test_the_latest_version_of_a_contact_is_keyed_by_its_current_id(feeds):
    feeds.turn(("ann", {"whatsapp_id": "44100", "name": "Before"}, MONDAY), seen_at=MONDAY)
    feeds.turn(("ann", {"whatsapp_id": "44200", "name": "Now"}, TUESDAY), seen_at=TUESDAY)

    assert feeds.column("turn_name") == {"44200": "Now"}
    assert feeds.rows("WHERE person_key = '44100'") == {}


def test_a_gone_contact_is_shown_with_its_last_known_content_and_no_account(feeds):
    feeds.green_api(MONDAY, book(ANN, contactName="Ann"), book("44100"), book("44200"), book("44300"), book("44400"))
    feeds.green_api(TUESDAY, book("44100"), book("44200"), book("44300"), book("44400"))

    row = feeds.rows()[ANN]
    assert row == NOTHING | {
        "name": "Ann",
        "green_api_account": "phone",
        "green_api_contact_id": f"{ANN}@c.us",
        "green_api_contact_name": "Ann",
        "green_api_state": "gone",
        "green_api_updated_at": TUESDAY,
        "green_api_last_seen_at": TUESDAY,
    }


def test_a_contact_that_is_gone_from_one_account_is_shown_as_in_another(feeds):
    others = [book(wa_id) for wa_id in ("44100", "44200", "44300", "44400")]
    feeds.green_api(MONDAY, book(ANN, contactName="Kept"), account="keeps")
    feeds.green_api(MONDAY, book(ANN, contactName="Lost"), *others, account="loses")
    feeds.green_api(TUESDAY, *others, account="loses")

    row = feeds.rows()[ANN]
    names = ("green_api_account", "green_api_contact_name", "green_api_state", "green_api_accounts")
    assert tuple(row[name] for name in names) == ("keeps", "Kept", "present", 1)


@pytest.mark.parametrize(
    ("turn", "contact_name", "name", "shown"),
    [("T", "C", "N", "T"), ("", "C", "N", "C"), (None, "", "N", "N"), (5, {"a": 1}, ["N"], None), ("", "", "", None)],
)
def test_the_name_is_the_first_string_that_is_not_empty(feeds, turn, contact_name, name, shown):
    feeds.turn(("ann", {"whatsapp_id": ANN, "name": turn}))
    feeds.green_api(MONDAY, book(ANN, contactName=contact_name, name=name))

    (row,) = feeds.rows().values()
    texts = tuple(value if isinstance(value, str) else None for value in (turn, contact_name, name))
    assert row["name"] == shown
    assert (row["turn_name"], row["green_api_contact_name"], row["green_api_name"]) == texts


@pytest.mark.parametrize("details", ["text", ["a", "list"], 7, None])
def test_invalid_details_do_not_break_a_row(feeds, details):
    payload = canonical(json.dumps({"uuid": "odd", "details": details}).encode())
    extraction = feeds.landing.begin()
    feeds.landing.land(extraction, Record("odd", MONDAY, row_hash(payload), payload, ANN))

    (row,) = feeds.rows().values()
    assert (row["turn_contact_id"], row["turn_details"], row["turn_name"]) == ("odd", None, None)


def test_an_identity_is_pending_until_the_latest_of_every_sender_is_acknowledged(feeds):
    first, second = feeds.identities("+4401"), feeds.identities("+4402")
    record_changes(first, [IdentityChange(ANN, "old", MONDAY), IdentityChange(ANN, "new", TUESDAY)])
    record_changes(second, [IdentityChange(ANN, "new", WEDNESDAY)])
    assert feeds.column("identity_pending") == {ANN: True}

    first.record_latest(ANN, Identity("new", TUESDAY, acknowledged=True))
    assert feeds.column("identity_pending") == {ANN: True}

    second.record_latest(ANN, Identity("new", WEDNESDAY, acknowledged=True))
    assert feeds.column("identity_pending") == {ANN: False}
    assert feeds.column("identity_changed_at") == {ANN: WEDNESDAY}
