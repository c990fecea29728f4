"""GREEN-API's own Python client, in a separate environment, against the mock server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_wacontacts.sandbox import ContactList, GreenApiBehaviour, Sandbox, World
from tests.packaging.installation import Installation

CLIENT = "whatsapp-api-client-python==0.0.55"
#: Positional arguments of a method, by its name in the client.
CALLS = """
import json, sys
from whatsapp_api_client_python.API import GreenAPI
url, instance, token, number, absent = sys.argv[1:]
api = GreenAPI(instance, token, host=url)
responses = {
    "getStateInstance": api.account.getStateInstance(),
    "getSettings": api.account.getSettings(),
    "getContacts": api.serviceMethods.getContacts(),
    "checkWhatsapp": api.serviceMethods.checkWhatsapp(int(number)),
    "absent": api.serviceMethods.checkWhatsapp(int(absent)),
}
print(json.dumps({name: [response.code, response.data] for name, response in responses.items()}))
"""
NUMBER, ABSENT = "12015550101", "12015550102"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    installation = Installation(tmp_path_factory.mktemp("vendor"))
    try:
        installation.install(CLIENT)
    except subprocess.CalledProcessError:
        pytest.skip(f"the package index does not offer {CLIENT} now, or cannot be reached")
    return installation


@pytest.fixture
def api() -> Iterator[Sandbox]:
    behaviour = GreenApiBehaviour(on_whatsapp=1.0)
    with Sandbox(World(), now=datetime.now(UTC), green_api=behaviour, contact_list=ContactList()) as sandbox:
        sandbox.green_api.put(f"{NUMBER}@c.us", name="Ann")
        sandbox.green_api.put_number(f"+{ABSENT}", exists=False)
        yield sandbox


@pytest.mark.parametrize("form", ["2023", "2026"])
def test_the_vendors_client_reads_every_response(client: Installation, api: Sandbox, form: str) -> None:
    api.green_api.change(check_form=form)
    account = api.green_api.behaviour

    written = client.run("python", "-c", CALLS, api.url, account.id_instance, account.token, NUMBER, ABSENT)

    read: dict[str, Any] = json.loads(written.splitlines()[-1])
    assert {name: code for name, (code, _) in read.items()} == dict.fromkeys(read, 200)
    assert read["getStateInstance"][1] == {"stateInstance": "authorized"}
    assert [contact["id"] for contact in read["getContacts"][1]] == [f"{NUMBER}@c.us"]
    assert (read["checkWhatsapp"][1]["existsWhatsapp"], read["absent"][1]["existsWhatsapp"]) == (True, False)
    assert read["getSettings"][1]["wid"].endswith("@c.us")
