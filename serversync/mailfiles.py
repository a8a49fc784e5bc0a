"""Messages out of files, folders, maildirs and mboxes, one after the other, whatever lies there."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tracking.candidates import MAX_SIZE

MAX_BYTES = MAX_SIZE  # of one message; what is larger is never read (R3.10)
MAX_LINE = 1024 * 1024

_SEPARATOR = re.compile(rb"From [^\n]{0,300}\d{1,2}:\d{2}[^\n]{0,100}\n?")
_QUOTED_FROM = re.compile(rb">+From ")
_BLANK = (b"\n", b"\r\n")
_MBOX_SUFFIXES = frozenset({".mbox", ".mbx"})


@dataclass(frozen=True, slots=True)
class Found:
    """`name`: the path, or path#number for a message of an mbox. `error`: why there are no bytes."""

    name: str
    raw: bytes = field(default=b"", repr=False)
    error: str = ""


def messages_in(path: Path) -> Iterator[Found]:
    """In the order of their names. What can't be read is told, and the next one follows."""
    if not path.is_dir():
        yield from _in_file(path)
        return
    for file in _files(path):
        yield from _in_file(file)


def shown(path: Path) -> str:
    """A path as text, whatever octets its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        here = Path(place)
        maildir = _is_maildir(here)
        folders[:] = sorted(
            name
            for name in folders
            if not (maildir and name == "tmp")
            and (not name.startswith(".") or _is_maildir(here / name))
        )
        if not maildir:  # what lies beside cur and new are a server's own notes
            yield from (here / name for name in sorted(files) if not name.startswith("."))


def _is_maildir(folder: Path) -> bool:
    return (folder / "cur").is_dir() and (folder / "new").is_dir()


def _in_file(path: Path) -> Iterator[Found]:
    try:
        if not path.is_file():
            if not path.exists():
                yield Found(shown(path), error="No such file or directory")
            return  # a pipe or a device would never end
        with path.open("rb") as file:
            if _is_mbox(path, file):
                yield from _in_mbox(path, file)
            else:
                yield _whole(path, file)
    except OSError as error:
        yield Found(shown(path), error=error.strerror or type(error).__name__)


def _is_mbox(path: Path, file: BinaryIO) -> bool:
    """A single message may begin with such a line, too, if a program took it out of an mbox."""
    start = file.read(5)
    file.seek(0)
    return (start == b"From " and path.suffix.lower() != ".eml") or (
        path.suffix.lower() in _MBOX_SUFFIXES
    )


def _whole(path: Path, file: BinaryIO) -> Found:
    raw = file.read(MAX_BYTES + 1)
    return _found(shown(path), raw, len(raw))


def _found(name: str, raw: bytes, size: int) -> Found:
    if size > MAX_BYTES:
        return Found(name, error=f"larger than {MAX_BYTES} octets")
    return Found(name, raw)


def _in_mbox(path: Path, file: BinaryIO) -> Iterator[Found]:
    """One message in memory at a time. The only one of a file that is no mbox by name has no number: a
    program took it out of one and left the line of separation on it."""
    name = shown(path)
    numbered = path.suffix.lower() in _MBOX_SUFFIXES
    for number, (raw, size, last) in enumerate(_split(file), start=1):
        plain = number == 1 and last and not numbered
        yield _found(name if plain else f"{name}#{number}", raw, size)


def _split(file: BinaryIO) -> Iterator[tuple[bytes, int, bool]]:
    """(octets, size, whether it is the last). A line of separation follows an empty one, and bears a time.

    Of what is larger than a message may be, only the size is known.
    """
    lines: list[bytes] = []
    size, at_start, after_blank, begun = 0, True, True, False
    while line := file.readline(MAX_LINE):
        if at_start and after_blank and _SEPARATOR.match(line):
            if begun:
                yield _joined(lines, after_blank), size, False
            lines, size, begun = [], 0, True
        else:
            if at_start and _QUOTED_FROM.match(line):
                line = line[1:]
            size, begun = size + len(line), True
            if size <= MAX_BYTES:
                lines.append(line)
        after_blank = at_start and line in _BLANK
        at_start = line.endswith(b"\n")
    if begun:
        yield _joined(lines, after_blank), size, True


def _joined(lines: list[bytes], ends_blank: bool) -> bytes:
    """Without the empty line that an mbox puts behind each message."""
    return b"".join(lines[:-1] if ends_blank else lines)
