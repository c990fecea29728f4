"""README and the pages are in plain English, and their links work on GitHub and on the site."""

import ast
import re
from collections import Counter

import pytest

from docs.images.draw import SOURCES, picture_of
from tests.docs.pages import PAGES, ROOT

#: Phrases that a reader would not search for, or would stumble over, and what to write instead. `make lint` reads
#: a list of words, `docs/words.txt`.
INSTEAD = {
    r"(?<!nothing )(?<!everything )(?<!something )(?<!anything )else": "otherwise",
    r"those (?:who|that)": "people, users, contacts",
    r"go(?:es)? on": "continues, resumes",
    r"no matter of|seldom what|at one's pace|so to speak|of the one": "plain words",
    r"draws on": "counts against the budget, spends",
    r"passed over": "skipped",
    r"filed under": "stored under",
    r"kept aside": "quarantined, rejected",
    r"pull": "sync, fetch",
    r"answers|answered": "responds, result",
    r"by hand": "manually",
}
ODD = re.compile(rf"\b(?:{'|'.join(INSTEAD)})\b", re.IGNORECASE)
#: Words of the style's list that have a right use, too, so that a few of them may stay.
RARE = (
    r"asks?(?: for)?|asked|asking|believed?|claims?|draws?|everybody|for ever|hand(?:s|ed)? (?:on|over)|harm|hence",
    r"land(?:s|ed)?|likewise|members?|pace|pulled|rights|since that|so many|stands|those of|tell|till|tries|whom",
    r"whichever|wherever|what (?:is|was|are|were)",
)
STYLE = re.compile(rf"\b(?:{'|'.join([*INSTEAD, *RARE])})\b", re.IGNORECASE)
MOST_IN_10_000 = 10
SQL = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|WHERE|JOIN|WHEN)\b")
PACKAGE = ROOT / "airflow_provider_wacontacts"
WRITTEN_ELSEWHERE = ("changelog.md",)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]*)\)")


def prose(text):
    """Return a page without its code, tables' rulers, links' targets and marks."""
    text = re.sub(r"```.*?^ *```$|<!--.*?-->|^\([\w-]+\)=$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\]\([^)]*\)|`[^`]*`|[*_|]", " ", text)


def anchors(text):
    """Return the anchors that GitHub gives to a page's headings."""
    text = re.sub(r"```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def strings(path):
    """Yield the docstrings, messages and helps of a module, and whether each is a docstring."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    owners = [node for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)]
    docstrings = {id(owner.body[0].value) for owner in owners}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield "" if SQL.search(node.value) else re.sub(r"`+[^`]*`+", " ", node.value), id(node) in docstrings


def texts(kind):
    """Return all text of a kind."""
    if kind == "pages":
        return "\n".join(prose(page.read_text()) for page in PAGES)
    if kind == "the page in Airflow":
        return "\n".join(re.sub(r"<[^>]*>|{.*?}", " ", page.read_text()) for page in PACKAGE.rglob("*.html"))
    modules = [*PACKAGE.rglob("*.py"), *(ROOT / "dags").rglob("*.py")]
    wanted = kind == "docstrings"
    return "\n".join(text for path in modules for text, is_docstring in strings(path) if is_docstring is wanted)


def grade(text):
    """Return the reading grade of Flesch and Kincaid; syllables are counted as groups of vowels."""
    sentences = [one for one in re.split(r"[.!?:]\s", text) if one.strip()]
    words = re.findall(r"[A-Za-z']+", text)
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", word.lower().removesuffix("e")))) for word in words)
    return 0.39 * len(words) / len(sentences) + 11.8 * syllables / len(words) - 15.59


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in WRITTEN_ELSEWHERE], ids=lambda page: page.name
)
def test_a_page_has_no_unusual_words(page):
    odd = [found.group() for found in ODD.finditer(prose(page.read_text()))]

    assert odd == []


@pytest.mark.parametrize("kind", ["pages", "docstrings", "messages and helps", "the page in Airflow"])
def test_unusual_words_are_rare(kind):
    text = texts(kind)
    odd = Counter(found.group().lower() for found in STYLE.finditer(text))

    assert odd.total() * 10_000 <= MOST_IN_10_000 * len(re.findall(r"[A-Za-z']+", text)), odd


def test_readme_is_easy_to_read():
    paragraphs = re.sub(r"^(\||#).*$", "", prose((ROOT / "README.md").read_text()), flags=re.MULTILINE)

    assert grade(paragraphs) < 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_headings_work_on_github(page):
    wrong = []
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        if anchor and "://" not in link:
            target = page.parent / path if path else page
            wrong += [link] if anchor not in anchors(target.read_text()) else []

    assert wrong == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_each_picture_matches_its_text(source):
    assert source.with_suffix(".svg").read_text() == picture_of(source)


def test_every_picture_has_a_text():
    assert sorted(SOURCES) == sorted(path.with_suffix(".txt") for path in (ROOT / "docs/images").glob("*.svg"))
