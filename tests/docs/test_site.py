"""
The site in a browser: pages fit the window, pictures are large enough, and colors have contrast.

With ``SCREENSHOTS=DIRECTORY``, screenshots of the landing page are saved there.
"""

import os
import re
from pathlib import Path

import pytest

import airflow_provider_wacontacts
from tests.docs.pages import PAGES, ROOT

SCREENSHOTS = os.environ.get("SCREENSHOTS")
BUILT = [page.relative_to(ROOT / "docs").with_suffix(".html") for page in PAGES if page.name != "README.md"]
WIDTHS = {"wide": 1440, "tablet": 820, "narrow": 390}
#: Of Furo's own parts: a role of its captions.
FUROS = {"aria-required-attr"}
#: The size at which text of 12 pixels, the smallest of a picture, is shown.
SMALLEST = """images => images.map(image => 12 * image.getBoundingClientRect().width / image.naturalWidth)"""
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture
def open_page(site, browser):
    """Open pages in a window of some width, with a theme."""
    contexts = []

    def open_page(path, width, scheme="light"):
        contexts.append(browser.new_context(viewport={"width": WIDTHS[width], "height": 900}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.goto(f"{site}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("look", ["wide-light", "wide-dark", "narrow-light", "narrow-dark"])
def test_the_landing_page_is_accessible_in_every_theme_and_width(open_page, look):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page("index.html", *look.split("-"))
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"landing-{look}.png")

    serious = [each for each in axe.run(page).response["violations"] if each["impact"] in {"serious", "critical"}]
    assert {each["id"] for each in serious} - FUROS == set()
    assert min(page.eval_on_selector_all("article img", SMALLEST)) > 9


def test_no_page_is_wider_than_the_window(site, open_page):
    page = open_page("index.html", "wide")
    wide = []
    for path in BUILT:
        page.goto(f"{site}/{path}")
        for name, width in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": 900})
            wide += [(str(path), name)] if page.evaluate(TOO_WIDE) else []

    assert wide == []


def test_pictures_follow_the_chosen_theme(open_page):
    page = open_page("index.html", "wide")
    while page.evaluate("document.body.dataset.theme") != "dark":
        page.locator(".theme-toggle-content").first.click()

    assert page.evaluate("getComputedStyle(document.querySelector('article img')).colorScheme") == "dark"


def test_code_can_be_copied_and_the_version_is_shown(open_page):
    page = open_page("tutorials/getting_started.html", "wide")

    assert page.locator("button.copybtn").count() == page.locator("div.highlight > pre").count() > 0
    assert airflow_provider_wacontacts.__version__ in page.locator(".sidebar-brand").inner_text()


def test_an_unknown_page_is_404_with_working_links(open_page):
    page = open_page("404.html", "wide")

    assert page.locator("h1").inner_text() == "Page not found"
    assert all(
        re.match(r"/|#|https:", link)
        for link in page.eval_on_selector_all("a", "links => links.map(link => link.getAttribute('href'))")
    )
