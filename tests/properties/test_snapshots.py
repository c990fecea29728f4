"""
The history of random snapshots equals a model in plain Python that applies them in order.

Snapshots are loaded early or late, complete or truncated, by concurrent workers and by attempts that fail.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import combinations, count, pairwise, takewhile
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from airflow_provider_wacontacts.exceptions import LandingError
from airflow_provider_wacontacts.records.json import canonical
from airflow_provider_wacontacts.records.record import Record, row_hash
from airflow_provider_wacontacts.store import ShrinkGuard, Store, TaskInstanceKey, snapshots

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
NUMBERS = count(1)
GROUPS = ["1-1@g.us", "2@g.us"]
OTHERS = ["11001234567@c.us", "79001234568@c.us", "1@lid", "null@c.us"]
IDS = [*GROUPS, *OTHERS, "a-pseudonym"]
TYPES = {None: {"group", "other"}, True: {"group"}, False: {"other"}}


class Snap(NamedTuple):
    """An answer, what was asked, and what becomes of the tries at landing it."""

    hour: int
    rows: tuple[tuple[str, str], ...]
    group: bool | None = None
    is_cut: bool = False
    is_synchronised: bool | None = None
    guard: ShrinkGuard = ShrinkGuard()
    dies_after: int | None = None

    @property
    def moment(self):
        return MONDAY + timedelta(hours=self.hour)


# Few ids and names, so that contacts change, go and come back. Most answers hold nearly everybody, or a certain half.
NAMES = st.lists(st.sampled_from("AAAAAAAB"), min_size=len(IDS), max_size=len(IDS))
NEARLY_ALL = st.sampled_from([IDS, *([one for one in IDS if one != left_out] for left_out in IDS)])
HALF = st.just(IDS[1:5])
WHO = [*[NEARLY_ALL] * 5, *[HALF] * 3, st.lists(st.sampled_from(IDS), max_size=9)]
GUARDS = st.builds(
    ShrinkGuard, st.sampled_from([0, 0.3, 0.5, 1]), st.integers(1, 3), st.booleans(), st.sampled_from([0, 0.5, 0.8, 1])
)
ODDITIES = [
    *[st.just({})] * 8,
    *[st.just({"group": True}), st.just({"group": False})] * 2,
    st.just({"is_cut": True}),
    st.builds(dict, is_synchronised=st.booleans()),
    *[st.builds(dict, guard=GUARDS)] * 2,
    st.builds(dict, group=st.booleans(), guard=GUARDS),
    st.builds(dict, dies_after=st.integers(0, 4)),
]


@st.composite
def answers(draw):
    who, oddity = draw(st.sampled_from(WHO)), draw(st.sampled_from(ODDITIES))
    return Snap(0, tuple(zip(draw(who), draw(NAMES) * 2, strict=False)), **draw(oddity))


STEPS = st.sampled_from([1, 1, 1, 1, 1, 1, 2, 0, -1, -3])


@st.composite
def sequences(draw, steps=STEPS, max_size=16):
    hour, out = 10, []
    for snap in draw(st.lists(answers(), max_size=max_size)):
        hour += draw(steps)
        out.append(snap._replace(hour=hour))
    return out


def record(contact_id, name):
    payload = canonical(json.dumps({"id": contact_id, "name": name}).encode())
    wa_id = contact_id.removesuffix("@c.us") if contact_id[0].isdigit() and contact_id.endswith("@c.us") else None
    return Record(contact_id, MONDAY, row_hash(payload), payload, wa_id)


def type_of(contact_id):
    return "group" if contact_id.endswith("@g.us") else "other"


class Model:
    """An account's snapshots in the order in which they land."""

    def __init__(self):
        self.versions = {}
        self.landed = []

    def land(self, snap):
        """Return what comes of it: state, reason, new versions, gone, back."""
        types, moment = TYPES[snap.group], snap.moment
        if any(moment < other["moment"] for other in self.landed if types & other["size"].keys()):
            return "refused", "older", 0, 0, 0
        new = back = 0
        for contact_id, name in snap.rows:
            last = self._last(contact_id)
            if last is not None and last["seen"][1] >= moment:
                continue
            if last is not None and (last["state"], last["name"]) == ("present", name):
                last["seen"] = (last["seen"][0], moment)
                continue
            back += last is not None and last["state"] == "gone"
            new += 1
            self._add(contact_id, "present", name, moment)
        size = dict.fromkeys(types, 0)
        for contact_id in self.versions:
            last = self._last(contact_id)
            if last["seen"][1] == moment and last["state"] == "present" and type_of(contact_id) in types:
                size[type_of(contact_id)] += 1
        reason = self._lacks(snap, size)
        gone = 0 if reason else self._leave(snap.group, moment)
        self.landed.append({"moment": moment, "size": size, "reason": reason})
        return "incomplete" if reason else "complete", reason, new + gone, gone, back

    def dump(self, account):
        versions = [
            self._row(account, contact_id, version)
            for contact_id, versions in sorted(self.versions.items())
            for version in versions
        ]
        ends = {
            (contact_id, one["at"]): after["at"]
            for contact_id, versions in self.versions.items()
            for one, after in pairwise(versions)
        }
        history = [
            row | {"valid_from": row["updated_at"], "valid_to": ends.get((row["contact_id"], row["updated_at"]))}
            for row in versions
        ]
        current = [row for row, lasts in zip(versions, history, strict=True) if lasts["valid_to"] is None]
        return {"version": versions, "current": current, "history": history}

    def _lacks(self, snap, size):
        total = sum(size.values()) if snap.rows else 0
        if total == 0:
            return "empty"
        if snap.is_cut:
            return "cut"
        if snap.is_synchronised is False:
            return "unsynchronised"
        measures = [self._last_complete(kind) for kind in size]
        measure = sum(one["size"][kind] for kind, one in zip(size, measures, strict=True) if one)
        doubt = None
        if total < snap.guard.share * measure:
            doubt = "shrunken"
        elif self._kept(snap.moment, dict(zip(size, measures, strict=True))) < snap.guard.min_overlap * measure:
            doubt = "different"
        if snap.guard.accepted or doubt is None:
            return None
        return None if self._row_of(snap, size, total) >= snap.guard.confirmations else doubt

    def _last_complete(self, kind):
        complete = [one for one in self.landed if one["reason"] is None and kind in one["size"]]
        # Nothing older than what has landed is accepted, so the last to land is the newest.
        return complete[-1] if complete else None

    def _kept(self, moment, measures):
        """Count the contacts that are here now and were there when the last complete one of their type was taken."""

        def was_there(contact_id):
            last = measures.get(type_of(contact_id))
            return last and any(
                one["state"] == "present" and one["seen"][0] <= last["moment"] <= one["seen"][1]
                for one in self.versions[contact_id]
            )

        here = [one for one in self.versions if self._last(one)["seen"][1] == moment]
        return sum(1 for one in here if self._last(one)["state"] == "present" and was_there(one))

    def _row_of(self, snap, size, total):
        """Count the like-sized ones in a row, this one included; the same one again is one."""
        row = {
            (one["moment"], one["reason"] or "", one["size"].get("group"), one["size"].get("other"))
            for one in self.landed
            if one["moment"] < snap.moment and one["reason"] != "cut" and one["size"].keys() == size.keys()
        }

        def confirms(fact):
            smaller, larger = sorted((total, (fact[2] or 0) + (fact[3] or 0)))
            return fact[1] in {"shrunken", "different"} and smaller >= snap.guard.share * larger

        newest_first = sorted(sorted(row, key=lambda fact: fact[1:]), key=lambda fact: fact[0], reverse=True)
        return 1 + len(list(takewhile(confirms, newest_first)))

    def _leave(self, group, moment):
        kinds = TYPES[group]
        missing = [
            contact_id
            for contact_id in self.versions
            if (group is None or (type_of(contact_id) in kinds and "@" in contact_id))
            and self._last(contact_id)["state"] == "present"
            and self._last(contact_id)["seen"][1] < moment
        ]
        for contact_id in missing:
            self._add(contact_id, "gone", self._last(contact_id)["name"], moment)
        return len(missing)

    def _last(self, contact_id):
        return self.versions[contact_id][-1] if contact_id in self.versions else None

    def _add(self, contact_id, state, name, moment):
        version = {"state": state, "name": name, "at": moment, "seen": (moment, moment)}
        self.versions.setdefault(contact_id, []).append(version)

    @staticmethod
    def _row(account, contact_id, version):
        one = record(contact_id, version["name"])
        return {
            "source": "green_api",
            "account": account,
            "contact_id": contact_id,
            "updated_at": version["at"],
            "row_hash": one.row_hash,
            "state": version["state"],
            "first_seen_at": version["seen"][0],
            "last_seen_at": version["seen"][1],
            "wa_id": one.wa_id,
            "repaired": False,
            "payload": json.loads(one.payload),
        }


