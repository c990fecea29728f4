"""Fetching and acknowledging identities: by the recorded hash, one by one, independently of each other."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
import requests
from sqlalchemy import text

from airflow_provider_wacontacts.callbacks import record_callback
from airflow_provider_wacontacts.clients import whatsapp_business
from airflow_provider_wacontacts.clients.requests_driver import Driver
from airflow_provider_wacontacts.clients.retry import RetryLoop, RetryPolicy
from airflow_provider_wacontacts.exceptions import ContractError, RejectedError, ServerError
from airflow_provider_wacontacts.pipelines.identities import (
    AcknowledgeSummary,
    FetchSummary,
    IdentityRun,
    choose_identities,
)
from airflow_provider_wacontacts.pipelines.stop import Stopped, StopSignal
from airflow_provider_wacontacts.records.identities import IdentityChange
from airflow_provider_wacontacts.sandbox import Fault, Sandbox, WhatsAppBehaviour, World
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.identities import SenderIdentities
from tests.identity_changes import record_changes

SENDER = "+12015550100"
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
ANNA, BERT, CLEO = "16315551000", "16315551004", "16315551005"
STRANGER = "16315551002"


class Api:
    """Sends what the hook would send, once."""

    def __init__(self, sandbox):
        session = requests.Session()
        session.headers["authorization"] = f"Bearer {sandbox.whatsapp.behaviour.token}"
        self._driver = Driver(session, sandbox.url, RetryLoop(policy=RetryPolicy(budget=timedelta(0))))
        self.before_put = lambda: None

    def get_identity(self, wa_id):
        return self._driver.run(whatsapp_business.get_identity(wa_id))

    def acknowledge_identity(self, wa_id, hash):  # noqa: A002 - the vendor's word
        self.before_put()
        self._driver.run(whatsapp_business.acknowledge_identity(wa_id, hash))


class Business:
    """A client, a store that its callbacks are recorded in, and what is done with both."""

    def __init__(self, sandbox, engine):
        self.sandbox = sandbox
        self.whatsapp = sandbox.whatsapp
        self.api = Api(sandbox)
        self.reported = []
        self.stop = StopSignal()
        self.monotonic = count(step=10).__next__
        store = Store(engine)
        store.prepare()
        self.identities = SenderIdentities(store.context, SENDER)
        self.engine = engine

    def change(self, *wa_ids, told=True):
        """Change users' identities, a minute between two; return the keys of the rows."""
        changed = []
        for wa_id in wa_ids:
            self.sandbox.clock.advance(60)
            changed.append(self.whatsapp.change_identity(wa_id).hash)
            if told:
                record_callback(self.engine, SENDER, self.whatsapp.callbacks.log[-1].body)
        return [self.key(hash_) for hash_ in changed] if told else changed

    def key(self, hash_):
        with self.engine.connect() as connection:
            query = text("SELECT identity_id FROM wacontacts_identity WHERE hash = :hash")
            return connection.execute(query, {"hash": hash_}).scalar()

    def pending(self):
        return [one.identity_id for one in self.identities.pending(99)]

    def is_acknowledged(self, wa_id):
        return self.api.get_identity(wa_id).acknowledged

    def fetch(self, *ids):
        return self.run().fetch(choose_identities(self.identities, list(ids) or None, 100))

    def acknowledge(self, *ids, **options):
        return self.run().acknowledge(choose_identities(self.identities, list(ids) or None, 100), **options)

    def run(self):
        return IdentityRun(
            identities=self.identities,
            api=self.api,
            on_progress=self.reported.append,
            stop=self.stop,
            monotonic=self.monotonic,
        )

    def asked(self):
        """How many GETs and PUTs there were since the last time."""
        counts = (self.sandbox.requests.count("identity"), self.sandbox.requests.count("acknowledge"))
        self.sandbox.requests.clear()
        return counts


@pytest.fixture
def business(store_engine):
    with Sandbox(World(), now=NOW, whatsapp=WhatsAppBehaviour(sender=SENDER)) as sandbox:
        yield Business(sandbox, store_engine)


def test_fetching_acknowledges_nothing_and_returns_the_ids_to_acknowledge(business):
    anna, bert = business.change(ANNA, BERT)

    assert business.fetch() == FetchSummary(SENDER, given=2, unchanged=2, identity_ids=[anna, bert])
    assert (business.asked(), business.pending(), business.is_acknowledged(ANNA)) == ((2, 0), [anna, bert], False)


