"""Whatever a server sends, a flow ends with a result or an error of this package, and no error quotes it."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wacontacts.clients.green_api import Instance, get_contacts, get_state, get_wa_settings
from airflow_provider_wacontacts.clients.green_api_checks import check_whatsapp
from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.clients.turn import Export, ExportOptions, create_cursor, get_schemas
from airflow_provider_wacontacts.clients.whatsapp_business import (
    acknowledge_identity,
    check_contacts,
    get_identity,
    login,
    normalize_status,
    parse_callback,
    probe_contacts,
)
from airflow_provider_wacontacts.exceptions import BudgetExceededError, ContractError, NotEnabledError, WaContactsError
from airflow_provider_wacontacts.records.windows import Window

START, END = datetime(2022, 9, 12, tzinfo=UTC), datetime(2022, 9, 13, tzinfo=UTC)
NUMBER, USER = "+16315551000", "16315551000"
INSTANCE = Instance("1101000001", "example-token")
PERSONAL = (USER, "44623456700", "Quincy-Example", "lid-9471", "c3VyZ2VyeQ")

#: Deeper than Python recurses.
DEEP = b"[" * 2000 + b"]" * 2000
DEEP_OBJECT = b'{"a":' * 2000 + b"1" + b"}" * 2000
#: JSON, nearly JSON, and values on the edges of what Python and databases hold.
ODD = st.sampled_from(
    [
        b"null",
        b"true",
        b"tru",
        b"{}",
        b"[]",
        b"-1",
        b"NaN",
        b"-Infinity",
        b"1e99999999999999999999",
        b"1e308",
        b"9" * 5000,
        b"1663000000",
        b'""',
        b'"\\ud800"',
        b'"\\u0000"',
        b'"\xff"',
        b'"valid"',
        b'"not authorized"',
        b'"authorized"',
        b'"user_changed_number"',
        b'"user_identity_changed"',
        b'"2022-09-12T08:30:00Z"',
        b'"0001-01-01T00:00:00+02:00"',
        b'"9999-12-31T23:59:59-05:00"',
        b"1013",
        b"1014",
        b"1016",
        b"[" * 300 + b"]" * 300,
        b'{"a":1,"a":2}',
        DEEP,
        DEEP_OBJECT,
    ]
)
MEMBERS = """
    acknowledged cause chatId code contacts created_timestamp cursor data details error errors existsWhatsapp
    expires_after fields from from_user_id hash historySyncProgress id identity input invokeStatus message messages
    meta name new_wa_id next number_id paging phoneNumber previous_user_id stateInstance status system timestamp
    title token total type updated_at used user user_id users uuid version wa_id whatsapp_id
