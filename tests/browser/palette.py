"""Pictures of pages with a palette: a third of the bytes, and nobody sees it.

Pages have few colours beside the edges of letters. The most frequent 256 stay as they are, each other one
becomes the nearest of them.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {2: 3, 6: 4}  # colour type -> bytes of a pixel
MOST = 256

#: What a line's filter takes off each byte, of the bytes left, above, and above left of it.
GUESSES = {
    1: lambda left, up, corner: left,
    2: lambda left, up, corner: up,
    3: lambda left, up, corner: (left + up) // 2,
    4: lambda left, up, corner: paeth(left, up, corner),
}

Colour = tuple[int, int, int]


def reduced(png: bytes) -> bytes:
    """The same picture with a palette. Takes what browsers make: eight bits, colours, not interlaced."""
    width, height, rows = pixels(png)
    counts = Counter(pixel for row in rows for pixel in row)
    palette = [colour for colour, _count in counts.most_common(MOST)]
    place = {colour: nearest(colour, palette) for colour in counts}
    lines = b"".join(b"\0" + bytes(map(place.__getitem__, row)) for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colours = bytes(value for colour in palette for value in colour)
    parts = (
        (b"IHDR", head),
        (b"PLTE", colours),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(chunk(*part) for part in parts)


def pixels(png: bytes) -> tuple[int, int, list[list[Colour]]]:
    found: dict[bytes, bytes] = {}
    for name, data in chunks(png):
        found[name] = found.get(name, b"") + data
    width, height, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", found[b"IHDR"])
    if bits != 8 or kind not in SAMPLES or interlaced:
        raise ValueError("This is no picture that a browser makes.")
    step = SAMPLES[kind]
    lines = unfiltered(zlib.decompress(found[b"IDAT"]), width * step, step)
    return (
        width,
        height,
        [list(zip(*(line[n::step] for n in range(3)), strict=True)) for line in lines],
    )


def unfiltered(data: bytes, length: int, step: int) -> Iterator[bytearray]:
    """The lines, without what a filter made of them (PNG, 9.2)."""
    above = bytearray(length)
    for start in range(0, len(data), length + 1):
        line = bytearray(data[start + 1 : start + 1 + length])
        undo(data[start], line, above, step)
        yield line
        above = line


def undo(kind: int, line: bytearray, above: bytearray, step: int) -> None:
    if not kind:
        return
    for n in range(len(line)):
        left = line[n - step] if n >= step else 0
        corner = above[n - step] if n >= step else 0
        line[n] = (line[n] + GUESSES[kind](left, above[n], corner)) & 255


def paeth(left: int, up: int, corner: int) -> int:
    to_left, to_up = abs(up - corner), abs(left - corner)
    to_corner = abs(left + up - 2 * corner)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner


def nearest(colour: Colour, palette: list[Colour]) -> int:
    red, green, blue = colour
    apart = [(red - r) ** 2 + (green - g) ** 2 + (blue - b) ** 2 for r, g, b in palette]
    return apart.index(min(apart))


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += 12 + length


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
