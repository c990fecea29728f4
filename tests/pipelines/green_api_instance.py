"""An instance of GREEN-API behind a connection that never fails, and its contacts."""

import json
from datetime import UTC, datetime, timedelta

from airflow_provider_wacontacts.clients import green_api
from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.pipelines.green_api_snapshot import SnapshotSpec
from airflow_provider_wacontacts.store import TaskInstanceKey

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
DAY = timedelta(days=1)
PULL = SnapshotSpec("main", TaskInstanceKey("contacts", "run", "take"), "0.1.0", max_rejected=1.0)
AUTHORIZED = {"stateInstance": "authorized", "historySyncProgress": 100}

ANN, BEN, CAT, DAN, GROUP = (
    {"id": "12015550101@c.us", "name": "Ann", "type": "user"},
    {"id": "12015550102@c.us", "name": "Ben", "type": "user"},
    {"id": "12015550103@c.us", "name": "Cat", "type": "user"},
    {"id": "100000000000001@lid", "name": "Dan", "type": "user"},
    {"id": "120363043968066561@g.us", "name": "Choir", "type": "group"},
)
ANNA = ANN | {"name": "Anna"}


class Instance:
    """An instance of GREEN-API that answers its methods as it was told, by an unfailing wire."""

    def __init__(self, contacts, *, at=MONDAY, settings=AUTHORIZED):
        self._answers = {"contacts": contacts, "settings": settings}
        self._headers = {} if at is None else {"date": at.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        self._instance = green_api.Instance("1101000001", "example-token")
        self.asked = []

    def get_wa_settings(self):
        return self._drive(green_api.get_wa_settings(self._instance), "settings")

    def get_contacts(self, *, group=None, count=None):
        return self._drive(green_api.get_contacts(self._instance, group=group, count=count), "contacts")

    def _drive(self, flow, what):
        self.asked.append(next(flow).path.partition("example-token")[2] or what)
        told = self._answers[what]
        answer = told if isinstance(told, Response) else Response(200, self._headers, json.dumps(told).encode())
        try:
            flow.send(answer)
        except StopIteration as stop:
            return stop.value
        raise AssertionError("a flow that asks twice")
