"""Runs of the DAG that takes snapshots of GREEN-API, and the directory in which all three systems meet."""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow_provider_wacontacts.sandbox import ContactList, Sandbox, seeded_contact_list
from demo.crm import Crm
from demo.deployment import AirflowDeployment
from demo.failures import last_words
from demo.landed import query
from demo.output import STORE
from demo.report import NotKeptError
from demo.running import DeploymentError
from demo.tables import Progress, heading, mask, table

__all__ = ["SNAPSHOT", "Taken", "address_book", "connection_to", "edit", "print_directory", "print_snapshots", "take"]

SNAPSHOT = "green_api_snapshot"
CONTACTS = 200
CUSTOMERS, RENAMED, REMOVED = 6, 3, 4
PAGE = """
    SELECT wa_id, turn_account, turn_updated_at, green_api_contact_name, green_api_state, status, checked_at, accounts
    FROM wacontacts_directory
    WHERE (turn_account IS NOT NULL) + (green_api_account IS NOT NULL) + (status IS NOT NULL) > 1
    ORDER BY wa_id LIMIT 10
"""


class Taken(NamedTuple):
    """
    A snapshot, and who was in the list when it was taken.

    :param summary: what the task returned.
    :param ids: of the contacts that the account had.
    """

    day: str
    summary: dict[str, Any]
    ids: frozenset[str]


def address_book() -> ContactList:
    """Make the contacts of a phone: some of them are Turn.io's, too."""
    return seeded_contact_list(0, contacts=CONTACTS, days=0)


def connection_to(phone: Sandbox) -> dict[str, Any]:
    """Return the Airflow connection that leads to the phone's instance."""
    behaviour = phone.green_api.behaviour
    return {"conn_type": "green_api", "host": phone.url, "login": behaviour.id_instance, "password": behaviour.token}


def edit(phone: Sandbox, crm: Crm) -> None:
    """Let the phone's owner be busy: contacts of the CRM are added, some are renamed, and others deleted."""
    account = phone.green_api
    people = [str(row["id"]) for row in account.rows() if str(row["id"]).endswith("@c.us")]
    for chat_id in people[:RENAMED]:
        account.rename(chat_id, contact_name="Renamed Since")
    for chat_id in people[RENAMED : RENAMED + REMOVED]:
        account.remove(chat_id)
    known = [wa_id for number in crm.numbers if (wa_id := phone.whatsapp.truth(number).wa_id)]
    for wa_id in sorted(known)[:CUSTOMERS]:
        account.put(f"{wa_id}@c.us", name="Quillimar", contact_name="A Customer")


def take(airflow: AirflowDeployment, progress: Progress, phone: Sandbox) -> Taken:
    """
    Trigger the DAG and wait until its run is over.

    :raises DeploymentError: a task failed.
    """
    ids = frozenset(str(row["id"]) for row in phone.green_api.rows())
    run_id = airflow.trigger(SNAPSHOT)
    progress.say(f"airflow dags trigger {SNAPSHOT}")

    def look(_: dict[str, str]) -> None:
        if words := last_words(airflow, SNAPSHOT):
            raise DeploymentError(words)

    airflow.wait_for_runs(SNAPSHOT, [run_id], seen=look)
    summary = airflow.xcom(SNAPSHOT, run_id, "to_store")
    progress.say(f"to_store: {summary['rows']} contacts, {summary['new_versions']} new versions")
    return Taken(f"{phone.clock.now():%d %b}", summary, ids)


def print_snapshots(taken: list[Taken]) -> None:
    """
    Print what the snapshots brought, compared with what was in the list.

    :raises NotKeptError: the store holds somebody else, or somebody is gone who is not.
    """
    print(heading("The contacts of a phone, by GREEN-API"))
    members = {
        "contacts in the snapshot": "rows",
        "new versions": "new_versions",
        "of them gone": "gone",
        "of them back": "back",
    }
    rows: list[list[object]] = [[text, *(one.summary[name] for one in taken)] for text, name in members.items()]
    print(table(["", *(f"snapshot, {one.day}" for one in taken)], rows))
    sql = "SELECT contact_id, state FROM wacontacts_current WHERE source = 'green_api'"
    states = {str(contact_id): state for contact_id, state in query(STORE, sql)[1]}
    there = {contact_id for contact_id, state in states.items() if state == "present"}
    if there != taken[-1].ids or states.keys() != taken[0].ids | taken[-1].ids:
        raise NotKeptError("the store does not hold whom the phone's list held, or holds somebody else")
    if taken[-1].summary["gone"] != len(taken[0].ids - taken[-1].ids):
        raise NotKeptError("not all are gone who were deleted, or somebody is who was not")


def print_directory() -> None:
    """Print a page of those whom more than one system knows."""
    print(heading("The directory: who is known to more than one of them, masked"))
    rows = [
        [
            mask(f"+{wa_id}"),
            str(updated_at or "")[:10],
            _masked(contact_name),
            state or "",
            status or "",
            str(checked_at or "")[:10],
            accounts,
        ]
        for wa_id, _, updated_at, contact_name, state, status, checked_at, accounts in query(STORE, PAGE)[1]
    ]
    if not rows:
        raise NotKeptError("nobody is known to more than one system")
    print(table(["WhatsApp id", "Turn.io", "in the phone as", "", "WhatsApp", "checked", "accounts"], rows))


def _masked(name: str | None) -> str:
    return " ".join(f"{word[0]}{'•' * (len(word) - 1)}" for word in (name or "").split())
