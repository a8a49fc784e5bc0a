"""Charts over time as SVG: columns that are stacked, and lines.

Colours are classes, so that both themes and the content policy are heeded; each drawing is an image with
a title and a description for whoever can't see it. What leads somewhere lies over it, for the mouse
alone: the table beside each chart has the same numbers and the same links.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, log10
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 480, 190
LEFT, RIGHT, TOP, BOTTOM = 58, 8, 12, 24
INNER, DEPTH = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
LABELS = 6  # below the drawing, at most
LINES = 4  # across it, above the lowest, at most

_S, _MIN, _H = 1_000, 60_000, 3_600_000
TIME_STEPS = (
    *(2 * _S, 5 * _S, 10 * _S, 15 * _S, 30 * _S, _MIN, 2 * _MIN, 5 * _MIN, 10 * _MIN, 15 * _MIN),
    *(30 * _MIN, _H, 2 * _H, 4 * _H, 6 * _H, 12 * _H, 24 * _H, 48 * _H, 96 * _H),
)


def whole(number: float | None) -> str:
    return "–" if number is None else f"{number:,.0f}"


def duration(milliseconds: float | None) -> str:
    """As short as it can be read: "350 ms", "1.5 s", "12 min", "3 h"."""
    if milliseconds is None:
        return "–"
    for size, unit in ((3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if milliseconds >= size:
            number = milliseconds / size
            precise = number < 10 and round(number, 1) != int(number)
            return f"{number:.{1 if precise else 0}f} {unit}"
    return f"{milliseconds:.0f} ms" if milliseconds else "0"


@dataclass(frozen=True, slots=True)
class Series:
    """What one colour means. `url`: the list of what it counts."""

    name: Any
    css: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One hour or day: `label` below the drawing, `words` in full; a value for each series."""

    label: str
    words: str
    values: tuple[float | None, ...]
    url: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """`says`: what one sees, in a sentence. `lines`: each series is a line of its own; else they are
    stacked."""

    key: str
    title: Any
    says: str
    series: Sequence[Series]
    columns: Sequence[Column]
    lines: bool = False
    written: Callable[[float | None], str] = field(default=whole)

    @property
    def empty(self) -> bool:
        return not any(value for column in self.columns for value in column.values)

    @property
    def svg(self) -> SafeString:
        return draw(self)

    @property
    def table(self) -> list[tuple[Column, list[str]]]:
        """The same numbers; columns in which nothing was are left out."""
        return [
            (column, [self.written(value) for value in column.values])
            for column in self.columns
            if any(column.values)
        ]


def draw(chart: Chart) -> SafeString:
    top, step = _scale(chart)
    return format_html(
        '<svg class="chart" viewBox="0 0 {} {}">'
        '<g role="img" aria-labelledby="{}-title {}-says">'
        '<title id="{}-title">{}</title><desc id="{}-says">{}</desc>{}{}{}</g>'
        '<g aria-hidden="true">{}</g></svg>',
        *(WIDTH, HEIGHT, chart.key, chart.key, chart.key, chart.title, chart.key, chart.says),
        _grid(chart, top, step),
        _labels(chart.columns),
        (_lines if chart.lines else _stacks)(chart, top),
        _targets(chart),
    )


# -- scales


