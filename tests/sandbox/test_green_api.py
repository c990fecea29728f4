"""The mock server of GREEN-API: the documented behavior, and its variants."""

import json

import pytest

from airflow_provider_wacontacts.sandbox import (
    ContactList,
    Fault,
    GreenApiBehaviour,
    Raw,
    Sandbox,
    World,
    seeded_contact_list,
    seeded_world,
)

ANNA = "447700900123@c.us"
PATH = "/waInstance1101000001/getContacts/example-token"
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


def test_the_whatsapp_settings_contain_the_history_progress(instance):
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


def test_a_list_may_be_empty_at_first(instance, account):
    account.change(empty_answers=2)

    assert [len(instance.rows()) for _ in range(4)] == [0, 0, 3, 3]


@pytest.fixture
def empty_account(sandbox):
    """An account whose list is empty."""
    sandbox.green_api.load(ContactList())
    return sandbox.green_api


def test_a_value_may_be_any_bytes(instance, empty_account):
    empty_account.put(ANNA, name=Raw(b'"\xff"'), contact_name=Raw(b"null"), extra={"type": Raw(b"7"), "urn": "x"})

    assert instance.contacts().content == b'[{"id":"%s","name":"\xff","contactName":null,"type":7,"urn":"x"}]' % (
        ANNA.encode()
    )


@pytest.mark.parametrize(("group", "types"), [("true", ["group"]), ("false", ["user", "user"])])
def test_group_narrows_the_list(instance, group, types):
    assert [row["type"] for row in instance.rows(group=group)] == types


def test_count_counts_what_group_leaves(instance):
    assert instance.ids(group="true", count=2) == ["79001234569-1479621234@g.us"]


def test_the_list_is_as_of_the_sandboxs_time(instance, account, sandbox):
    account.load(ContactList())
    account.put(ANNA, name="Zorblatt", contact_name="Zorblatt at work", at="2022-09-13T09:00:00Z")
    account.rename(ANNA, name="Quillimar", at="2022-09-13T10:00:00Z")
    account.remove(ANNA, at="2022-09-13T11:00:00Z")
    account.put(ANNA, at="2022-09-13T12:00:00Z")
    lists = []
    for hour in ("08", "09", "10", "11", "12", "10"):
        sandbox.clock.set(f"2022-09-13T{hour}:00:00Z")
        lists.append([(row["name"], row.get("contactName")) for row in instance.rows()])

    assert lists == [
        [],
        [("Zorblatt", "Zorblatt at work")],
        [("Quillimar", "Zorblatt at work")],
        [],
        [("", None)],
        [("Quillimar", "Zorblatt at work")],
    ]


def test_personal_texts_contain_every_form(account):
    account.load(ContactList())
    account.put(ANNA, name="זורבלט", contact_name='Zorblatt "Z"')
    account.rename(ANNA, name="Quillimar")
    account.put("12015550101-1479621234@g.us", name="")
    account.put("null@c.us")

    assert account.personal_texts() == {
        *(ANNA, "447700900123", "זורבלט", json.dumps("זורבלט")[1:-1], 'Zorblatt "Z"', 'Zorblatt \\"Z\\"', "Quillimar"),
        *("12015550101-1479621234@g.us", "12015550101", "null@c.us"),
    }


def test_a_seeded_contact_does_not_depend_on_the_number_of_contacts():
    few, many = (seeded_contact_list(3, contacts=contacts) for contacts in (50, 500))
    ids = {state.id for state in few}

    assert [state for state in many if state.id in ids] == list(few)


def test_seeded_users_are_the_people_of_turns_world():
    numbers = {event.details["whatsapp_id"] for event in seeded_world(5, contacts=100)}
    users = {state.id.removesuffix("@c.us") for state in seeded_contact_list(5, contacts=100) if "@c" in state.id}

    assert users - {"null"} < numbers
    assert len(users) == 85


