"""Webhook deliveries are recorded idempotently in any order, and only as far as they concern contacts."""

import json
import logging
import subprocess
import sys
import threading
import traceback
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from airflow_provider_wacontacts.callbacks import RecordedCallback, record_callback
from airflow_provider_wacontacts.exceptions import ConfigError, ContractError
from airflow_provider_wacontacts.sandbox import Sandbox, WhatsAppBehaviour, World
from airflow_provider_wacontacts.store import Store, TaskInstanceKey
from airflow_provider_wacontacts.store.checks.model import CheckInput, CheckResults, CheckSpec
from airflow_provider_wacontacts.store.checks.sender import SenderChecks
from airflow_provider_wacontacts.store.identities import SenderIdentities

SENDER = "+12015550100"
ANNA, SLOW = "16315551000", "16315551001"
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
SECRET_HASH = "UKD6Y/5SqDU="
NUMBERS = count(1)


@pytest.fixture
def whatsapp():
    with Sandbox(World(), now=NOW, whatsapp=WhatsAppBehaviour(sender=SENDER)) as sandbox:
        yield sandbox.whatsapp


@pytest.fixture
def rows(store_engine):
    def read(query, **parameters):
        with store_engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), parameters)]

    return read


@pytest.fixture
def waiting(store_engine):
    """A check that waits for one number."""
    store = Store(store_engine, now=lambda: NOW)
    store.prepare()
    checks = SenderChecks(store.context, SENDER, daily_checks=10)
    check = checks.open(CheckSpec(TaskInstanceKey("dag", "run", "task"), "", "0", NOW - timedelta(days=7)))
    check.fill([CheckInput(f"+{SLOW}", f"+{SLOW}")])
    for number_ids in check.queued(10):
        check.record(CheckResults(dict.fromkeys(check.lease(number_ids).numbers, ("processing", None)), NOW, NOW))
    check.finish()
    check.start_waiting(NOW + timedelta(hours=1))
    return check


def delivery(**members):
    return json.dumps(members).encode()


def result(input_, status="valid", **members):
    return {"input": input_, "status": status, **members}


def change(user=ANNA, identity=SECRET_HASH, at=1_602_535_356):
    system = {"identity": identity, "type": "user_identity_changed", "user": user}
    return {"from": user, "id": "example", "system": system, "timestamp": str(at), "type": "system"}


def test_a_delivered_result_resolves_the_waiting_check(store_engine, whatsapp, waiting):
    whatsapp.check([f"+{SLOW}"])
    (body,) = whatsapp.finish()
    assert waiting.totals().state == "open"

    recorded = record_callback(store_engine, SENDER, body, received_at=NOW + timedelta(seconds=9))

    assert recorded == RecordedCallback(results=1)
    totals = waiting.totals()
    assert (totals.state, totals.valid, totals.waiting) == ("resolved", 1, 0)


def test_a_delivered_identity_change_is_pending(store_engine, whatsapp, rows):
    whatsapp.change_identity(ANNA)
    (callback,) = whatsapp.callbacks.log

    recorded = record_callback(store_engine, SENDER, callback.body)

    assert recorded == RecordedCallback(identities=1)
    (pending,) = SenderIdentities(Store(store_engine).context, SENDER).pending(10)
    assert [(pending.wa_id, pending.hash)] == rows("SELECT wa_id, hash FROM wacontacts_identity")
    ((created_at,),) = rows("SELECT created_at FROM wacontacts_identity")
    assert str(created_at)[:10] == "2026-11-02"


