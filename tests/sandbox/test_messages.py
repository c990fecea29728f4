"""Messages of the mock server of the WhatsApp Business API: which users can be messaged."""

import requests

from airflow_provider_wacontacts.sandbox import Sandbox

USER = "16315551000"
UNKNOWN = {"code": 1006, "title": "Resource not found", "details": "unknown contact"}


def send(sandbox, wa_id=USER):
    message = {"to": wa_id, "type": "text", "text": {"body": "hello"}}
    headers = {"Authorization": f"Bearer {sandbox.whatsapp.behaviour.token}"}
    return requests.post(f"{sandbox.url}/v1/messages", json=message, headers=headers, timeout=60)


def test_only_checked_contacts_and_those_who_wrote_first_can_be_messaged():
    with Sandbox() as sandbox:
        client = sandbox.whatsapp
        unknown = send(sandbox)
        client.check([f"+{USER}"])
        found = send(sandbox)
        client.forget(USER)
        forgotten = send(sandbox)
        client.receive(USER)
        wrote = send(sandbox)

        assert [response.status_code for response in (unknown, found, forgotten, wrote)] == [404, 200, 404, 200]
        assert unknown.json()["errors"] == forgotten.json()["errors"] == [UNKNOWN]
        assert [sorted(message) for message in found.json()["messages"]] == [["id"]]
        assert (client.sent, sandbox.requests.count("message")) == (2, 4)


def test_a_locked_sender_sends_nothing():
    with Sandbox() as sandbox:
        sandbox.whatsapp.receive(USER)
        sandbox.whatsapp.change(ban_ratio=0.0)
        sandbox.whatsapp.check(["+16315551004"])

        assert (send(sandbox).status_code, sandbox.whatsapp.sent) == (403, 0)