def test_a_token_that_is_not_known_is_401_without_a_body(instance):
    answer = instance.ask("getContacts", token="other-token")

    assert (answer.status_code, answer.headers["content-type"], answer.content) == (401, "application/json", b"")


@pytest.mark.parametrize("path", ["/waInstance7105/getContacts/example-token", f"/v3{PATH}", "/waInstance//x"])
def test_another_instance_or_path_is_403_in_html(instance, path):
    answer = instance.send("GET", path)

    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html")
    assert "<h1>403 Forbidden</h1>" in answer.text


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/waInstance1101000001/getChats/example-token"),
        ("POST", PATH),
        ("GET", "/waInstance1101000001/getContacts"),
    ],
)
def test_another_method_or_verb_is_404_with_the_token_in_its_body(instance, verb, path):
    answer = instance.send(verb, path)

    assert answer.status_code == 404
    assert answer.json() == {
        "statusCode": 404,
        "timestamp": "2022-09-13T08:00:00.000Z",
        "path": path,
        "message": f"Cannot {verb} {path}",
    }


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"group": "True"}, "'group' must be a boolean"),
        ({"count": "many"}, "'count' must be a number"),
        ({"count": "0"}, "'count' must be a positive number"),
        ({"page": "2"}, "'page' is not allowed"),
    ],
)
def test_invalid_parameters_are_400_with_the_token_in_the_body(instance, parameters, message):
    answer = instance.contacts(**parameters)
    ((name, value),) = parameters.items()

    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": 400,
        "timestamp": "2022-09-13T08:00:00.000Z",
        "path": f"{PATH}?{name}={value}",
        "message": f"Validation failed. Details: {message}",
    }


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("notAuthorized", "instance is starting or not authorized"),
        ("blocked", "instance is starting or not authorized"),
        ("sleepMode", "instance is starting or not authorized"),
        ("a new one", "instance is starting or not authorized"),
        ("starting", "instance in starting process try later"),
        (None, "instance in starting process try later"),
    ],
)
def test_an_instance_that_is_not_ready_returns_its_state_and_no_contacts(instance, account, state, message):
    account.change(state=state)
    answer = instance.contacts()
    settings = instance.ask("getWaSettings").json()

    assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert instance.ask("getStateInstance").json() == {"stateInstance": state}
    assert (settings["stateInstance"], settings["phone"], settings["chatId"]) == (state, "", "")


def test_lists_past_the_monthly_quota_are_466_with_chat_ids(instance, account, sandbox):
    account.change(monthly_quota=1)
    answers = [instance.contacts(), instance.contacts()]
    sandbox.clock.set("2022-10-01T00:00:00Z")
    answers.append(instance.contacts())
    quota = answers[1].json()

    assert [answer.status_code for answer in answers] == [200, 466, 200]
    assert quota["invokeStatus"] == {
        "method": "getContacts",
        "used": 1,
        "total": 1,
        "status": "QUOTE_EXCEEDED",
        "description": "Monthly quota is exceeded",
    }
    assert quota["correspondentsStatus"]["status"] == "CORRESPONDENTS_QUOTE_EXCEEDED"
    assert "11001234567@c.us" in quota["correspondentsStatus"]["description"]


@pytest.fixture
def limited(instance):
    """A sandbox whose real time stands still until it is moved; gives it and the time."""
    time = [1_000.0]
    behaviour = GreenApiBehaviour(rate_limit=1)
    with Sandbox(World(), now="2022-09-13T00:00:00Z", green_api=behaviour, real_time=lambda: time[0]) as sandbox:
        instance.sandbox = sandbox
        yield sandbox, time


def test_a_second_request_in_a_second_is_429_without_a_body(instance, limited):
    first, second = instance.contacts(), instance.contacts()

    assert (first.status_code, second.status_code, second.content) == (200, 429, b"")
    assert "Retry-After" not in second.headers
    assert [(answer.headers["X-RateLimit-Remaining"], answer.headers["X-RateLimit-Replenish-Rate"])
            for answer in (first, second)] == [("0", "1"), ("0", "1")]  # fmt: skip