def test_fetching_records_a_change_that_was_never_delivered(business):
    (anna,) = business.change(ANNA)
    (newer,) = business.change(ANNA, told=False)

    summary = business.fetch()

    assert summary == FetchSummary(SENDER, given=1, changed=1, identity_ids=[business.key(newer)])
    assert business.pending() == [business.key(newer)] != [anna]


def test_fetching_records_an_acknowledgement_by_another_client(business):
    business.change(ANNA)
    business.api.acknowledge_identity(ANNA, business.api.get_identity(ANNA).hash)

    assert business.fetch() == FetchSummary(SENDER, given=1, unchanged=1, identity_ids=[])
    assert business.pending() == []


def test_two_identities_of_a_user_have_one_latest(business):
    older, newer = business.change(ANNA, ANNA)

    assert business.fetch(older, newer) == FetchSummary(SENDER, given=2, unchanged=1, changed=1, identity_ids=[newer])


@pytest.mark.parametrize("answer", ["null", "object", "empty"])
@pytest.mark.parametrize(("created_as", "acknowledged_as"), [("number", "boolean"), ("text", "text")])
def test_each_pending_identity_needs_one_get_and_one_put(business, answer, created_as, acknowledged_as):
    business.whatsapp.change(acknowledge_answer=answer, created_as=created_as, acknowledged_as=acknowledged_as)
    business.change(ANNA, BERT)

    assert business.acknowledge() == AcknowledgeSummary(SENDER, given=2, acknowledged=2)
    assert (business.asked(), business.pending()) == ((2, 2), [])
    assert (business.is_acknowledged(ANNA), business.is_acknowledged(BERT)) == (True, True)


def test_acknowledging_again_sends_no_request(business):
    ids = business.change(ANNA, BERT)
    business.acknowledge()
    business.asked()

    assert business.acknowledge(*ids) == AcknowledgeSummary(SENDER, given=2, already_acknowledged=2)
    assert business.acknowledge() == AcknowledgeSummary(SENDER)
    assert business.asked() == (0, 0)


def test_an_acknowledged_identity_needs_no_put(business):
    business.change(ANNA)
    business.api.acknowledge_identity(ANNA, business.api.get_identity(ANNA).hash)
    business.asked()

    assert business.acknowledge() == AcknowledgeSummary(SENDER, given=1, already_acknowledged=1)
    assert (business.asked(), business.pending()) == ((1, 0), [])


@pytest.mark.parametrize("stale_hash", ["refuse", "not_found", "conflict", "ignore", "accept"])
def test_only_the_stored_hash_is_acknowledged(business, stale_hash):
    business.whatsapp.change(stale_hash=stale_hash)
    anna, bert = business.change(ANNA, BERT)
    (newer,) = business.change(ANNA, told=False)

    summary = business.acknowledge()

    newer = business.key(newer)
    assert summary == AcknowledgeSummary(SENDER, given=2, acknowledged=1, changed=1, changed_ids=[newer])
    assert (business.asked(), business.is_acknowledged(ANNA), business.pending()) == ((2, 1), False, [newer])
    assert [one.acknowledged for one in business.identities.find([anna, bert, newer])] == [False, True, False]
    assert business.acknowledge(newer).acknowledged == 1


@pytest.mark.parametrize("stale_hash", ["refuse", "not_found", "conflict"])
def test_a_change_between_get_and_put_counts_as_changed(business, stale_hash):
    business.whatsapp.change(stale_hash=stale_hash)
    (anna,) = business.change(ANNA)
    newer = []
    business.api.before_put = lambda: newer.extend(business.change(ANNA, told=False))

    summary = business.acknowledge()

    assert summary == AcknowledgeSummary(SENDER, given=1, changed=1, changed_ids=[business.key(newer[0])])
    assert (business.asked(), business.is_acknowledged(ANNA)) == ((2, 1), False)
    assert [one.acknowledged for one in business.identities.find([anna])] == [False]


def test_acknowledge_latest_acknowledges_a_newer_identity(business):
    (anna,) = business.change(ANNA)
    (newer,) = business.change(ANNA, told=False)

    assert business.acknowledge(acknowledge_latest=True) == AcknowledgeSummary(SENDER, given=1, acknowledged=1)
    assert (business.asked(), business.is_acknowledged(ANNA), business.pending()) == ((1, 1), True, [])
    kept = business.identities.find([anna, business.key(newer)])
    assert [one.acknowledged for one in kept] == [False, True]


