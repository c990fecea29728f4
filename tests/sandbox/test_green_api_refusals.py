"""States, limits, quotas and errors, as real instances have them."""

import pytest

from airflow_provider_wacontacts.sandbox import Fault, GreenApiBehaviour, Sandbox, World

PATH = "/waInstance1101000001/getContacts/example-token"


def test_a_token_that_is_not_known_is_401_without_a_body(instance):
    answer = instance.ask("getContacts", token="other-token")

    assert (answer.status_code, answer.headers["content-type"], answer.content) == (401, "application/json", b"")


def test_a_401_may_be_a_success_that_says_so(instance, account):
    account.change(unauthorized_as="success")
    answer = instance.ask("getStateInstance", token="other-token")

    assert (answer.status_code, answer.json()) == (200, {"code": 401, "description": "Unauthorized"})


@pytest.mark.parametrize("path", ["/waInstance7105/getContacts/example-token", f"/v3{PATH}", "/waInstance//x"])
def test_another_instance_or_path_is_403_in_html(instance, path):
    answer = instance.send("GET", path)

    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html")
    assert "<h1>403 Forbidden</h1>" in answer.text


def test_a_host_may_have_a_path(instance, account):
    account.change(base_path="/v3")

    assert [instance.send("GET", path).status_code for path in (f"/v3{PATH}", PATH)] == [200, 403]


def test_a_token_with_hard_characters_is_one_segment_if_it_is_quoted(instance, account):
    account.change(token="a/b +%č")
    quoted = instance.ask("getContacts", token="a/b +%č")
    unquoted = instance.send("GET", "/waInstance1101000001/getContacts/a/b +%25č")

    assert (quoted.status_code, unquoted.status_code) == (200, 404)


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
    ("form", "body"),
    [("message", b'{"message":"Instance is deleted"}'), ("text", b"Instance is deleted")],
)
def test_an_error_may_have_another_form(instance, account, form, body):
    account.change(error_form=form, refusal="Instance is deleted")

    assert instance.contacts().content == body


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


@pytest.mark.parametrize("state", ["authorized", "yellowCard", "suspended"])
def test_a_limited_account_tells_contacts(instance, account, state):
    account.change(state=state)

    assert len(instance.rows()) == 3


def test_any_state_may_be_one_in_which_contacts_are_told(instance, account):
    account.change(state="suspended", ready_states=["authorized"])
    refused = instance.contacts().status_code
    account.change(ready_states=["suspended"])

    assert (refused, len(instance.rows())) == (400, 3)


def test_an_instance_that_is_not_ready_may_have_an_empty_list(instance, account):
    account.change(state="notAuthorized", unready="empty")

    assert instance.rows() == []


def test_an_instance_that_is_being_created_may_answer_null(instance, account):
    account.change(state=None, null_state="body")

    assert instance.ask("getStateInstance").content == b"null"


@pytest.mark.parametrize("progress", [0, 40, None])
def test_the_history_may_not_be_loaded_yet(instance, account, progress):
    account.change(history_sync_progress=progress)

    assert instance.ask("getWaSettings").json().get("historySyncProgress") == progress


def test_an_account_that_is_refused_is_refused_everything(instance, account):
    account.change(refusal="Instance account is expired. Renew your instance from personal area")
    answers = [instance.ask(method) for method in ("getContacts", "getStateInstance", "getWaSettings")]

    assert {(answer.status_code, answer.json()["message"]) for answer in answers} == {
        (400, "Instance account is expired. Renew your instance from personal area")
    }


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


def test_a_quotas_numbers_may_be_text(instance, account):
    account.change(monthly_quota=0, quota_numbers_as="text")
    told = instance.contacts().json()["invokeStatus"]

    assert (told["used"], told["total"]) == ("0", "0")


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


def test_the_limit_is_each_methods_own(instance, limited):
    methods = ("getContacts", "getStateInstance", "getWaSettings", "getContacts")

    assert [instance.ask(method).status_code for method in methods] == [200, 200, 200, 429]


def test_a_second_later_the_next_is_answered(instance, limited):
    _, time = limited
    statuses = []
    for pause in (0, 0.5, 0.5, 1, 0.9):
        time[0] += pause
        statuses.append(instance.contacts().status_code)

    assert statuses == [200, 429, 200, 200, 429]