def test_repeated_deliveries_of_a_client_are_recorded_once(store_engine, whatsapp, rows):
    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            record_callback(store_engine, SENDER, body, verified=True)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    whatsapp.change(callback_url=f"http://127.0.0.1:{server.server_port}/", callback_copies=2)

    whatsapp.check([f"+{SLOW}"])
    whatsapp.finish()
    whatsapp.change_identity(ANNA)
    whatsapp.receive(ANNA)

    assert whatsapp.callbacks.wait_for(6)
    server.shutdown()
    server.server_close()
    assert rows("SELECT number, status, wa_id FROM wacontacts_number") == [(f"+{SLOW}", "valid", SLOW)]
    assert rows("SELECT sender, wa_id FROM wacontacts_identity") == [(SENDER, ANNA)]


@pytest.mark.parametrize("setting", [True, False])
def test_messages_are_ignored_without_a_connection(whatsapp, setting):
    whatsapp.change(security_notifications=setting)
    body = whatsapp.receive(ANNA, name="Quillimar")

    assert record_callback("postgresql+psycopg2://nobody@127.0.0.1:1/nowhere", SENDER, body) == RecordedCallback()


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"statuses": [{"status": "read", "id": "x"}]},
        {"statuses": [{"status": "failed", "errors": [{"code": 480, "title": "User potentially changed"}]}]},
        {"messages": [{"from": ANNA, "identity": {"acknowledged": False, "created_timestamp": 1, "hash": "x"}}]},
        {"messages": [{"from": ANNA, "system": {"new_wa_id": ANNA, "type": "user_changed_number"}}]},
        {"contacts": [{"profile": {"name": "Somebody"}, "wa_id": ANNA}]},
        {"contacts": None, "messages": {}},
    ],
)
def test_callbacks_about_other_topics_are_ignored(members):
    assert record_callback("sqlite:////nowhere/at/all.db", SENDER, delivery(**members)) == RecordedCallback()


def test_one_delivery_may_contain_all_kinds_of_events(store_engine):
    profile = {"profile": {"name": "Somebody"}, "wa_id": ANNA}
    contacts = [profile, result("+16315551004", wa_id="16315551004"), result("+1631", "failed")]
    body = delivery(contacts=contacts, messages=[change(), change()], statuses=[{"status": "read"}])

    assert record_callback(store_engine, SENDER, body) == RecordedCallback(results=1, identities=1, ignored=1)


@pytest.mark.parametrize(
    ("sender", "spelling", "number"),
    [
        ("+911140000000", "6315551002", "+916315551002"),
        ("+12015550100", "+1 (516) 283-7151", "+15162837151"),
        ("+12015550100", "1-631-555-1002", "+16315551002"),
        ("whatsapp_business_default", "tel:+54-9-11-5612-1008", "+5491156121008"),
    ],
)
def test_a_known_number_is_recognized_in_any_spelling(sqlite_url, sender, spelling, number):
    record_callback(sqlite_url, sender, delivery(contacts=[result(spelling)]))

    with create_engine(sqlite_url).connect() as connection:
        assert connection.execute(text("SELECT sender, number FROM wacontacts_number")).all() == [(sender, number)]


@pytest.mark.parametrize(
    "members",
    [
        {"contacts": [result("+163155588", "failed")]},
        {"contacts": [result("6315551002")]},
        {"contacts": [result("somebody")]},
        {"messages": [change(identity="x" * 5_000)]},
        {"messages": [change(user="US.13491208655302741918")]},
        {"messages": [{"system": {"body": "changed", "new_wa_id": ANNA, "type": "user_changed_number"}}]},
        {"contacts": [{"input": 16315551000, "status": "valid"}]},
    ],
)
def test_invalid_contacts_are_counted_without_a_connection(members):
    recorded = record_callback("sqlite:////nowhere/at/all.db", "a sender without a region", delivery(**members))

    assert recorded == RecordedCallback(ignored=1)


def test_of_several_results_of_a_number_the_final_one_counts(store_engine, rows):
    contacts = [result("+16315551000"), result("+1 631 555 1000", "processing"), result("+1-631-555-1000", "waiting")]

    assert record_callback(store_engine, SENDER, delivery(contacts=contacts)) == RecordedCallback(results=1)
    assert rows("SELECT number, status FROM wacontacts_number") == [("+16315551000", "valid")]