"""
NAMES = st.sampled_from(re.findall(r"\w+", MEMBERS)).map(lambda name: f'"{name}"'.encode())
LEAVES = ODD | st.sampled_from(PERSONAL).map(lambda text: f'"{text}"'.encode()) | st.just(b'"+%s"' % USER.encode())


def as_object(members):
    return b"{" + b",".join(name + b":" + value for name, value in members) + b"}"


def as_list(items):
    return b"[" + b",".join(items) + b"]"


JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(st.tuples(NAMES, inner), max_size=6).map(as_object) | st.lists(inner, max_size=3).map(as_list)
    ),
    max_leaves=10,
)


def with_list(name):
    """Return an object whose list has objects, so that most examples get past the first condition."""
    rows = st.lists(st.lists(st.tuples(NAMES, JSON), max_size=8).map(as_object), max_size=3).map(as_list)
    more = st.lists(st.tuples(NAMES, JSON), max_size=3)
    return st.builds(lambda listed, others: as_object([(f'"{name}"'.encode(), listed), *others]), rows, more)


@st.composite
def bodies(draw):
    shapes = [with_list(name) for name in ("data", "contacts", "messages", "users", "errors", "fields")]
    body = bytearray(draw(st.one_of(JSON, *shapes, with_list("x").map(lambda text: text[5:-1]))))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        if body:
            body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body)


DATES = st.sampled_from(
    [
        "",
        "soon",
        "Mon, 12 Sep 2022 08:30:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -1400",
        "Fri, 31 Dec 9999 23:59:59 +1400",
        "Mon, 01 Jan 0100 00:00:00 GMT",
        "Mon, 12 Sep 2022 08:30:00 -9999",
    ]
)
RESPONSES = st.builds(
    lambda status, date, body: Response(status, {"date": date}, body),
    st.sampled_from([200, 200, 200, 302, 400, 403, 404, 466, 500, 503]),
    DATES,
    bodies(),
)


def read_export():
    """Read pages of Turn.io to the end, and the records in them."""
    export = Export(Window(START, END))
    while page := (yield from export.next_page()):
        for reject in page.records()[1]:
            expect_impersonal(reject.reason)


def read_snapshot():
    snapshot = yield from get_contacts(INSTANCE)
    list(snapshot.records(END))
    for reject in snapshot.rejects:
        expect_impersonal(reject.reason)


FLOWS = {
    "turn export": read_export,
    "turn cursor": lambda: create_cursor(START, END, ExportOptions()),
    "turn schemas": get_schemas,
    "green api contacts": read_snapshot,
    "green api state": lambda: get_state(INSTANCE),
    "green api settings": lambda: get_wa_settings(INSTANCE),
    "green api check": lambda: check_whatsapp(INSTANCE, NUMBER),
    "whatsapp check": lambda: check_contacts([NUMBER, "+44623456700"]),
    "whatsapp probe": probe_contacts,
    "whatsapp login": lambda: login("example", "example"),
    "whatsapp identity": lambda: get_identity(USER),
    "whatsapp acknowledgement": lambda: acknowledge_identity(USER, "hash"),
}
CURSOR = Response(200, {"date": "Mon, 12 Sep 2022 08:30:00 GMT"}, b'{"cursor": "example"}')


def expect_impersonal(message):
    assert [value for value in PERSONAL if value in message] == []


def run(flow, responses):
    """Send responses to a flow until it or they end."""
    try:
        flow.send(None)
        for response in responses:
            flow.send(response)
    except StopIteration:
        pass
    except WaContactsError as error:
        expect_impersonal(str(error))
    finally:
        flow.close()


@settings(max_examples=40, derandomize=True)
@given(responses=st.lists(RESPONSES, min_size=1, max_size=3))
def test_every_flow_ends_with_a_result_or_an_error_of_this_package(responses):
    for flow in FLOWS.values():
        run(flow(), responses)
    run(FLOWS["turn export"](), [CURSOR, *responses])
    for response in responses:
        normalize_status(response)


@settings(max_examples=40, derandomize=True)
@given(body=bodies())
def test_a_callback_is_read_or_refused(body):
    try:
        parse_callback(body)
    except WaContactsError as error:
        expect_impersonal(str(error))


@pytest.mark.parametrize("body", [DEEP, DEEP_OBJECT, b'{"errors": %s}' % DEEP, b'{"message": %s}' % DEEP])
@pytest.mark.parametrize(
    ("flow", "status", "kind"),
    [
        (FLOWS["turn cursor"], 200, ContractError),
        (FLOWS["turn schemas"], 200, ContractError),
        (FLOWS["turn cursor"], 403, NotEnabledError),
        (FLOWS["green api contacts"], 403, NotEnabledError),
        (FLOWS["green api check"], 466, BudgetExceededError),
        (FLOWS["whatsapp check"], 403, NotEnabledError),
    ],
    ids=["cursor", "schemas", "turn", "green api", "green api quota", "whatsapp"],
)
@pytest.mark.parametrize("date", ["", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -1400"])
def test_no_body_or_date_hides_what_the_status_says(flow, status, kind, body, date):
    running = flow()
    next(running)
    with pytest.raises(kind):
        running.send(Response(status, {"date": date}, body))