def step_of(highest: float) -> int:
    """From one line across to the next: 1, 2 or 5 times a power of ten, so that four are enough."""
    wanted = max(1.0, highest / LINES)
    power = int(10 ** floor(log10(wanted)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= wanted)


def time_step_of(highest: float) -> int:
    """The same in milliseconds, of which people know seconds, minutes, hours and days."""
    wanted = highest / LINES
    if wanted <= 1_000:
        return step_of(highest)
    return next((step for step in TIME_STEPS if step >= wanted), step_of(highest))


def _scale(chart: Chart) -> tuple[int, int]:
    """The topmost line, on or below which everything lies, and the step between lines."""
    highest = _highest(chart)
    step = (time_step_of if chart.written is duration else step_of)(highest)
    return step * max(1, ceil(highest / step)), step


def _highest(chart: Chart) -> float:
    if chart.lines:
        return max((value or 0 for column in chart.columns for value in column.values), default=0)
    return max((sum(filter(None, column.values)) for column in chart.columns), default=0)


def _y(value: float, top: int) -> float:
    return round(TOP + DEPTH * (1 - value / top), 1)


def _x(place: int, number: int) -> float:
    return round(LEFT + INNER * place / number, 1)


# -- parts of a drawing


def _grid(chart: Chart, top: int, step: int) -> SafeString:
    return format_html_join(
        "",
        '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text class="axis" x="{}" y="{}" text-anchor="end">{}</text>',
        (
            (LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, chart.written(tick))
            for tick in range(0, top + 1, step)
            for y in [_y(tick, top)]
        ),
    )


def _labels(columns: Sequence[Column]) -> SafeString:
    each = ceil(len(columns) / LABELS) or 1
    return format_html_join(
        "",
        '<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>',
        (
            (round(_x(place, len(columns)) + INNER / len(columns) / 2, 1), HEIGHT - 6, column.label)
            for place, column in enumerate(columns)
            if place % each == 0
        ),
    )


def _stacks(chart: Chart, top: int) -> SafeString:
    number = len(chart.columns)
    width = round(INNER / number * 0.76, 1) if number else 0
    return format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>',
        (
            (series.css, round(_x(place, number) + INNER / number * 0.12, 1), y, width, height)
            for place, column in enumerate(chart.columns)
            for series, y, height in _pile(chart.series, column, top)
        ),
    )


def _pile(
    series: Sequence[Series], column: Column, top: int
) -> Iterator[tuple[Series, float, float]]:
    """The pieces of one column, from the bottom up."""
    below = 0.0
    for each, value in zip(series, column.values, strict=True):
        if value:
            y = _y(below + value, top)
            yield each, y, round(_y(below, top) - y, 1)
            below += value


def _lines(chart: Chart, top: int) -> SafeString:
    return format_html_join(
        "",
        '<polyline class="{} is-line" points="{}"/>{}',
        (
            (series.css, " ".join(f"{x},{y}" for x, y in points), _dots(series, points))
            for place, series in enumerate(chart.series)
            for points in [_points(chart.columns, place, top)]
        ),
    )


def _points(columns: Sequence[Column], series: int, top: int) -> list[tuple[float, float]]:
    """Where there was nothing there is no point."""
    half = INNER / len(columns) / 2 if columns else 0
    return [
        (round(_x(place, len(columns)) + half, 1), _y(value, top))
        for place, column in enumerate(columns)
        if (value := column.values[series]) is not None
    ]


def _dots(series: Series, points: Sequence[tuple[float, float]]) -> SafeString:
    return format_html_join(
        "", '<circle class="{}" cx="{}" cy="{}" r="2.4"/>', ((series.css, x, y) for x, y in points)
    )


def _targets(chart: Chart) -> SafeString:
    """A column's numbers on hovering, its list on a click."""
    number = len(chart.columns)
    return format_html_join(
        "",
        '<a class="target" tabindex="-1" href="{}"><title>{}</title>'
        '<rect x="{}" y="{}" width="{}" height="{}"/></a>',
        (
            (
                column.url,
                _told(chart, column),
                _x(place, number),
                TOP,
                round(INNER / number, 1),
                DEPTH,
            )
            for place, column in enumerate(chart.columns)
            if column.url and any(column.values)
        ),
    )


def _told(chart: Chart, column: Column) -> str:
    values = (
        f"{series.name}: {chart.written(value)}"
        for series, value in zip(chart.series, column.values, strict=True)
        if value is not None
    )
    return f"{column.words} – {', '.join(values)}"
