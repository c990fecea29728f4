"""Tables for a terminal."""

from airflow_provider_wacontacts.cli.tables import table


def test_numbers_stand_to_the_right_and_words_to_the_left():
    assert table("Fruit", ["NAME", "PIECES"], [["apple", 12_000], ["fig", None]]).splitlines() == [
        "Fruit",
        "  NAME   PIECES",
        "  apple  12,000",
        "  fig         -",
    ]


def test_a_table_without_rows_is_left_out():
    assert table("Fruit", ["NAME"], []) == ""


def test_what_would_move_the_cursor_is_replaced():
    assert table("Fruit", ["NAME"], [["fig\x1b[2J\n"]]).splitlines()[-1] == "  fig\ufffd[2J\ufffd"
