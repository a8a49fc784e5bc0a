"""Charts as text: what is in the drawing, and that it needs nothing that the content policy refuses."""

import re
from xml.etree import ElementTree

import pytest

from serversync.console.charts.bars import Bar, BarChart, Piece
from serversync.console.charts.drawing import (
    Chart,
    Column,
    Series,
    duration,
    step_of,
    time_step_of,
)

SVG = "{http://www.w3.org/2000/svg}"


def chart(columns, lines=False, written=None, names=("Incoming", "Outgoing")):
    more = {"written": written} if written else {}
    return Chart(
        key="items",
        title="Items by the hour",
        says="7 items.",
        series=[Series(name, f"is-{place}") for place, name in enumerate(names)],
        columns=columns,
        lines=lines,
        **more,
    )


def parsed(drawn: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(
        str(drawn.svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    )


TWO = [
    Column("10:00", "Monday 10:00", (3.0, 4.0), "/list/?from=10"),
    Column("11:00", "Monday 11:00", (0.0, None), "/list/?from=11"),
]


@pytest.mark.rule("R8.31")
def test_the_drawing_has_a_title_a_description_and_the_numbers():
    root = parsed(chart(TWO))
    (image,) = [each for each in root.iter(f"{SVG}g") if each.get("role") == "img"]
    named = {each.get("id") for each in image if each.tag in (f"{SVG}title", f"{SVG}desc")}
    assert set(image.get("aria-labelledby").split()) == named
    (target,) = root.iter(f"{SVG}a")
    assert target.find(f"{SVG}title").text == "Monday 10:00 – Incoming: 3, Outgoing: 4"
    assert (target.get("href"), target.get("tabindex")) == ("/list/?from=10", "-1")


def test_pieces_are_stacked_without_a_gap_and_reach_as_high_as_their_number():
    first, second = parsed(chart(TWO)).iter(f"{SVG}g").__next__().iter(f"{SVG}rect")
    assert (first.get("class"), second.get("class")) == ("is-0", "is-1")
    top = float(second.get("y")) + float(second.get("height"))
    assert top == pytest.approx(float(first.get("y")), abs=0.2)
    heights = float(first.get("height")), float(second.get("height"))
    assert heights[1] / heights[0] == pytest.approx(4 / 3, rel=0.02)


def test_a_line_leaves_out_what_has_no_number():
    root = parsed(chart(TWO, lines=True, written=duration))
    points = [line.get("points").split() for line in root.iter(f"{SVG}polyline")]
    assert [len(each) for each in points] == [2, 1]


def test_nothing_is_styled_or_scripted_in_line_and_words_are_escaped():
    words = '<script>alert("x")</script>'
    drawn = chart([Column(words, words, (1.0,), "/?a=1&b=2")], names=(words,))
    text = str(drawn.svg)
    assert not re.search(r"<style|<script|\sstyle=|\son\w+=|javascript:", text)
    assert parsed(drawn) is not None
    bar = str(BarChart("k", "t", [Bar(words, (Piece(3, "is-bad"),))]).rows[0][1])
    assert "style=" not in bar
    assert 'width="100.0"' in bar


def test_the_table_has_the_same_numbers_and_leaves_out_empty_columns():
    ((column, values),) = chart(TWO).table
    assert (column.words, values) == ("Monday 10:00", ["3", "4"])
    assert chart([Column("1", "1", (0, None))]).empty


@pytest.mark.parametrize(
    ("highest", "step"),
    [(0, 1), (1, 1), (4, 1), (5, 2), (9, 5), (23, 10), (100, 50), (4_100, 2_000)],
)
def test_lines_across_are_at_round_numbers_and_at_most_five(highest, step):
    assert step_of(highest) == step
    assert highest <= 4 * step


@pytest.mark.parametrize(
    ("highest", "words"),
    [(350, "100 ms"), (4_000, "1 s"), (100_000, "30 s"), (3_000_000, "15 min")],
)
def test_times_are_divided_as_people_divide_them(highest, words):
    assert duration(time_step_of(highest)) == words


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (None, "–"),
        (0, "0"),
        (350, "350 ms"),
        (1_500, "1.5 s"),
        (60_000, "1 min"),
        (5_400_000, "1.5 h"),
    ],
)
def test_durations_are_short(milliseconds, words):
    assert duration(milliseconds) == words


def test_bars_are_as_long_as_their_numbers_and_small_ones_are_seen():
    rows = BarChart("k", "t", [Bar("a", (Piece(1_000, "x"),)), Bar("b", (Piece(1, "x"),))]).rows
    widths = [float(re.search(r'width="([\d.]+)"', str(svg)).group(1)) for _bar, svg in rows]
    assert widths == [100.0, 0.8]
    assert [bar.number for bar, _svg in rows] == [1_000, 1]
