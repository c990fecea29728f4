from pathlib import Path

import pytest
from upath import UPath

from airflow_provider_wacontacts.files.layout import path_segment, safe_uri


def test_plain_names_are_not_encoded():
    assert path_segment("account", "Main_line-2.eu") == "Main_line-2.eu"


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a/b", "a%2Fb"),
        ("../../etc", "..%2F..%2Fetc"),
        ("a\\b", "a%5Cb"),
        ("~root", "%7Eroot"),
        ("100%", "100%25"),
        ("a b*?[c]", "a%20b%2A%3F%5Bc%5D"),
        ("Zürich", "Z%C3%BCrich"),
        ("a\nb\0", "a%0Ab%00"),
        ("...", "..."),
    ],
)
def test_everything_else_is_percent_encoded(value, encoded):
    assert path_segment("account", value) == encoded


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (Path("/data/100%"), "file:///data/100%"),
        (UPath("file:///data/x"), "file:///data/x"),
        (UPath("memory://data/x"), "memory://data/x"),
    ],
)
def test_a_path_has_a_uri(path, named):
    assert safe_uri(path) == named


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ftp://somebody:example-pseudonym-secret@host/a@b", "ftp://host/a@b"),
        ("s3://lake_keys@lake/a", "s3://lake_keys@lake/a"),
        ("s3://lake", "s3://lake"),
    ],
)
def test_a_uri_contains_the_connection_and_no_password(text, named):
    class Remote:
        def __str__(self):
            return text

    assert safe_uri(Remote()) == named
