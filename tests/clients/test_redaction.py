"""What a server says is quoted only where every word of it is a word of APIs."""

from __future__ import annotations

import json

import pytest

from airflow_provider_wacontacts.clients.redaction import server_title


@pytest.mark.parametrize(
    "title",
    ["Rate limit hit for bucket text", "Cursor has expired", "Unsupported option: page_size", "Not Found"],
)
def test_a_title_of_api_words_is_quoted(title: str) -> None:
    assert server_title(json.dumps({"errors": [{"code": 429, "title": title, "details": "x"}]}).encode()) == title


@pytest.mark.parametrize(
    "title",
    ["No contact 44623456700 here", "Contact bob not found", "Token eyJhbGciOi.J9_x-1 refused", "", "é", "a" * 121],
)
def test_a_title_with_anything_else_in_it_is_not(title: str) -> None:
    assert server_title(json.dumps({"errors": [{"title": title}]}).encode()) == ""


@pytest.mark.parametrize("body", [b'{"errors":[]}', b"<html>502</html>", b"\xff", b'{"errors":"text"}', b"", b"[]"])
def test_a_body_without_a_title_has_none(body: bytes) -> None:
    assert server_title(body) == ""
