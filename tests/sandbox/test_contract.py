"""The contract's page, call by call."""

BOB = {
    "details": {
        "birthday": "1988-06-14T18:15:35.873852Z",
        "language": "eng",
        "location": None,
        "name": "bob",
        "opted_in": False,
        "opted_in_at": None,
        "surname": None,
        "whatsapp_id": "44623456700",
        "whatsapp_profile_name": "bob",
        "current_savings": 100,
    },
    "id": 1,
    "inserted_at": "2022-09-12T08:30:00.000Z",
    "number_id": 1,
    "updated_at": "2022-09-12T08:30:00.000Z",
    "uuid": "f6c4e666-81ad-430e-aea5-1ba33e6f4c35",
}
RICHER_BOB = {
    **BOB,
    "details": {**BOB["details"], "current_savings": 120},
    "updated_at": "2022-09-13T10:00:00.000Z",
}
MONDAY = ("2022-09-12T00:00:00.000Z", "2022-09-13T00:00:00.000Z")
TUESDAY = ("2022-09-13T00:00:00.000Z", "2022-09-14T00:00:00.000Z")


def test_a_cursor_is_text_with_its_expiry_in_microseconds(client):
    answer = client.create(*MONDAY)

    assert answer.status_code == 200
    assert sorted(answer.json()) == ["cursor", "expires_at"]
    assert answer.json()["expires_at"] == "2022-09-15T08:00:00.000000Z"


def test_mondays_window_pulled_on_tuesday_morning_holds_bob_at_100(client):
    assert client.page(client.cursor(*MONDAY)).json() == {"data": [BOB]}


def test_mondays_window_pulled_on_wednesday_is_empty(client, sandbox):
    sandbox.clock.set("2022-09-14T00:00:00Z")

    assert client.page(client.cursor(*MONDAY)).json() == {"data": []}


def test_tuesdays_window_pulled_on_wednesday_holds_bob_at_120(client, sandbox):
    sandbox.clock.set("2022-09-14T00:00:00Z")

    assert client.page(client.cursor(*TUESDAY)).json() == {"data": [RICHER_BOB]}


def test_what_is_read_is_the_state_of_now_not_of_when_the_cursor_was_made(client, sandbox):
    cursor = client.cursor(*MONDAY)

    sandbox.clock.set("2022-09-13T10:00:00Z")

    assert client.page(cursor).json() == {"data": []}


def test_schemas_name_reserved_and_custom_fields(client):
    answer = client.send("GET", "/v1/contacts/schemas", headers=client.headers)

    fields = {field["name"]: field for field in answer.json()["fields"]}
    assert list(answer.json()) == ["fields"]
    assert [name for name, field in fields.items() if field["custom"]] == ["current_savings"]
    assert fields["opted_in"] == {
        "custom": False,
        "default": False,
        "display": "Opted in",
        "is_private": False,
        "name": "opted_in",
        "null": False,
        "type": "BOOLEAN",
    }
