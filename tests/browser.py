"""Debian's Chromium, for tests of pages."""

import shutil

import pytest

__all__ = ["browser"]

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium. Playwright's event loop, in which no other can run, ends with it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
