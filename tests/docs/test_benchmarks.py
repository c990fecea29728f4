"""README's figures equal those of the benchmarks."""

import json

import pytest

from benchmarks.readme import BEGINS, ENDS, KEPT, put_into, section
from tests.docs.pages import ROOT


@pytest.fixture
def figures():
    return json.loads(KEPT.read_text())


def test_the_section_matches_the_stored_figures(figures):
    page = (ROOT / "README.md").read_text()

    assert page.partition(BEGINS)[2].partition(ENDS)[0] == section(figures)


def test_no_figure_is_outside_the_section():
    page = (ROOT / "README.md").read_text()

    outside = put_into(page, "")
    assert [word for word in ("CPU", " MB", "times as long", "requests a second") if word in outside] == []


def test_a_missing_figure_is_an_error(figures):
    del figures["landing"]

    with pytest.raises(KeyError, match="landing"):
        section(figures)


def test_a_figure_that_contradicts_the_text_is_refused(figures):
    figures["waiting"]["sensors"]["most_per_s"] = 21

    with pytest.raises(ValueError, match="the figures contradict README: sensors send at most 20 requests a second"):
        section(figures)
