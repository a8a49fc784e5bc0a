"""Charts of a few rows: a label that leads somewhere, a bar, the number. They are their own table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 100, 8


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a bar. `words`: what it counts; `url`: the list of it."""

    number: int
    css: str
    words: Any = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    words: Any
    pieces: tuple[Piece, ...]
    url: str = ""
    title: Any = ""

    @property
    def number(self) -> int:
        return sum(piece.number for piece in self.pieces)

    @property
    def shown(self) -> list[Piece]:
        return [piece for piece in self.pieces if piece.number]


@dataclass(frozen=True, slots=True)
class BarChart:
    """`whole`: each bar is as long as the others, divided into its pieces. `good`: what an empty one says."""

    key: str
    title: Any
    bars: Sequence[Bar]
    good: Any = ""
    whole: bool = False

    @property
    def empty(self) -> bool:
        return not any(bar.number for bar in self.bars)

    @property
    def rows(self) -> list[tuple[Bar, SafeString]]:
        longest = max((bar.number for bar in self.bars), default=0)
        return [(bar, draw(bar, bar.number if self.whole else longest)) for bar in self.bars]


def draw(bar: Bar, longest: int) -> SafeString:
    """Nobody needs to see it: the numbers stand beside it."""
    return format_html(
        '<svg class="bar" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>',
        *(WIDTH, HEIGHT),
        format_html_join(
            "",
            '<rect class="{}" x="{}" y="0" width="{}" height="{}"/>',
            ((css, x, width, HEIGHT) for css, x, width in _places(bar, longest)),
        ),
    )


def _places(bar: Bar, longest: int) -> list[tuple[str, float, float]]:
    """Small numbers are still to be seen beside large ones."""
    places, x = [], 0.0
    for piece in bar.shown:
        width = max(0.8, WIDTH * piece.number / longest)
        places.append((piece.css, round(min(x, WIDTH - 0.8), 2), round(width, 2)))
        x += width
    return places
