"""The directory of random stores equals a simple model."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import NamedTuple

import pytest
from sqlalchemy import text

from airflow_provider_wacontacts.store import Store, schema
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.person_keys import refresh_person_keys

DIGITS = ("1", "2", "3", "4", "5", "6")
SENDERS = ("+41", "+42")
ACCOUNTS = {1: ("turn", "b"), 2: ("turn", "a"), 3: ("green_api", "d"), 4: ("green_api", "c")}
TIMES = [f"2024-01-0{day}T00:00:00.000000Z" for day in range(1, 5)]
TABLES = ("account", "contact_version", "contact_payload", "contact_current", "number", "identity")
COLUMNS = (
    "wa_id, turn_account, turn_contact_id, turn_accounts, green_api_account, green_api_contact_id, green_api_state, "
    "green_api_accounts, accounts, sender, number, senders, status, identity_pending"
)


class Contact(NamedTuple):
    version_id: int
    account_id: int
    contact_id: str
    digits: str | None
    updated_at: str
    last_seen_at: str
    state: str
    is_newest: bool


class Number(NamedTuple):
    sender: str
    digits: str
    wa_id: str | None
    status: str | None
    answered_at: str | None


class Identity(NamedTuple):
    sender: str
    digits: str
    hash: str
    created_at: str
    acknowledged: bool
    superseded: bool


def made(chance):
    """Generate the rows of a store."""
    contacts = []
    for account_id, (source, _) in ACCOUNTS.items():
        for contact_id in map(str, range(chance.randrange(5))):
            times = sorted(chance.sample(TIMES, chance.randrange(1, 4)))
            for updated_at in times:
                state = "gone" if source == "green_api" and chance.random() < 0.3 else "present"
                seen_at = chance.choice([one for one in TIMES if one >= updated_at])
                digits = chance.choice((*DIGITS, None))
                key = (len(contacts) + 1, account_id, f"{source} {contact_id}", digits)
                contacts.append(Contact(*key, updated_at, seen_at, state, updated_at == times[-1]))
    numbers = []
    for sender in SENDERS:
        for digits in chance.sample(DIGITS, chance.randrange(5)):
            answered_at = chance.choice((*TIMES, None))
            wa_id = chance.choice((*DIGITS, digits, None)) if answered_at else None
            status = answered_at and ((wa_id and "valid") or chance.choice(("invalid", "processing")))
            numbers.append(Number(sender, digits, wa_id, status, answered_at))
    identities = [
        Identity(sender, digits, hash_, chance.choice(TIMES), chance.random() < 0.5, chance.random() < 0.3)
        for sender in SENDERS
        for digits in DIGITS
        for hash_ in chance.sample("xyz", chance.choice((0, 0, 0, 1, 2)))
    ]
    return contacts, numbers, identities


def write(connection, contacts, numbers, identities):
    for table in TABLES:
        connection.execute(text(f"DELETE FROM wacontacts_{table}"))
    _insert(connection, "account", [{"account_id": key, "source": s, "account": a} for key, (s, a) in ACCOUNTS.items()])
    for one in contacts:
        key = {name: getattr(one, name) for name in ("version_id", "account_id", "contact_id", "updated_at")}
        key |= {"last_seen_at": one.last_seen_at, "row_hash": b"%d" % one.version_id}
        key |= {"first_seen_at": one.updated_at}
        payload = {"version_id": one.version_id, "account_id": one.account_id, "state": one.state, "wa_id": one.digits}
        _insert(connection, "contact_version", [key])
        _insert(connection, "contact_payload", [payload | {"repaired": False, "payload": "{}"}])
        if one.is_newest:
            current = {"is_present": one.state == "present", "wa_id": one.digits}
            _insert(connection, "contact_current", [key | current])
    for one in numbers:
        known = {name: getattr(one, name) for name in ("sender", "wa_id", "status", "answered_at")}
        keys = {"number_key": one.digits, "wa_id_key": one.wa_id, "person_key": one.digits}
        known["identified_at"] = one.answered_at if one.wa_id else None
        _insert(connection, "number", [known | keys | {"number": f"+{one.digits}"}])
    for one in identities:
        known = one._asdict()
        keys = dict.fromkeys(("wa_id", "wa_id_key", "person_key"), known.pop("digits"))
        _insert(connection, "identity", [known | keys | {"detected_at": one.created_at}])


def _insert(connection, table, rows):
    for row in rows:
        given = {name: value for name, value in row.items() if value is not None}
        values = ", ".join(f":{name}" for name in given)
        connection.execute(text(f"INSERT INTO wacontacts_{table} ({', '.join(given)}) VALUES ({values})"), given)


def expected(contacts, numbers, identities):
    """The expected rows of the directory, by a plain implementation of the rules."""
    resolved = {}
    for one in sorted((n for n in numbers if n.wa_id), key=lambda n: (n.answered_at, n.wa_id)):
        resolved[one.digits] = one.wa_id
    under = defaultdict(lambda: ([], [], []))
    for place, kind in enumerate((contacts, numbers, identities)):
        for one in kind:
            if one.digits and getattr(one, "is_newest", True):
                key = resolved.get(one.digits, one.digits) if kind is numbers else one.digits
                under[key][place].append(one)
    return [
        (wa_id, *_contacts(found[0]), *_numbers(found[1]), _pending(found[2])) for wa_id, found in sorted(under.items())
    ]


def _contacts(found):
    by_source = {source: [c for c in found if ACCOUNTS[c.account_id][0] == source] for source in ("turn", "green_api")}
    best, held = {}, {}
    for source, own in by_source.items():
        own.sort(key=lambda c: (c.state == "present", c.updated_at, c.last_seen_at, b"%d" % c.version_id))
        best[source] = own[-1] if own else None
        held[source] = len({c.account_id for c in own if c.state == "present"})
    turn, green_api = best["turn"], best["green_api"]
    of_turn = (ACCOUNTS[turn.account_id][1], turn.contact_id) if turn else (None, None)
    of_green_api = (None, None, None)
    if green_api:
        of_green_api = (ACCOUNTS[green_api.account_id][1], green_api.contact_id, green_api.state)
    return (*of_turn, held["turn"], *of_green_api, held["green_api"], sum(held.values()))


def _numbers(found):
    if not found:
        return (None, None, 0, None)
    best = min(
        found, key=lambda n: (n.answered_at is None, -TIMES.index(n.answered_at or TIMES[0]), n.sender, n.digits)
    )
    return (best.sender, f"+{best.digits}", len({n.sender for n in found}), best.status)


def _pending(found):
    if not found:
        return None
    latest = {}
    for one in sorted((i for i in found if not i.superseded), key=lambda i: (i.created_at, i.hash)):
        latest[one.sender, one.digits] = one
    return any(not one.acknowledged for one in latest.values())


@pytest.mark.parametrize("seed", range(4))
def test_the_directory_equals_the_model_as_a_whole_and_for_each_person(store_engine, seed):
    context = Store(store_engine).context
    schema.prepare(context)
    chance = random.Random(seed)
    for _ in range(25):
        rows = made(chance)
        with store_engine.begin() as connection:
            write(connection, *rows)
            refresh_person_keys(Database(connection, context.tables), context.locks, numbers=DIGITS)
            query = f"SELECT {COLUMNS} FROM wacontacts_directory"
            found = [tuple(row) for row in connection.execute(text(f"{query} ORDER BY wa_id"))]
            one_by_one = [
                tuple(row)
                for digits in DIGITS
                for row in connection.execute(text(f"{query} WHERE person_key = :it"), {"it": digits})
            ]
        wanted = expected(*rows)
        assert [(*row[:-1], None if row[-1] is None else bool(row[-1])) for row in found] == wanted
        assert one_by_one == found
