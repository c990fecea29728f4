"""
A store with rows for all of the pages' queries.

The demo's week of Turn.io: each day is synced shortly after its end, except Thursday, which is missing, and Friday,
which is synced two hours late. Monday is synced again after the week, with one more contact. Also four snapshots of a
phone, of which the third is not accepted, checked numbers, and users with changed identities.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from airflow_provider_wacontacts.callbacks import record_callback
from airflow_provider_wacontacts.clients.rate_limiter import RateLimiters
from airflow_provider_wacontacts.hooks import green_api
from airflow_provider_wacontacts.operators.green_api import GreenApiContactsToSqlOperator
from airflow_provider_wacontacts.operators.turn import TurnContactsToSqlOperator
from airflow_provider_wacontacts.operators.whatsapp_business import WhatsAppCheckContactsOperator
from airflow_provider_wacontacts.sandbox import ContactList, Sandbox, WhatsAppBehaviour, World
from demo.week import Day, make_world

__all__ = ["AFTER", "BOB", "CHECKED", "FRIDAY", "SENDER", "THURSDAY", "PhoneDay", "fill", "late_after"]

Declare = Callable[..., None]

SENDER = "+12015550100"
AFTER = timedelta(minutes=15)
THURSDAY, FRIDAY = 3, 4
LATE = timedelta(hours=2)
BOB = "44623456700"
#: People of the week whom the sender asks about, and what is true of them.
CHECKED = {BOB: "valid", "447700900100": "invalid", "447700900101": "failed", "447700900102": "valid"}


def late_after(day: Day) -> timedelta:
    """Tell how long after a day's end it was pulled."""
    return LATE if day.number == FRIDAY else AFTER


class PhoneDay:
    """What the phone's snapshots are of, and when they were taken."""

    STARTS = datetime(2022, 9, 12, tzinfo=UTC)
    PEOPLE = tuple(f"4477009001{number:02}@c.us" for number in range(10))
    RENAMED, REMOVED, BACK = PEOPLE[:3]

    @classmethod
    def at(cls, number: int) -> datetime:
        return cls.STARTS + timedelta(days=number)


def fill(engine: Engine, fields: dict[str, Any]) -> World:
    """
    Fill a store by the operators themselves.

    :param fields: of the store's connection.
    :returns: what happened at Turn.io.
    """
    with pytest.MonkeyPatch.context() as patch:

        def declare(conn_id: str, **fields: Any) -> None:
            patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

        patch.setattr(green_api, "RATE_LIMITERS", RateLimiters(timedelta(0)))
        declare("wacontacts_store", **fields)
        world = _pull_the_week(declare)
        _take_snapshots(declare)
        _check_numbers(declare, engine)
    return world


def _context(run_id: str, start: datetime | None = None, end: datetime | None = None) -> Any:
    ti = SimpleNamespace(dag_id="contacts", run_id=run_id, task_id="pull", map_index=-1)
    run = SimpleNamespace(run_after=end or datetime.now(UTC))
    return {"ti": ti, "dag_run": run, "outlet_events": {}, "data_interval_start": start, "data_interval_end": end}


def _pull_the_week(declare: Declare) -> World:
    with Sandbox(make_world()) as turn:
        declare("turn_default", conn_type="turn", host=turn.url, password=turn.token)
        for day in Day.week():
            if day.number != THURSDAY:
                turn.clock.set(day.end + late_after(day))
                _pull(day)
        turn.world.upsert(None, {"name": "Passed Over"}, at=Day(0).start + timedelta(hours=12))
        turn.world.upsert(None, {"name": "Unreadable"}, at=Day(0).start, extra={"updated_at": "some day"})
        turn.clock.set(Day(6).end + timedelta(days=1))
        _pull(Day(0))
        return turn.world


def _pull(day: Day) -> None:
    pull = TurnContactsToSqlOperator(task_id="pull", max_rejected=1.0)
    pull.execute(_context(f"{day.date} {datetime.now(UTC)}", day.start, day.end))


def _take_snapshots(declare: Declare) -> None:
    with Sandbox(World(), now=PhoneDay.at(0), contact_list=ContactList()) as phone:
        own, account = phone.green_api.behaviour, phone.green_api
        fields = {"login": own.id_instance, "password": own.token}
        declare("green_api_default", conn_type="green_api", host=phone.url, **fields)
        for person in PhoneDay.PEOPLE:
            account.put(person, name=f"Person {person[9:12]}", contact_name=f"Contact {person[9:12]}")
        steps = (
            lambda: None,
            lambda: (account.rename(PhoneDay.RENAMED, name="Renamed"), account.remove(PhoneDay.BACK)),
            lambda: account.change(shown_share=0.3),
            lambda: (account.change(shown_share=1.0), account.put(PhoneDay.BACK), account.remove(PhoneDay.REMOVED)),
        )
        for number, happen in enumerate(steps):
            phone.clock.set(PhoneDay.at(number))
            happen()
            GreenApiContactsToSqlOperator(task_id="take").execute(_context(f"snapshot {number}"))


def _check_numbers(declare: Declare, engine: Engine) -> None:
    behaviour = WhatsAppBehaviour(sender=SENDER, auth="bearer", on_whatsapp=1.0, processing_share=0.0)
    with Sandbox(World(), now=datetime.now(UTC).replace(microsecond=0), whatsapp=behaviour) as client:
        extra = {"auth": "bearer", "sender": SENDER}
        fields = {"host": client.url, "password": behaviour.token, "extra": extra}
        declare("whatsapp_business_default", conn_type="whatsapp_business", **fields)
        for wa_id, status in CHECKED.items():
            client.whatsapp.put(f"+{wa_id}", status, wa_id=wa_id)
        given = [{"number": f"+{wa_id}", "contact_key": wa_id} for wa_id in CHECKED]
        check = WhatsAppCheckContactsOperator(task_id="check", contacts=[*given, {"number": "12"}])
        check.execute(_context("check"))
        for wa_id in ("447700900102", "447700900103"):
            client.whatsapp.change_identity(wa_id)
            record_callback(engine, SENDER, client.whatsapp.callbacks.log[-1].body)