def test_a_401_counts_too(instance, limited):
    _, time = limited
    statuses = [instance.ask("getContacts", token="other-token").status_code for _ in range(3)]
    time[0] += 1

    assert [*statuses, instance.ask("getContacts", token="other-token").status_code] == [401, 429, 429, 401]


def test_a_429_may_say_when_to_come_back_and_hide_the_limit(instance, limited):
    limited[0].green_api.change(retry_after="fraction", rate_headers=False)
    answers = [instance.contacts(), instance.contacts()]

    assert [answer.headers.get("Retry-After") for answer in answers] == [None, "1.000"]
    assert not any(name.lower().startswith("x-ratelimit") for answer in answers for name in answer.headers)


def test_every_request_is_remembered_with_its_time_and_outcome(instance, limited):
    sandbox, time = limited
    instance.contacts(group="true")
    time[0] += 0.25
    instance.send("GET", PATH, auth=("1101000001", "example-token"))
    sandbox.fail(Fault(on="state", kind="status", status=502))
    instance.ask("getStateInstance")
    calls = sandbox.green_api.calls

    assert [(call.at, call.kind, call.outcome, call.parameters, call.authorization) for call in calls] == [
        (1_000.0, "contacts", "200", {"group": "true"}, False),
        (1_000.25, "contacts", "429", {}, True),
        (1_000.25, "state", "502", {}, False),
    ]


def test_faults_have_the_forms_of_real_errors(instance, sandbox):
    statuses = (400, 404, 500, 401, 429, 403, 499, 502, 503, 466)
    sandbox.fail(*(Fault(on="contacts", kind="status", status=status) for status in statuses))
    answers = [instance.contacts() for _ in statuses]
    forms = [answer.headers["content-type"].partition(";")[0] if answer.content else "" for answer in answers]

    assert [answer.status_code for answer in answers] == list(statuses)
    assert forms == [*["application/json"] * 3, "", "", *["text/html"] * 4, "application/json"]
    assert ["example-token" in answer.text for answer in answers] == [*[True] * 3, *[False] * 7]


def test_a_fault_may_have_a_message_of_its_own(instance, sandbox):
    said = "instance in starting process try later"
    sandbox.fail(Fault(on="contacts", kind="status", status=400, message=said, times=2))
    answers = [instance.contacts() for _ in range(3)]

    assert [answer.status_code for answer in answers] == [400, 400, 200]
    assert (answers[0].json()["message"], answers[0].json()["path"]) == (said, PATH)


@pytest.mark.parametrize("body", ['{"status":false,"reason":"x"}', "", "[", '"[]"'])
def test_a_success_may_be_no_list(instance, sandbox, body):
    sandbox.fail(Fault(on="contacts", kind="body", body=body))

    assert (instance.contacts().text, len(instance.rows())) == (body, 3)


def test_a_fault_may_send_elsewhere(instance, sandbox):
    sandbox.fail(Fault(on="contacts", kind="status", status=302, headers={"Location": "/sandbox/clock"}))
    answer = instance.send("GET", PATH, allow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (302, "/sandbox/clock")


def test_a_single_429_can_be_had_without_a_limit(instance, sandbox):
    sandbox.fail(Fault(on="contacts", kind="rate_limited"))

    assert [instance.contacts().status_code for _ in range(2)] == [429, 200]


def test_requests_are_counted_by_kind(instance, sandbox):
    instance.rows()
    instance.ask("getStateInstance")
    instance.ask("getChats")

    assert [sandbox.requests.count(kind) for kind in ("contacts", "state", "wa_settings", "other")] == [1, 1, 0, 1]


def test_the_sandbox_logs_nothing_of_a_request(caplog, instance):
    with caplog.at_level(1), Sandbox(World()) as instance.sandbox:
        instance.rows()
        instance.ask("getChats")
    logged = [record.getMessage() for record in caplog.records if record.threadName == "sandbox"]

    assert [message for message in logged if "waInstance" in message or "example-token" in message] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"id_instance": ""},
        {"id_instance": "1/2"},
        {"token": ""},
        {"base_path": "v3"},
        {"base_path": "/v3/"},
        {"rate_limit": 0},
        {"hostile": ("nil",)},
    ],
)
def test_a_behaviour_that_cannot_be_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GreenApiBehaviour(**wrong)
