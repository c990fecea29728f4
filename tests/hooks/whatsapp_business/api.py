"""The WhatsApp Business API's responses in these tests, and the processes that request them."""

import asyncio
import json

from airflow_provider_wacontacts.clients.retry import Clock
from airflow_provider_wacontacts.clients.whatsapp_business import check_contacts
from airflow_provider_wacontacts.clients.whatsapp_business_responses import ContactResult
from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
from airflow_provider_wacontacts.hooks.whatsapp_business_shared import AsyncWhatsAppNumberClient
from tests.clients.wire import Answer

LOGIN = ("POST", "/v1/users/login")
CHECK = ("POST", "/v1/contacts")
IDENTITY = "/v1/contacts/16315551000/identity"
NUMBER = "+16315551000"
DENIED = Answer(401, b'{"errors": [{"code": 1005, "title": "Access denied", "details": "Invalid credentials."}]}')
KNOWN = Answer(
    body=b'{"contacts": {"hash": "UKD6Y/5SqDU=", "created_timestamp": 1600132094000, "acknowledged": false}}'
)
VALID = {NUMBER: ContactResult(NUMBER, "valid", "16315551000")}
DAY = 86_400


def granted(token="example-token", expires_after="2022-09-21 12:00:00+00:00"):
    return Answer(body=json.dumps({"users": [{"token": token, "expires_after": expires_after}]}).encode())


def checked(*numbers):
    entries = [{"input": number, "status": "valid", "wa_id": number.strip("+")} for number in numbers or [NUMBER]]
    return Answer(body=json.dumps({"contacts": entries, "meta": {"version": "v2.41.2"}}).encode())


def failed(status, code, **headers):
    return Answer(status, json.dumps({"errors": [{"code": code, "title": "Some title"}]}).encode(), headers)


def check(api, *numbers, **options):
    inputs = list(numbers) or [NUMBER]
    if isinstance(api, WhatsAppBusinessHook):
        return api.check_contacts(inputs, **options)
    return api.run_flow(check_contacts(inputs, **options)) if options else api.check_numbers(inputs)


def fixed(connect, wire, auth, password="example-token", **fields):
    extra = {"auth": auth} | fields.pop("extra", {})
    fields = {"host": wire.url, "password": password, "extra": extra} | fields
    connect("whatsapp_business_default", conn_type="whatsapp_business", **fields)


def logging_in(connect, wire, password="pass word"):
    connect("whatsapp_business_default", conn_type="whatsapp_business", host=wire.url, login="user", password=password)


class Worker:
    """Does one thing after another with a hook."""

    def __init__(self, clock):
        self.clock = clock

    def do(self, *things, policy=None):
        hook = WhatsAppBusinessHook(policy=policy, clock=self.clock)
        return [thing(hook) for thing in things]

    @staticmethod
    def meanwhile(action):
        """Something to do between two requests."""
        return lambda api: action()


class Triggerer:
    """Does the same on an event loop."""

    def __init__(self, clock):
        self.clock = Clock(sleep=self.sleep, monotonic=clock.monotonic, now=clock.now)
        self.stopped = clock

    async def sleep(self, seconds):
        self.stopped.sleep(seconds)

    def do(self, *things, policy=None):
        async def all_of_them():
            async with AsyncWhatsAppNumberClient(
                "whatsapp_business_default", policy=policy, clock=self.clock
            ) as contacts:
                return [await thing(contacts) for thing in things]

        return asyncio.run(all_of_them())

    @staticmethod
    def meanwhile(action):
        async def thing(api):
            action()

        return thing


def paths(wire):
    return [(asked.method, asked.path) for asked in wire.asked]


def sent(wire, header="authorization"):
    return [asked.headers.get(header) for asked in wire.asked]
