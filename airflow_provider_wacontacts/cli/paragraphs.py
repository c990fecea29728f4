"""How help reads in a terminal of any width."""

from __future__ import annotations

import argparse
import textwrap

__all__ = ["ParagraphFormatter"]


class ParagraphFormatter(argparse.HelpFormatter):
    """Fills the paragraphs of a description, and leaves those alone that are indented: they are examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.rstrip().split("\n\n")
        return "\n\n".join(
            paragraph
            if paragraph.startswith(" ")
            else textwrap.fill(" ".join(paragraph.split()), width, initial_indent=indent, subsequent_indent=indent)
            for paragraph in paragraphs
        )
