"""Searching unparsed text for mentions of identifiers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wacontacts.identifiers import mentions
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.identifiers.mentions import Mentions, UnsearchableError, find_identifiers
from airflow_provider_wacontacts.identifiers.pseudonyms import pseudonymize
from airflow_provider_wacontacts.identifiers.suppression import SuppressionKey, SuppressionList

BOB = "44623456700"
IDENTIFIERS = [
    Identifier(Kind.WA_ID, BOB),
    Identifier(Kind.LID, "120650379300963@lid"),
    Identifier(Kind.USER_ID, "US.13491208655302741918"),
    Identifier(Kind.GROUP, f"{BOB}-1479621234@g.us"),
    Identifier(Kind.WA_ID, pseudonymize(Identifier(Kind.WA_ID, BOB), b"example-secret-of-sixteen-bytes")),
]
KEY = SuppressionKey(b"example-key")


def mentions_bob(text):
    return Mentions([Identifier(Kind.NUMBER, f"+{BOB}")]).found_in(text)


@pytest.mark.parametrize(
    ("text", "is_mentioned"),
    [
        (f'{{"id": {BOB}}}', True),
        (f"00{BOB}123", True),
        ("44-6234/567.00", True),
        ("+44 (0) 6234 567 00", True),
        ("44,623456700", False),
        ("4462345670", False),
        ("06234 56700", False),
        ("44    623456700", False),
        (r"\u0034\u0034623456700", True),
        ("\u202a+44\u00a06234\u00a056700\u202c", True),
        ("٤٤٦٢٣٤٥٦٧٠٠", True),
        (f"{BOB}-1479621234@g.us", True),
        (f"{BOB}:12@s.whatsapp.net", True),
        ("", False),
    ],
)
def test_a_number_is_mentioned_in_any_spelling(text, is_mentioned):
    assert mentions_bob(text) is is_mentioned
    assert mentions_bob(text.encode()) is is_mentioned


def test_a_number_is_mentioned_in_invalid_utf_8():
    assert mentions_bob(b"\xff\xfe" + BOB.encode() + b"\x80")


@pytest.mark.parametrize(
    ("text", "kind", "is_mentioned"),
    [
        ('"120650379300963@lid"', Kind.LID, True),
        ("120650379300963:2@hosted.lid", Kind.LID, True),
        ("1120650379300963@lid", Kind.LID, False),
        ("120650379300963", Kind.LID, False),
        ('{"user_id":"US.13491208655302741918"}', Kind.USER_ID, True),
        ("US.134912086553027419180", Kind.USER_ID, False),
        ("13491208655302741918", Kind.USER_ID, False),
        (f"<{BOB}-1479621234@g.us>", Kind.GROUP, True),
    ],
)
def test_identifiers_of_other_kinds_are_mentioned_as_a_whole(text, kind, is_mentioned):
    wanted = next(identifier for identifier in IDENTIFIERS if identifier.kind is kind)
    assert Mentions([wanted]).found_in(text) is is_mentioned


PIECES = st.sampled_from(
    [
        *(identifier.value for identifier in IDENTIFIERS),
        *(BOB, BOB[:5], BOB[5:], "٤٤٦٢٣٤٥٦٧٠٠", "(0)", r"\u0034", "@lid", "@g.us", "US.", "é", '"', ",", " ", "-", "+"),
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=12).map("".join)


@given(text=TEXTS, wanted=st.sets(st.sampled_from(IDENTIFIERS), min_size=1))
def test_a_search_by_values_equals_a_search_by_hashes(text, wanted):
    by_hashes = SuppressionList({KEY: [KEY.hash(identifier) for identifier in wanted]})
    assert Mentions(wanted).found_in(text) is by_hashes.found_in(text)
    data = text.encode(errors="surrogatepass")
    assert Mentions(wanted).found_in(data) is by_hashes.found_in(data)


@pytest.mark.parametrize("text", ["7" * 100_000, "7-" * 100_000, "(0)7" * 50_000, "1234567 , " * 20_000])
def test_a_text_with_too_many_digits_is_not_searched_and_counts_as_a_mention(text, monkeypatch):
    searched = []
    numbers_in = mentions._numbers_in
    monkeypatch.setattr(mentions, "_numbers_in", lambda digits: searched.append(len(digits)) or numbers_in(digits))
    with pytest.raises(UnsearchableError):
        list(find_identifiers(text))
    assert sum(searched) <= 2 * mentions.MAX_SEARCHED_DIGITS
    assert mentions_bob(text)
    assert SuppressionList({KEY: [KEY.hash(IDENTIFIERS[0])]}).found_in(text)
