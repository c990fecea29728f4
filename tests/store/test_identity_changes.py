"""The log of identity changes: the kind of each change, and readers that follow it miss nothing."""

from __future__ import annotations

import random
from threading import Thread

import pytest

from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.records.identities import Identity, IdentityChange
from airflow_provider_wacontacts.store.erasure import erase
from airflow_provider_wacontacts.store.identities import SenderIdentities, find_change_log
from tests.identity_changes import record_changes
from tests.store.conftest import DAY, MONDAY

ANNA, BERT = "16315551000", "16315551004"
WRITERS, ROUNDS, MOMENTS = 4, 15, 9
LOG = "SELECT change_kind, hash FROM wacontacts_identity_change ORDER BY change_id"
FOLLOW = """
SELECT change_id, change_kind, identity_id FROM wacontacts_identity_change
WHERE change_id > :after ORDER BY change_id LIMIT 5
"""


def changed(hash_, day, wa_id=ANNA):
    return IdentityChange(wa_id, hash_, MONDAY + day * DAY)


@pytest.fixture
def identities(landing):
    return SenderIdentities(landing.store.context, "+12015550100")


def test_an_identity_that_is_reported_repeatedly_is_pending_once(identities, landing):
    for _ in range(2):
        record_changes(identities, [changed("A", 1), changed("Z", 1, BERT)])
    assert landing.rows(LOG) == [("pending", "A"), ("pending", "Z")]


def test_a_newer_identity_of_a_user_supersedes_the_previous_one(identities, landing):
    record_changes(identities, [changed("B", 2)])
    record_changes(identities, [changed("C", 3)])
    record_changes(identities, [changed("A", 1)])
    assert landing.rows(LOG) == [("pending", "B"), ("superseded", "B"), ("pending", "C"), ("superseded", "A")]


def test_an_acknowledged_identity_is_logged_once_and_is_pending_again_if_the_api_says_so(identities, landing):
    record_changes(identities, [changed("A", 1)])
    (pending,) = identities.pending(1)
    for _ in range(2):
        identities.record_acknowledged(pending.identity_id)
    identities.record_latest(ANNA, Identity("A", MONDAY + DAY, acknowledged=False))
    assert landing.rows(LOG) == [("pending", "A"), ("acknowledged", "A"), ("pending", "A")]


def test_an_identity_that_the_api_returns_as_the_latest_supersedes_the_pending_one(identities, landing):
    record_changes(identities, [changed("A", 1)])
    (pending,) = identities.pending(1)
    identities.record_latest(ANNA, Identity("B", MONDAY + DAY, acknowledged=True), instead_of=pending)
    assert landing.rows(LOG) == [("pending", "A"), ("superseded", "A"), ("acknowledged", "B")]


def test_a_change_has_the_columns_of_its_identity(identities, landing):
    record_changes(identities, [changed("A", 1)])
    columns = "identity_id, sender, wa_id, user_id, hash, created_at, acknowledged, detected_at"
    assert landing.rows(f"SELECT {columns} FROM wacontacts_identity_change") == landing.rows(
        f"SELECT {columns} FROM wacontacts_identity"
    )


def test_an_erased_identity_leaves_only_its_id(identities, landing):
    record_changes(identities, [changed("A", 1), changed("Z", 1, BERT)])
    for _ in range(2):
        erase(landing.store.context, [Identifier(Kind.WA_ID, ANNA)])
    kept = "sender, wa_id, hash, created_at, acknowledged, detected_at"
    assert landing.rows(f"SELECT {kept} FROM wacontacts_identity_change WHERE change_kind = 'erased'") == [(None,) * 6]
    assert landing.rows(LOG) == [("pending", None), ("pending", "Z"), ("erased", None)]


def test_pending_identities_are_read_between_two_changes(identities):
    record_changes(identities, [changed("A", 1)])
    before = find_change_log(identities.context)
    record_changes(identities, [changed("Z", 1, BERT)])
    after = find_change_log(identities.context)

    first, second = identities.changes(0, 10)
    assert identities.changes(0, 10, before.newest) == [first]
    assert identities.changes(before.newest, 10, after.newest) == [second]
    assert before.created_at == after.created_at


def work(landing, seed):
    """Report, acknowledge and correct identities of two users in any order."""
    chance, identities = random.Random(seed), SenderIdentities(landing.store.context, "+12015550100")
    for _ in range(ROUNDS):
        record_changes(
            identities,
            [changed(str(day), day, chance.choice((ANNA, BERT))) for day in chance.sample(range(MOMENTS), 3)],
        )
        if pending := identities.pending(2):
            one, day = chance.choice(pending), chance.randrange(MOMENTS)
            if chance.random() < 0.5:
                identities.record_acknowledged(one.identity_id)
            else:
                latest = Identity(str(day), MONDAY + day * DAY, acknowledged=chance.random() < 0.5)
                identities.record_latest(one.wa_id, latest, instead_of=one)


def test_a_follower_that_remembers_the_largest_id_knows_the_status_of_each_identity(identities, landing):
    followed = landing.follow(FOLLOW, [Thread(target=work, args=(landing, seed)) for seed in range(WRITERS)])

    assert followed == landing.rows(FOLLOW.replace("LIMIT 5", ""), after=0)
    known = {identity_id: kind for _, kind, identity_id in followed}
    pending = {one.identity_id for one in identities.pending(99)}
    assert pending == {identity_id for identity_id, kind in known.items() if kind == "pending"}
    acknowledged = landing.rows("SELECT identity_id FROM wacontacts_identity WHERE acknowledged")
    assert {(one,) for one, kind in known.items() if kind == "acknowledged"} == set(acknowledged)
    assert set(known) == {one for (one,) in landing.rows("SELECT identity_id FROM wacontacts_identity")}
