"""Searches of the site find the right page first or second, in a browser."""

from urllib.parse import quote

from docs.index_entries import INDEX

#: Searches whose page has no entry of its own for them.
MORE = {
    "how-to/queries": ["custom fields", "rejected rows"],
    "reference/metrics": ["metrics"],
    "concepts/history": ["deleted contacts"],
    "how-to/capacity": ["backup restore"],
}
FINISHED = "() => document.querySelector('#search-results p')?.textContent.startsWith('Search finished')"
LINKS = "links => links.map(link => link.getAttribute('href').split(/[?#]/)[0].replace('.html', ''))"


def test_a_search_finds_its_page_first_or_second(site, browser):
    page = browser.new_page()
    wrong = {}
    for wanted, searches in [*INDEX.items(), *MORE.items()]:
        for search in searches:
            page.goto(f"{site}/search.html?q={quote(search)}")
            page.wait_for_function(FINISHED)
            found = list(dict.fromkeys(page.eval_on_selector_all("#search-results li a", LINKS)))
            if wanted not in found[:2]:
                wrong[search] = found[:2]

    assert wrong == {}
    assert sum(map(len, INDEX.values())) + sum(map(len, MORE.values())) >= 34
