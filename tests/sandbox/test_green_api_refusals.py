"""States, limits, quotas and errors, as real instances have them."""

import pytest

from airflow_provider_wacontacts.sandbox import Fault, GreenApiBehaviour, Sandbox, World

PATH = "/waInstance1101000001/getContacts/example-token"


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
    ("parameters", "said"),
    [
        ({"group": "True"}, "'group' must be a boolean"),
        ({"count": "many"}, "'count' must be a number"),
        ({"count": "0"}, "'count' must be a positive number"),
        ({"page": "2"}, "'page' is not allowed"),
    ],
)
def test_parameters_that_cannot_be_read_are_400_with_the_token_in_its_body(instance, parameters, said):
    answer = instance.contacts(**parameters)
    ((name, value),) = parameters.items()

    assert answer.status_code == 400
    assert answer.json() == {
        "statusCode": 400,
        "timestamp": "2022-09-13T08:00:00.000Z",
        "path": f"{PATH}?{name}={value}",
        "message": f"Validation failed. Details: {said}",
    }


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("notAuthorized", "instance is starting or not authorized"),
        ("blocked", "instance is starting or not authorized"),
        ("sleepMode", "instance is starting or not authorized"),
        ("a new one", "instance is starting or not authorized"),
        ("starting", "instance in starting process try later"),
        (None, "instance in starting process try later"),
    ],
)
def test_an_instance_that_is_not_ready_tells_its_state_and_no_contacts(instance, account, state, said):
    account.change(state=state)
    answer = instance.contacts()
    settings = instance.ask("getWaSettings").json()

    assert (answer.status_code, answer.json()["message"]) == (400, said)
    assert instance.ask("getStateInstance").json() == {"stateInstance": state}
    assert (settings["stateInstance"], settings["phone"], settings["chatId"]) == (state, "", "")


def test_lists_beyond_a_months_quota_are_466_and_name_people(instance, account, sandbox):
    account.change(monthly_quota=1)
    answers = [instance.contacts(), instance.contacts()]
    sandbox.clock.set("2022-10-01T00:00:00Z")
    answers.append(instance.contacts())
    told = answers[1].json()

    assert [answer.status_code for answer in answers] == [200, 466, 200]
    assert told["invokeStatus"] == {
        "method": "getContacts",
        "used": 1,
        "total": 1,
        "status": "QUOTE_EXCEEDED",
        "description": "Monthly quota is exceeded",
    }
    assert told["correspondentsStatus"]["status"] == "CORRESPONDENTS_QUOTE_EXCEEDED"
    assert "11001234567@c.us" in told["correspondentsStatus"]["description"]


@pytest.fixture
def limited(instance):
    """A sandbox whose real time stands still until it is moved; gives it and the time."""
    time = [1_000.0]
    behaviour = GreenApiBehaviour(rate_limit=1)
    with Sandbox(World(), now="2022-09-13T00:00:00Z", green_api=behaviour, real_time=lambda: time[0]) as sandbox:
        instance.sandbox = sandbox
        yield sandbox, time


def test_a_second_request_in_a_second_is_429_and_says_nothing_more(instance, limited):
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
