"""The pictures of the administrator's guide: made by the script, all of them, and all of them shown."""

import re
import struct
import zlib
from collections import Counter
from pathlib import Path

import pytest

from tests.browser.palette import SIGNATURE, chunk, chunks, pixels, reduced
from tests.browser.pictures import FOLDER, LARGEST, PICTURES

DOCS = Path(__file__).resolve().parents[2] / "docs"
MADE = {picture.path for picture in PICTURES}


def shown() -> Counter[Path]:
    return Counter(
        (path.parent / target).resolve()
        for path in DOCS.rglob("*.md")
        for target in re.findall(r"!\[[^\]]+\]\(([^)\s]+)\)", path.read_text())
    )


def test_each_picture_has_a_name_of_its_own():
    assert len(MADE) == len(PICTURES)


def test_each_picture_is_made_by_the_script_and_shown_once():
    assert shown() == Counter(MADE)


def test_each_picture_is_there_and_nothing_else():
    assert set(FOLDER.iterdir()) == MADE, "run scripts/screenshots"


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_small_and_no_larger_than_it_may_be(picture):
    data = picture.path.read_bytes()
    head = dict(chunks(data))[b"IHDR"]
    width, height = (int.from_bytes(head[place : place + 4]) for place in (0, 4))

    assert data.startswith(SIGNATURE) and len(data) < LARGEST
    assert 200 < width <= picture.width
    assert 100 < height <= picture.height


# -- the palette ---------------------------------------------------------------------------------


def picture(rows, kind=2, filters=()) -> bytes:
    """A file as browsers write it. `filters`: the one that each line is said to have; its bytes are as given."""
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, kind, 0, 0, 0)
    lines = b"".join(
        bytes([filters[n] if filters else 0]) + bytes(value for pixel in row for value in pixel)
        for n, row in enumerate(rows)
    )
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return SIGNATURE + b"".join(chunk(*part) for part in parts)


def colours_of(png: bytes) -> list[list[tuple[int, ...]]]:
    """Of a picture with a palette."""
    found = dict(chunks(png))
    width = int.from_bytes(found[b"IHDR"][:4])
    palette = [tuple(found[b"PLTE"][n : n + 3]) for n in range(0, len(found[b"PLTE"]), 3)]
    lines = zlib.decompress(found[b"IDAT"])
    return [
        [palette[place] for place in lines[start + 1 : start + 1 + width]]
        for start in range(0, len(lines), width + 1)
    ]


def test_few_colours_stay_exactly_as_they_were():
    rows = [[(255, 0, 0), (0, 255, 0)], [(1, 2, 3), (255, 0, 0)]]

    assert colours_of(reduced(picture(rows))) == rows


def test_the_rarest_of_many_colours_becomes_the_nearest():
    many = [(n, n, n) for n in range(256) for _ in range(2)]
    rows = [[*many, (7, 7, 8)]]

    assert colours_of(reduced(picture(rows))) == [[*many, (7, 7, 7)]]


def test_what_shines_through_is_left_out():
    assert colours_of(reduced(picture([[(9, 8, 7, 255)]], kind=6))) == [[(9, 8, 7)]]


@pytest.mark.parametrize(
    ("kind", "second"),
    [(0, (5, 5, 5)), (1, (15, 25, 35)), (2, (6, 7, 8)), (3, (10, 16, 21)), (4, (15, 25, 35))],
)
def test_each_filter_is_undone(kind, second):
    """Below (1, 2, 3) and left of (10, 20, 30) stand bytes that say 5 each."""
    above = [(1, 2, 3), (1, 2, 3)]
    first = {0: (10, 20, 30), 1: (10, 20, 30), 2: (9, 18, 27), 3: (10, 19, 29), 4: (9, 18, 27)}
    data = picture([above, [first[kind], (5, 5, 5)]], filters=(0, kind))

    _width, _height, lines = pixels(data)
    assert lines == [above, [(10, 20, 30), second]]


def test_what_no_browser_makes_is_refused():
    with pytest.raises(ValueError, match="browser"):
        pixels(picture([[(1, 2, 3)]], kind=3))
