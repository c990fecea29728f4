"""What a server says is quoted only as far as it is plain words."""

from __future__ import annotations

import pytest

from airflow_provider_wacontacts.protocol.redaction import server_title


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (
            b'{"errors":[{"code":429,"title":"Rate limit hit for bucket text","details":"x"}]}',
            "Rate limit hit for bucket text",
        ),
        (b'{"errors":[{"title":"No contact 44623456700 here"}]}', "No contact here"),
        (b'{"errors":[{"title":"Token eyJhbGciOi.J9_x-1 refused"}]}', "Token . refused"),
        (b'{"errors":[]}', ""),
        (b"<html>502</html>", ""),
        (b"\xff", ""),
        (b'{"errors":"text"}', ""),
    ],
)
def test_only_plain_words_of_the_title_are_quoted(body: bytes, title: str) -> None:
    assert server_title(body) == title
