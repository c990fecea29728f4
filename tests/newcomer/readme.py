"""The steps of README, in their order."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Command", "Dag", "Query", "Step", "steps_of"]

FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """
    Something that README shows.

    :ivar line: where it stands, from 1.
    :ivar text: as it is written.
    """

    line: int
    text: str


class Command(Step):
    """A command of a shell; the next one is given to the same shell."""


class Dag(Step):
    """The file of a DAG."""


class Query(Step):
    """A query of the store."""


def steps_of(markdown: str) -> Iterator[Step]:
    """
    Read the steps of a page, from the first to the last.

    :raises ValueError: a block is of a language that nobody can follow.
    """
    for block in FENCED.finditer(markdown):
        _, language, code = block.groups()
        line = markdown.count("\n", 0, block.start()) + 2
        if language not in _READERS:
            raise ValueError(f"line {line}: a block of {language or 'no language'} is no step")
        kind, ends = _READERS[language]
        yield from _split(kind, ends, line, textwrap.dedent(code))


def _split(kind: type[Step], ends: re.Pattern[str], line: int, code: str) -> Iterator[Step]:
    at = 0
    for text in ends.split(code):
        at = code.index(text, at)
        if text.strip() and not text.startswith("#"):
            yield kind(line + code.count("\n", 0, at), text.rstrip())


#: How the steps of a block are told apart: commands by lines that go on nowhere, statements by their semicolons.
_READERS = {
    "bash": (Command, re.compile(r"(?<!\\)\n")),
    "python": (Dag, re.compile(r"\Z")),
    "sql": (Query, re.compile(r"(?<=;)\n+")),
}
