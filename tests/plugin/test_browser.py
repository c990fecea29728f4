"""The page in Chromium: within Airflow and separately, light and dark, wide and narrow, with and without scripts."""

import os
import re
from pathlib import Path

import pytest

VIEWS = {
    "overview": "",
    "coverage": "coverage",
    "two_years": "coverage?weeks=105",
    "hours": "coverage?account=1&day={day}",
    "extraction": "extractions/{extraction}",
    "checks": "checks",
    "check": "checks/{check}",
    "budget": "budget",
    "identities": "identities",
    "people": "people",
    "refusal": "nowhere",
}
LOOKS = {
    f"{name}-{theme}": (width, theme)
    for name, width in (("wide", 1400), ("narrow", 390))
    for theme in ("light", "dark")
}
#: Where screenshots are kept, if anywhere.
SCREENSHOTS = os.environ.get("SCREENSHOTS")


@pytest.fixture(params=LOOKS)
def look(request):
    return request.param


@pytest.fixture
def open_page(browser, server):
    """Open pages as a user; what they say on the console, and where they send requests, is kept."""
    contexts = []

    def open_page(look, user="admin", **options):
        width, scheme = LOOKS[look]
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        context.set_default_timeout(120_000)
        contexts.append(context)
        token = server.session(user).cookies["_token"]
        context.add_cookies([{"name": "_token", "value": token, "url": f"{server.url}/", "httpOnly": True}])
        page = context.new_page()
        page.said, page.requested = [], []
        page.on("console", lambda message: page.said.append((message.type, message.text)))
        page.on("pageerror", lambda error: page.said.append(("error", str(error))))
        page.on("request", lambda request: page.requested.append(request.url))
        return page

    yield open_page
    for context in contexts:
        context.close()


def path_of(view, seeds):
    return VIEWS[view].format(day=(seeds.now.date()), extraction=seeds.extraction_ids[-2], check=seeds.check_ids[5])


def visit(page, url):
    """Open a page; reload it if the machine was too busy for the store to answer in time, as the page asks to."""
    for _ in range(10):
        if page.goto(url).status != 503:
            return
        page.said.clear()


def keep(page, name):
    if SCREENSHOTS:
        for frame in page.frames:
            frame.evaluate("document.querySelector('.stores')?.remove()")
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def test_every_view_is_accessible_and_fits_every_window(open_page, server, seeds, look):
    """No error on the console, no request to another host, nothing wider than the window, nothing serious for axe."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_page(look)
    problems = []
    for view in VIEWS:
        visit(page, f"{server.page}/{path_of(view, seeds)}")
        if view == "people":
            page.select_option("#kind", "wa_id")
            page.fill("#value", seeds.changed_person.wa_id)
            page.click("button.main")
            page.wait_for_selector("h2")
        keep(page, f"{view}-{look}")
        too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        problems += [(view, "wider than the window")] * too_wide
        found = axe.run(page).response["violations"]
        problems += [
            (view, each["id"], each["nodes"][0]["html"][:200], each["nodes"][0].get("failureSummary", "")[:300])
            for each in found
            if each["impact"] in {"serious", "critical"}
        ]

    expected = [("error", "Failed to load resource: the server responded with a status of 404 (Not Found)")]
    assert problems == []
    assert [said for said in page.said if said[0] in {"error", "warning"}] == expected
    assert [url for url in page.requested if not url.startswith((server.server, "data:"))] == []


@pytest.mark.parametrize("look", ["wide-light", "wide-dark"])
def test_within_airflow_the_page_follows_its_theme_and_links_to_tasks(open_page, server, seeds, look):
    page = open_page(look)
    page.goto(server.url)
    page.evaluate("theme => localStorage.setItem('theme', theme)", look.removeprefix("wide-"))
    page.goto(f"{server.url}/plugin/wacontacts")
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="Needs attention").wait_for()
    keep(page, f"airflow-{look}")

    assert frame.locator("html").get_attribute("data-theme") == look.removeprefix("wide-")
    assert not frame.locator(".back").is_visible()
    frame.get_by_role("link", name="Coverage", exact=True).click()
    frame.get_by_role("heading", name="Coverage").wait_for()
    helpline = frame.get_by_role("link", name="helpline")
    account = re.search(r"account=\d+", helpline.get_attribute("href")).group()
    helpline.click()
    frame.locator(".chart").nth(1).wait_for(state="detached")  # the page of one account
    frame.locator(f".chart a[href*='{account}&']").last.click()
    frame.get_by_role("link", name="to_store").first.click()
    page.wait_for_url("**/some/path/dags/turn_contacts_daily/runs/**")


def test_the_page_is_in_airflows_navigation(open_page, server):
    page = open_page("wide-light")
    page.goto(server.url)
    page.get_by_role("button", name="Browse").click()
    page.get_by_text("WhatsApp contacts").click()

    page.frame_locator("iframe").get_by_role("heading", name="Overview").wait_for()


def test_the_calendar_is_navigable_by_keyboard(open_page, server):
    page = open_page("wide-light")
    visit(page, f"{server.page}/coverage?account=1")
    page.locator(".chart a").last.focus()
    today = page.locator(".said").inner_text()
    page.keyboard.press("ArrowLeft")
    week_before = page.locator(".said").inner_text()
    page.keyboard.press("ArrowUp")

    assert today != week_before != page.locator(".said").inner_text()
    assert today[:3] == week_before[:3], "the same day of the week"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Extractions of this week").wait_for()


def test_the_page_works_without_scripts(open_page, server, seeds):
    page = open_page("narrow-dark", java_script_enabled=False)
    visit(page, f"{server.page}/")
    page.get_by_role("link", name="Coverage", exact=True).click()
    page.get_by_role("link", name="helpline").click()
    page.locator(".chart a").last.click()

    assert page.get_by_role("heading", name="Extractions of this week").is_visible()
