"""Finding one person: what a user typed, what the store has, and the entry in Airflow's audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from airflow_provider_wacontacts.identifiers.identifier import Identifier, InvalidIdentifierError, Kind
from airflow_provider_wacontacts.identifiers.reader import read_identifier
from airflow_provider_wacontacts.pipelines.store_status import read_store
from airflow_provider_wacontacts.plugin.access import Viewer
from airflow_provider_wacontacts.store import Store
from airflow_provider_wacontacts.store.database import Database
from airflow_provider_wacontacts.store.person_view import FoundPerson, read_person

__all__ = ["KINDS", "MAX_BODY", "find_person", "read_form", "write_audit_log"]

#: What a user may look for, as the form names it.
KINDS = {
    Kind.NUMBER: "Phone number",
    Kind.WA_ID: "WhatsApp ID",
    Kind.USER_ID: "User ID",
    Kind.LID: "LID",
    Kind.CONTACT: "Contact ID",
}
EVENT = "wacontacts_find_person"
#: Bytes of a posted form.
MAX_BODY = 4_096


def read_form(body: bytes) -> Identifier | str:
    """
    Read a posted form.

    :returns: the identifier, or why there is none, which does not contain the input.
    """
    form = {name: values[0].strip() for name, values in parse_qs(body.decode(errors="replace")).items()}
    kind = form.get("kind", "")
    if kind not in KINDS:
        return "Choose what to look for."
    try:
        return read_identifier(f"{kind}:{form.get('value', '')}")
    except InvalidIdentifierError as error:
        return f"This is not a valid {KINDS[Kind(kind)]}: {error.reason}."


def find_person(store: Store, identifier: Identifier) -> tuple[FoundPerson, datetime]:
    """Look for a person; return the result and its time."""

    def read(db: Database, now: datetime) -> tuple[FoundPerson, datetime]:
        return read_person(db, identifier), now

    return read_store(store, read)


def write_audit_log(viewer: Viewer, kind: Kind, found: Mapping[str, Any]) -> None:
    """
    Write to Airflow's audit log that a user has looked at a person.

    :param found: IDs of rows, without personal data.
    """
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    name = viewer.user.get_name()
    extra = json.dumps({"store_conn_id": viewer.store_conn_id, "kind": str(kind), **found})
    with create_session() as session:
        session.add(Log(event=EVENT, owner=name, owner_display_name=name, extra=extra))