def test_a_status_of_the_store_is_not_accepted_from_a_delivery(store_engine, rows):
    record_callback(store_engine, SENDER, delivery(contacts=[result("+16315551000", "not_asked")]))

    assert rows("SELECT status FROM wacontacts_number") == [("unknown",)]


def test_a_delivery_may_have_any_size(store_engine, rows):
    contacts = [result(f"+1631555{n:04}") for n in range(2_500)]
    changes = [change(user=f"1631555{n:04}") for n in range(2_500)]

    recorded = record_callback(store_engine, SENDER, delivery(contacts=contacts, messages=changes))

    assert recorded == RecordedCallback(results=2_500, identities=2_500)
    assert rows("SELECT count(*) FROM wacontacts_number") == rows("SELECT count(*) FROM wacontacts_identity")


def test_text_that_databases_refuse_is_repaired(store_engine):
    body = delivery(messages=[change(identity="A\x00B\ud800")])

    assert record_callback(store_engine, SENDER, body) == RecordedCallback(identities=1)
    assert record_callback(store_engine, SENDER, body.decode()) == RecordedCallback(identities=1)


@pytest.mark.parametrize("kind", ["engine", "text", "url"])
@pytest.mark.parametrize("body_as", [bytes, bytearray, bytes.decode])
def test_a_store_is_an_engine_or_url_and_a_body_is_bytes_or_string(postgres_url, kind, body_as):
    engine = create_engine(postgres_url)
    store = {"engine": engine, "text": postgres_url, "url": make_url(postgres_url)}[kind]

    recorded = record_callback(store, SENDER, body_as(delivery(messages=[change()])), table_schema="contacts")

    assert recorded == RecordedCallback(identities=1)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM contacts.wacontacts_identity")).scalar() == 1
    engine.dispose()


def test_tables_are_looked_up_once_per_engine(store_engine):
    asked = []
    for _ in range(2):
        statements = []
        logger, handler = logging.getLogger("sqlalchemy.engine.Engine.wacontacts"), logging.Handler()
        handler.emit = lambda record, into=statements: into.append(record.getMessage())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            record_callback(store_engine, SENDER, delivery(messages=[change()]))
        finally:
            logger.setLevel(logging.NOTSET)
            logger.removeHandler(handler)
        asked.append(sum("schema_version" in statement for statement in statements))

    assert asked[1] == 1


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "7", '"16315551000"', "<html>16315551000</html>", '{"a": 1', b"\xff"]
)
def test_a_body_that_is_not_an_object_is_refused_and_not_quoted(sqlite_url, body):
    with pytest.raises(ContractError) as refused:
        record_callback(sqlite_url, SENDER, body)

    shown = "".join(traceback.format_exception(refused.value))
    assert ("16315551000" in shown, "html>" in shown) == (False, False)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"sender": " "}, "sender"),
        ({"received_at": datetime(2026, 11, 2)}, "received_at"),  # noqa: DTZ001 - that is what is refused
        ({"received_at": "2026-11-02"}, "received_at"),
        ({"sender": None}, "sender"),
        ({"body": {"contacts": []}}, "body"),
        ({"store": "example-password-77aa"}, "store"),
        ({"store": "nosuchdb://user:example-password-77aa@host/db"}, "store"),
        ({"store": "mysql+pymysql://user:example-password-77aa@host/db"}, "store"),
        ({"store": None}, "store"),
        ({"table_schema": "contacts"}, "table_schema"),
    ],
)
def test_an_invalid_argument_is_rejected_by_name(sqlite_url, arguments, named):
    given_ = {"store": sqlite_url, "sender": SENDER, "body": delivery(messages=[change()])} | arguments

    with pytest.raises(ConfigError, match=named) as refused:
        record_callback(given_.pop("store"), given_.pop("sender"), given_.pop("body"), **given_)

    assert "example-password-77aa" not in "".join(traceback.format_exception(refused.value))