def test_faults_have_the_forms_of_real_errors(instance, sandbox):
    statuses = (400, 404, 500, 401, 429, 403, 499, 502, 503, 466)
    sandbox.fail(*(Fault(on="contacts", kind="status", status=status) for status in statuses))
    answers = [instance.contacts() for _ in statuses]
    forms = [answer.headers["content-type"].partition(";")[0] if answer.content else "" for answer in answers]

    assert [answer.status_code for answer in answers] == list(statuses)
    assert forms == [*["application/json"] * 3, "", "", *["text/html"] * 4, "application/json"]
    assert ["example-token" in answer.text for answer in answers] == [*[True] * 3, *[False] * 7]


def test_the_sandbox_logs_nothing_of_a_request(caplog, instance):
    with caplog.at_level(1), Sandbox(World()) as instance.sandbox:
        instance.rows()
        instance.ask("getChats")
    logged = [record.getMessage() for record in caplog.records if record.threadName == "sandbox"]

    assert [message for message in logged if "waInstance" in message or "example-token" in message] == []


def check(instance, content, **headers):
    path = "/waInstance1101000001/checkWhatsapp/example-token"
    return instance.send("POST", path, json=content, headers=headers)


@pytest.mark.parametrize(
    ("form", "request_body", "response"),
    [
        ("2023", {"phoneNumber": 12015550101}, {"existsWhatsapp": True}),
        ("2025", {"chatId": "12015550101@c.us"}, {"existsWhatsapp": True, "chatId": "12015550101@c.us"}),
        (
            "2026",
            {"chatId": "12015550101", "force": True},
            {
                "existsWhatsapp": True,
                "chatId": "100000000000009@lid",
                "username": "",
                "phoneNumber": "12015550101@c.us",
                "fromCache": False,
            },
        ),
    ],
)
def test_a_number_is_checked_in_every_form(instance, account, form, request_body, response):
    account.change(check_form=form)
    account.put_number("+12015550101", lid="100000000000009")

    assert check(instance, request_body).json() == response


def test_a_second_check_is_from_the_cache_and_a_hidden_number_empty(instance, account):
    account.put_number("+12015550101", hidden=True)
    account.put_number("+12015550102", exists=False)
    first, second = (check(instance, {"chatId": "12015550101"}).json() for _ in range(2))
    invalid = check(instance, {"chatId": "12015550102"}).json()

    assert (first["fromCache"], second["fromCache"], second["phoneNumber"]) == (False, True, "")
    assert (invalid["existsWhatsapp"], invalid["chatId"]) == (False, "")


@pytest.mark.parametrize(
    ("form", "request_body", "message"),
    [
        ("2026", {}, "must have at least 1 key"),
        ("2026", {"chatId": "1", "phoneNumber": 1}, "conflict between exclusive peers"),
        ("2026", {"chatId": "none"}, "'phone_number@c.us' or 'chat_id@lid'"),
        ("2026", {"phoneNumber": "12015550101"}, "must contain only digits"),
        ("2026", {"phoneNumber": 6596123456}, "bad phone number, valid from 11 to 16 digits"),
        ("2023", {"chatId": "12015550101@c.us"}, "'chatId' is not allowed"),
    ],
)
def test_an_invalid_check_is_400(instance, account, form, request_body, message):
    account.change(check_form=form)
    answer = check(instance, request_body)

    assert (answer.status_code, message in answer.json()["message"]) == (400, True)
    assert account.asked_numbers == {}


def test_checks_past_the_monthly_quota_are_466(instance, account):
    account.change(check_quota=1)
    answers = [check(instance, {"chatId": "12015550101"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 466]
    assert answers[1].json()["invokeStatus"]["method"] == "checkWhatsapp"
