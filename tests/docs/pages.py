"""What README and the pages show: their blocks of code."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["PAGES", "ROOT", "Block", "is_for", "of", "page_text", "query_under"]

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def page_text(name: str) -> str:
    """Read a page, in whichever folder it is."""
    (found,) = (ROOT / "docs").rglob(name)
    return found.read_text()


def _blocks_of(path: Path) -> Iterator[Block]:
    page = path.read_text()
    for found in FENCED.finditer(page):
        _, language, code = found.groups()
        yield Block(path.name, page.count("\n", 0, found.start()) + 2, language, textwrap.dedent(code))


BLOCKS = [block for path in PAGES for block in _blocks_of(path)]


def of(language: str, *words: str) -> list[Block]:
    """List the blocks of a language that have all of some words."""
    return [block for block in BLOCKS if block.language == language and all(word in block.code for word in words)]


def is_for(block: Block, dialect: str) -> bool:
    """Tell whether a query is for a database: for both, unless it names one."""
    other = {"sqlite": "-- PostgreSQL", "postgresql": "-- SQLite"}[dialect]
    return other not in block.code


def query_under(page: str, heading: str) -> str:
    """Give the first query below a heading."""
    after = page_text(page).split(f"# {heading}\n", 1)[1]
    return next(found.group(3) for found in FENCED.finditer(after) if found.group(2) == "sql")
