"""People who choose their own names, or forge callbacks, do not affect other people."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wacontacts.callbacks import record_callback
from airflow_provider_wacontacts.operators.store import EraseContactsOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToSqlOperator
from airflow_provider_wacontacts.sandbox import ContactList, Event, Sandbox, World
from airflow_provider_wacontacts.store.pseudonym_keys import recompute_keys
from tests.operators.green_api_cases import Connect, Context, to_store

DAY = (datetime(2022, 9, 12, tzinfo=UTC), datetime(2022, 9, 13, tzinfo=UTC))
SECRET, SENDER = "example-pseudonym-secret-3f9a51", "+12015550100"
#: phonenumbers' example of a Brazilian mobile number, and how an attacker writes it as a name.
VICTIM, ATTACKER = "5511961234567", "16315551000"
NAMES = ("+55 (11) 96123-4567", f"{VICTIM}@c.us", VICTIM)
FIELDS = {"turn": ["details.name", "details.whatsapp_id"], "green_api": ["id", "name", "contactName"]}

Query = Callable[[str], list[tuple[Any, ...]]]
Sync = Callable[..., Any]


@pytest.fixture
def sync(green: Sandbox, connect: Connect, context: Context, store_path: Path) -> Sync:
    """Load both feeds: the victim, and attackers who chose their names."""
    chosen = [Event(DAY[0], n, details={"whatsapp_id": f"1631555100{n}", "name": name}) for n, name in enumerate(NAMES)]
    victim = Event(DAY[0], 9, details={"whatsapp_id": VICTIM, "name": "example"})
    green.load(World.from_events([*chosen, victim]), now=DAY[1], contact_list=ContactList())
    for n, name in enumerate(NAMES):
        green.green_api.put(f"1631555100{n}@c.us", name=name)
    green.green_api.put(f"{VICTIM}@c.us", name="example")
    connect("turn_default", conn_type="turn", host=green.url, password=green.token)

    def run(*, secret: str | None = SECRET) -> None:
        extra = {"pseudonym_secret": secret} if secret else {}
        connect("wacontacts_store", conn_type="sqlite", host=str(store_path), extra=extra)
        fields = FIELDS if secret else {"turn": None, "green_api": None}
        turn = TurnContactsToSqlOperator(task_id="turn", settle=DAY[1] - DAY[1], pseudonymize=fields["turn"])
        turn.execute(context(*DAY))
        to_store(pseudonymize=fields["green_api"]).execute(context(None, None))

    return run


def test_a_name_that_looks_like_a_number_does_not_match_its_pseudonym(sync: Sync, query: Query) -> None:
    sync()

    rows = query("SELECT contact_id, wa_id, payload FROM wacontacts_current")
    keys = [key for (key,) in query("SELECT wa_id FROM wacontacts_directory")]
    assert (len(rows), len(keys)) == (8, 4)
    for key in keys:
        held = [wa_id for contact_id, wa_id, payload in rows if key in f"{contact_id} {wa_id} {payload}"]
        assert held == [key, key]


def test_a_forged_link_does_not_extend_an_erasure_to_another_person(
    sync: Sync, query: Query, context: Context, store_path: Path
) -> None:
    sync(secret=None)
    forged = [{"input": f"+1631555100{n}", "wa_id": VICTIM, "status": "valid"} for n in range(3)]
    record_callback(f"sqlite:///{store_path}", SENDER, json.dumps({"contacts": forged}))

    EraseContactsOperator(task_id="erase", contacts_sql=f"SELECT '+{ATTACKER}' AS number").execute(context(*DAY))
    sync(secret=None)

    left = query("SELECT wa_id FROM wacontacts_directory WHERE turn_account IS NOT NULL ORDER BY wa_id")
    assert left == [("16315551001",), ("16315551002",), (VICTIM,)]


def test_another_secret_is_refused_until_the_keys_are_recomputed(sync: Sync, query: Query, store_path: Path) -> None:
    from airflow_provider_wacontacts.hooks.store import open_store

    sync()
    with pytest.raises(
        AirflowFailException, match=r"Account .* has pseudonyms of another .*wacontacts store repseudonymize"
    ):
        sync(secret="another secret of 16 bytes")

    assert query("SELECT count(*) FROM wacontacts_extraction") == [(2,)]
    recompute_keys(open_store("wacontacts_store").context)
    sync(secret="another secret of 16 bytes")
    assert query("SELECT count(*) FROM wacontacts_extraction") == [(4,)]