class Target:
    """A store that is used again and again, each time for an account that nobody used before."""

    def __init__(self, engine, dump):
        self.engine = engine
        self.store = Store(engine)
        self.store.prepare()
        self._dump = dump

    def land(self, account, snap):
        """Land a snapshot, in a second try where the first one dies; the first one is a zombie then."""
        run = f"run {next(NUMBERS)}"
        begun = self._begin(account, snap, run)
        if snap.dies_after is None:
            return self._brought(self._land(begun, lambda: (record(*row) for row in snap.rows), snap), snap)
        try:
            return self._brought(self._land(begun, lambda: dying(snap), snap), snap)
        except MemoryError:
            retry = self._begin(account, snap, run)
        with pytest.raises(LandingError):
            self._land(begun, lambda: [record("zombie@c.us", "Z")], snap)
        return self._brought(self._land(retry, lambda: (record(*row) for row in snap.rows), snap), snap)

    def dump(self, account):
        return self._dump(self.engine, account)

    def _begin(self, account, snap, run):
        return self.store.begin_snapshot(
            source="green_api",
            account=account,
            group=snap.group,
            task=TaskInstanceKey("dag", run, "task"),
            options_digest=str(snap.group),
            package_version="1.2.3",
        )

    @staticmethod
    def _brought(done, snap):
        assert done.rows == (0 if done.state == "refused" else len(snap.rows))
        return done.state, done.reason, done.new_versions, done.gone, done.back

    @staticmethod
    def _land(begun, records, snap):
        return begun.write(
            records,
            extracted_at=snap.moment,
            size=1,
            is_cut=snap.is_cut,
            is_synchronised=snap.is_synchronised,
            guard=snap.guard,
        )


