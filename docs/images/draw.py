"""
Draw the pictures of these pages: ``python docs/images/draw.py``.

A picture is a text below, with one shape a line, in units of a pixel:

- ``box X Y W H COLOR Title | line | line``
- ``arrow X Y X Y label`` or ``dashed X Y X Y label``
- ``line X Y X Y`` for the part of an arrow before a corner
- ``text X Y label``, ``bar X Y W COLOR label`` and ``frame X Y W H label``

Colors are ``blue``, ``green``, ``yellow``, ``red`` and ``plain``. Readers with a dark screen get dark colors.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

SOURCES = sorted(Path(__file__).parent.glob("*.txt"))
COLORS = {
    "blue": ("#e8f0fe", "#1f3a5f"),
    "green": ("#e6f4ea", "#1d4428"),
    "yellow": ("#fef7e0", "#4d4013"),
    "red": ("#fce8e6", "#5c2320"),
    "plain": ("#f1f3f4", "#3c4043"),
}
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #202124; text-anchor: middle }
.title { font-weight: 600; font-size: 14px }
.note { fill: #3c4043; font-size: 12px }
.line { stroke: #5f6368; stroke-width: 1.5; fill: none }
.head { fill: #5f6368 }
.frame { fill: none; stroke: #5f6368; stroke-dasharray: 2 3 }
.page { fill: #fff }
%(light)s
@media (prefers-color-scheme: dark) {
text { fill: #e8eaed }
.note { fill: #bdc1c6 }
.line { stroke: #9aa0a6 }
.head { fill: #9aa0a6 }
.frame { stroke: #9aa0a6 }
.page { fill: #131416 }
%(dark)s
}"""

MARKER = (
    '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="head" d="M0 0L10 5L0 10z"/></marker></defs>'
)


def draw(source: str) -> str:
    """Return a picture as SVG."""
    size, title, *shapes = (line for line in source.splitlines() if line.strip())
    width, height = size.split()
    rules = {
        theme: "\n".join(f".{name} {{ fill: {pair[number]} }}" for name, pair in COLORS.items())
        for number, theme in enumerate(("light", "dark"))
    }
    body = "\n".join(SHAPES[shape.split()[0]](shape.split(maxsplit=1)[1]) for shape in shapes)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title">
<title id="title">{escape(title)}</title>
<style>
{STYLE % rules}
</style>
{MARKER}
<rect class="page" width="{width}" height="{height}" rx="10"/>
{body}
</svg>
"""


def _box(shape: str) -> str:
    x, y, width, height, color, label = shape.split(maxsplit=5)
    title, *notes = (part.strip() for part in label.split("|"))
    middle = int(x) + int(width) / 2
    top = int(y) + int(height) / 2 + 5 - 9 * len(notes)
    lines = [_text(middle, top, title, "title")]
    lines += [_text(middle, top + 18 * number, note, "note") for number, note in enumerate(notes, 1)]
    rect = f'<rect class="{color}" stroke="#5f6368" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
    return "\n".join([rect, *lines])


def _bar(shape: str) -> str:
    x, y, width, color, label = shape.split(maxsplit=4)
    rect = f'<rect class="{color}" stroke="#5f6368" x="{x}" y="{y}" width="{width}" height="26" rx="5"/>'
    return f"{rect}\n{_text(int(x) + int(width) / 2, int(y) + 18, label, 'note')}"


def _frame(shape: str) -> str:
    x, y, width, height, label = shape.split(maxsplit=4)
    rect = f'<rect class="frame" x="{x}" y="{y}" width="{width}" height="{height}" rx="10"/>'
    return f"{rect}\n{_text(int(x) + int(width) / 2, int(y) + 20, label, 'note')}"


def _line(shape: str, look: str = "") -> str:
    x1, y1, x2, y2 = shape.split()
    return f'<line class="line"{look} x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _arrow(shape: str, look: str = "") -> str:
    x1, y1, x2, y2, *label = shape.split(maxsplit=4)
    line = _line(f"{x1} {y1} {x2} {y2}", f'{look} marker-end="url(#head)"')
    across, down = (int(x1) + int(x2)) / 2, (int(y1) + int(y2)) / 2
    place = (across + 8 + 3.5 * len(label[0]), down + 4) if label and x1 == x2 else (across, down - 7)
    return line + (f"\n{_text(*place, label[0], 'note')}" if label else "")


def _dashed(shape: str) -> str:
    return _arrow(shape, ' stroke-dasharray="5 4"')


def _words(shape: str) -> str:
    x, y, label = shape.split(maxsplit=2)
    return _text(float(x), float(y), label, "note")


def _text(x: float, y: float, label: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(label)}</text>'


SHAPES = {"box": _box, "bar": _bar, "arrow": _arrow, "dashed": _dashed, "line": _line, "frame": _frame, "text": _words}


def picture_of(source: Path) -> str:
    """Return the picture of a text."""
    return draw(source.read_text())


def main() -> None:
    """Draw each picture from the text beside it."""
    for source in SOURCES:
        source.with_suffix(".svg").write_text(picture_of(source))


if __name__ == "__main__":
    main()
