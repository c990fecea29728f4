"""A tap of the Singer SDK; its messages go to a pipe's end that keeps nothing, so no target is in the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import JSONPathPaginator
from singer_sdk.streams.rest import HTTPRequest, PageContext

from benchmarks.contender import compete

PATH = "/v1/data/contacts/cursor"
BODY = {"from": "2026-01-05T00:00:00.000Z", "until": "2026-01-06T00:00:00.000Z"}


class ContactsStream(RESTStream[str]):
    name = "contacts"
    path = PATH
    primary_keys = ("uuid",)
    replication_key = "updated_at"
    is_sorted = True
    records_jsonpath = "$.data[*]"
    landed = 0
    schema = th.PropertiesList(
        th.Property("id", th.IntegerType),
        th.Property("uuid", th.StringType, required=True),
        th.Property("number_id", th.IntegerType),
        th.Property("inserted_at", th.DateTimeType),
        th.Property("updated_at", th.DateTimeType),
        th.Property("details", th.ObjectType(additional_properties=True)),
    ).to_dict()

    @property
    def url_base(self) -> str:
        return str(self.config["url"])

    @property
    def authenticator(self) -> BearerTokenAuthenticator:
        return BearerTokenAuthenticator(token="example-token")

    def get_new_paginator(self) -> JSONPathPaginator:
        return JSONPathPaginator("$.paging.next")

    def get_http_request(self, *, page: PageContext[str]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        request.url = f"{self.url_base}{PATH}/{page.next_page_token or self._first_cursor()}"
        return request

    def post_process(self, row: dict[str, Any], context: object = None) -> dict[str, Any]:  # noqa: ARG002
        ContactsStream.landed += 1
        return row

    def _first_cursor(self) -> str:
        answer = self.requests_session.post(self.url_base + PATH, json=BODY, timeout=60)
        return str(answer.json()["cursor"])


class ContactsTap(Tap):
    name = "tap-contacts"
    config_jsonschema = th.PropertiesList(th.Property("url", th.StringType, required=True)).to_dict()

    def discover_streams(self) -> list[ContactsStream]:
        return [ContactsStream(self)]


def pull(url: str, out: Path) -> None:  # noqa: ARG001
    ContactsStream.landed = 0
    ContactsTap(config={"url": url}).sync_all()


if __name__ == "__main__":
    compete(pull, lambda _: ContactsStream.landed)