def dying(snap):
    yield from (record(contact_id, f"{name} of the dead") for contact_id, name in snap.rows[: snap.dies_after])
    raise MemoryError


@pytest.fixture
def sqlite(sqlite_url, dump_store, monkeypatch):
    monkeypatch.setattr(snapshots, "BATCH_ROWS", 2)
    engine = create_engine(sqlite_url)
    yield Target(engine, dump_store)
    engine.dispose()


@pytest.fixture
def postgresql(postgres_url, dump_store, monkeypatch):
    monkeypatch.setattr(snapshots, "BATCH_ROWS", 2)
    engine = create_engine(postgres_url)
    yield Target(engine, dump_store)
    engine.dispose()


def examples(number):
    return settings(max_examples=number)


def check(target, snaps):
    account, model = f"account {next(NUMBERS)}", Model()
    for snap in snaps:
        assert target.land(account, snap) == model.land(snap)
    assert target.dump(account) == model.dump(account)


def check_again(target, snaps, again):
    account = f"account {next(NUMBERS)}"
    for snap in snaps:
        target.land(account, snap)
    before = target.dump(account)
    for snap in again:
        target.land(account, snap)
    assert target.dump(account) == before


def check_at_once(target, first, second):
    """Let two workers land, each its own snapshots in order: it is as if they had taken turns, somehow."""
    account = f"account {next(NUMBERS)}"
    with ThreadPoolExecutor(2) as workers:
        done = [workers.submit(lambda s=snaps: [target.land(account, one) for one in s]) for snaps in (first, second)]
    found = [one.result() for one in done], target.dump(account)

    assert found in [as_turns(account, first, second, turns) for turns in all_turns(first, second)]


def all_turns(first, second):
    total = len(first) + len(second)
    return ([n in chosen for n in range(total)] for chosen in combinations(range(total), len(first)))


def as_turns(account, first, second, turns):
    model, left, done = Model(), (iter(second), iter(first)), ([], [])
    for is_first in turns:
        done[is_first].append(model.land(next(left[is_first])))
    return [done[1], done[0]], model.dump(account)


SOME = tuple((one, "A") for one in IDS[:3])
ALL = tuple((one, "A") for one in IDS)
#: As large as before, with none of the groups that were there.
OTHER_GROUPS = [Snap(0, ALL[1:], group=True), Snap(1, ALL[:1] + ALL[2:]), Snap(2, ALL)]
CONFIRMED = [Snap(0, ALL), Snap(1, SOME), Snap(2, SOME), Snap(2, SOME), Snap(1, ALL), Snap(3, SOME), Snap(4, ALL)]


@example(snaps=OTHER_GROUPS)
@example(snaps=CONFIRMED)
@examples(60)
@given(snaps=sequences())
def test_the_sqlite_history_equals_the_model(sqlite, snaps):
    check(sqlite, snaps)


@example(snaps=OTHER_GROUPS)
@example(snaps=CONFIRMED)
@examples(30)
@given(snaps=sequences())
def test_the_postgresql_history_equals_the_model(postgresql, snaps):
    check(postgresql, snaps)


@examples(15)
@given(snaps=sequences(st.integers(1, 3), 6), data=st.data())
def test_loading_all_snapshots_again_in_any_order_changes_nothing(sqlite, postgresql, snaps, data):
    again = data.draw(st.permutations(snaps))
    for target in (sqlite, postgresql):
        check_again(target, snaps, again)


@examples(20)
@given(snaps=sequences(st.integers(1, 3), 6), data=st.data())
def test_concurrent_workers_take_turns(sqlite, postgresql, snaps, data):
    is_firsts = data.draw(st.lists(st.booleans(), min_size=len(snaps), max_size=len(snaps)))
    shares = [[one for one, mine in zip(snaps, is_firsts, strict=True) if mine is whose] for whose in (True, False)]
    for target in (sqlite, postgresql):
        check_at_once(target, *shares)
