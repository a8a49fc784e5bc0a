"""Messages out of files: an mbox, a maildir, or a folder of messages. For `quickstart --mail`."""

import re
from collections.abc import Iterator
from pathlib import Path

#: The line between two messages of an mbox: "From sender Tue Mar  3 12:00:00 2026". Requiring the time
#: keeps a sentence that begins with "From " from cutting a message in two.
SEPARATOR = re.compile(rb"From \S.*\d{1,2}:\d{2}(:\d{2})?\b.*$")
QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


def message_files(path: Path) -> list[Path]:
    """The files under `path` that hold messages. Raises FileNotFoundError, ValueError if none do."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(path)
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and not any(part.startswith(".") for part in _maildir_parts(file.relative_to(path)))
    ]
    if _is_maildir(path):
        found = [file for file in found if file.parent.name in ("cur", "new")]
    elif any(file.suffix.lower() == ".eml" for file in found):
        found = [file for file in found if file.suffix.lower() in (".eml", ".mbox")]
    if not found:
        raise ValueError(f"No messages in {path}")
    return found


def messages(file: Path) -> Iterator[bytes]:
    """The messages of one file, one at a time, with CRLF line ends as a server stores them."""
    with file.open("rb") as lines:
        first = lines.readline()
        if not SEPARATOR.match(first.rstrip(b"\r\n")):
            yield as_stored(first + lines.read())
            return
        kept: list[bytes] = []
        after_blank = False
        for line in lines:
            if after_blank and SEPARATOR.match(line.rstrip(b"\r\n")):
                yield as_stored(_unquoted(kept))
                kept = []
            else:
                kept.append(line)
            after_blank = not line.strip(b"\r\n")
        yield as_stored(_unquoted(kept))


def as_stored(message: bytes) -> bytes:
    """With every LF that stands alone made a CRLF, as a delivery agent does; bare CRs stay."""
    return message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _unquoted(lines: list[bytes]) -> bytes:
    if lines and not lines[-1].strip(b"\r\n"):
        lines = lines[:-1]  # the blank line before the next separator
    return QUOTED.sub(rb"\1", b"".join(lines))


def _is_maildir(path: Path) -> bool:
    return (path / "cur").is_dir() or (path / "new").is_dir()


def _maildir_parts(relative: Path) -> tuple[str, ...]:
    """Maildir++ names its folders with a leading dot, and only files are hidden by one."""
    return (relative.name,) if {"cur", "new"} & set(relative.parts) else relative.parts