def test_an_error_of_the_store_is_raised():
    with pytest.raises(ConfigError, match="cannot open the file"):
        record_callback("sqlite:////nowhere/at/all.db", SENDER, delivery(messages=[change()]))


def test_the_module_does_not_import_airflow():
    code = "import sys, airflow_provider_wacontacts.callbacks; print([m for m in sys.modules if m == 'airflow'])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("broken", [False, True])
def test_no_personal_data_is_logged_at_debug_or_shown_by_an_error(sqlite_url, caplog, broken):
    for name in ("", "sqlalchemy", "sqlalchemy.engine"):
        caplog.set_level(logging.DEBUG, logger=name)
    logging.getLogger().manager._clear_cache()
    body = delivery(contacts=[result(f"+{SLOW}", wa_id=SLOW)], messages=[change()])
    engine = create_engine(sqlite_url, echo="debug")
    shown = repr(record_callback(engine, SENDER, body))
    if broken:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE wacontacts_identity")
        with pytest.raises(ConfigError) as failed:
            record_callback(engine, SENDER, body)
        shown += "".join(traceback.format_exception(failed.value))
    engine.dispose()

    shown += caplog.text + repr([vars(record) for record in caplog.records])
    assert "wacontacts_identity" in shown
    assert [one for one in (ANNA, SLOW, SECRET_HASH) if one in shown] == []


USERS = [f"1631555100{n}" for n in range(3)]
TRUTH = {f"+{user}": status for user, status in zip(USERS, ("valid", "invalid", "failed"), strict=True)}
CHANGES = st.builds(change, st.sampled_from(USERS), st.sampled_from("ABC"), st.integers(1_600_000_000, 1_600_000_003))
RESULTS = st.sampled_from(sorted(TRUTH)).map(lambda number: result(number, TRUTH[number], wa_id=number[1:]))
DELIVERIES = st.lists(
    st.tuples(
        st.builds(
            lambda contacts, messages: delivery(contacts=contacts, messages=messages),
            st.lists(RESULTS, max_size=3),
            st.lists(CHANGES, max_size=3),
        ),
        st.integers(0, 3).map(lambda minutes: NOW + timedelta(minutes=minutes)),
    ),
    max_size=5,
)


@given(deliveries=DELIVERIES, data=st.data())
@settings(max_examples=40)
def test_deliveries_are_idempotent_and_order_independent(store_engine, rows, deliveries, data):
    repeated = deliveries + (data.draw(st.lists(st.sampled_from(deliveries), max_size=5)) if deliveries else [])
    orders = [deliveries, data.draw(st.permutations(repeated))]
    ended = []
    for order in orders:
        sender = f"sender {next(NUMBERS)}"
        for body, received_at in order:
            record_callback(store_engine, sender, body, received_at=received_at)
        Store(store_engine).prepare()
        ended.append(
            (
                rows("SELECT number, status, wa_id FROM wacontacts_number WHERE sender = :s ORDER BY 1", s=sender),
                rows(
                    "SELECT wa_id, hash, created_at, detected_at, acknowledged FROM wacontacts_identity"
                    " WHERE sender = :s ORDER BY 1, 2",
                    s=sender,
                ),
                [(one.wa_id, one.hash) for one in SenderIdentities(Store(store_engine).context, sender).pending(99)],
            )
        )

    in_order, shuffled = ended
    assert in_order[:2] == shuffled[:2]
    assert sorted(in_order[2]) == sorted(shuffled[2])


def test_spaces_around_a_sender_are_ignored(store_engine, rows):
    record_callback(store_engine, f" {SENDER}\n", delivery(messages=[change()]))

    assert rows("SELECT DISTINCT sender FROM wacontacts_identity") == [(SENDER,)]