def test_of_two_identities_of_a_user_only_the_newer_is_acknowledged(business):
    older, newer = business.change(ANNA, ANNA)

    summary = business.acknowledge(older, newer)

    assert summary == AcknowledgeSummary(SENDER, given=2, acknowledged=1, changed=1)
    assert business.is_acknowledged(ANNA)


def test_an_unknown_user_does_not_stop_the_others_and_is_pending_last(business):
    record_changes(business.identities, [IdentityChange(STRANGER, "gone", NOW)])
    gone = business.key("gone")
    bert, anna = business.change(BERT, ANNA)

    assert business.fetch() == FetchSummary(SENDER, given=3, unchanged=2, unknown=1, identity_ids=[bert, anna])
    assert business.pending() == [bert, anna, gone]
    assert business.acknowledge(gone, bert) == AcknowledgeSummary(SENDER, given=2, acknowledged=1, unknown=1)


@pytest.mark.parametrize("on", ["identity", "acknowledge"])
def test_after_a_failure_a_retry_processes_the_rest(business, on):
    business.change(ANNA, BERT, CLEO)
    business.sandbox.fail(Fault(on=on, kind="status", status=500, skip=1))

    with pytest.raises(ServerError):
        business.acknowledge()
    assert (len(business.pending()), business.is_acknowledged(ANNA)) == (2, True)

    business.asked()
    assert business.acknowledge() == AcknowledgeSummary(SENDER, given=2, acknowledged=2)
    assert business.asked() == (2, 2)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(on="identity", kind="html"), ContractError),
        (Fault(on="identity", kind="body", body='{"contacts": {}}'), ContractError),
        (Fault(on="identity", kind="status", status=400, code=1009), RejectedError),
        (Fault(on="acknowledge", kind="status", status=400, code=1009), RejectedError),
    ],
)
def test_an_error_about_one_user_is_raised_after_the_others_are_acknowledged(business, fault, error):
    anna, _ = business.change(ANNA, BERT)
    business.sandbox.fail(fault)

    with pytest.raises(error):
        business.acknowledge()

    assert (business.pending(), business.is_acknowledged(BERT)) == ([anna], True)


def test_an_error_about_one_user_is_raised_after_the_others_are_fetched(business):
    business.change(ANNA)
    business.change(BERT, told=True)
    (newer,) = business.change(BERT, told=False)
    business.sandbox.fail(Fault(on="identity", kind="html"))

    with pytest.raises(ContractError):
        business.fetch()

    assert business.key(newer) in business.pending()


def test_a_rejected_put_of_the_latest_hash_is_an_error(business):
    (anna,) = business.change(ANNA)
    business.sandbox.fail(Fault(on="acknowledge", kind="status", status=409, code=1009))

    with pytest.raises(RejectedError):
        business.acknowledge()

    assert business.pending() == [anna]


def test_identity_progress_is_reported_every_ten_seconds(business):
    business.change(ANNA, BERT, CLEO)

    business.fetch()

    assert business.reported == [0, 1, 2]


def test_a_stop_keeps_the_results_received_so_far(business):
    business.change(ANNA, BERT)
    business.api.before_put = business.stop.set

    with pytest.raises(Stopped):
        business.acknowledge()

    assert (business.is_acknowledged(ANNA), business.is_acknowledged(BERT)) == (True, False)
    assert len(business.pending()) == 1


def test_limit_applies_to_pending_identities(business):
    anna, bert, _ = business.change(ANNA, BERT, CLEO)

    assert [one.identity_id for one in choose_identities(business.identities, None, 2)] == [anna, bert]
    assert choose_identities(business.identities, [], 2) == []


def test_a_summary_is_made_of_counts_and_ids(business):
    ids = business.change(ANNA)

    assert business.fetch().as_dict() == {
        "sender": SENDER,
        "given": 1,
        "unchanged": 1,
        "changed": 0,
        "unknown": 0,
        "identity_ids": ids,
    }
    assert business.acknowledge().as_dict() == {
        "sender": SENDER,
        "given": 1,
        "acknowledged": 1,
        "already_acknowledged": 0,
        "changed": 0,
        "unknown": 0,
        "changed_ids": [],
    }
