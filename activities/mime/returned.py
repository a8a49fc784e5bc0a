"""The header of the message that a report is about, in whatever form it came back."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from activities.mime.fields import read_fields
from activities.mime.message import Defect
from activities.mime.structure import Fields, Part, first, read_header

MAX_HEADER_BYTES = 64 * 1024
MAX_LINES = 5_000
MAX_RECIPIENTS = 500

_TYPES = frozenset(
    {
        "message/rfc822", "message/global", "message/rfc822-headers", "message/global-headers",
        "message/partial", "text/rfc822-headers", "text/rfc822-header", "text/rfc822",
    }
)  # fmt: skip
_TELLING = frozenset(
    {"message-id", "from", "to", "subject", "date", "received", "return-path", "mime-version"}
)
_LEAD = re.compile(rb"(?:[ \t]*\r?\n){0,50}(?:>?From [^\r\n]{0,500}\r?\n)?")
_FIELD = re.compile(r"([!-9;-~]{2,60})[ \t]*:")
_DIVIDER = re.compile(
    r"^[ \t>]{0,8}[-=*_]{2,20}[^\n]{0,40}\b(?:below this line|original message|copy of (?:the|your) message|"
    r"returned (?:mail|message)|unsent message|message headers?)\b",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTE = re.compile(r"[>| \t]{0,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """`senders`: From, and the envelope's. `asked`: whom Hotmail names as the one who complains.

    `notice_end`: where in the text that was searched the returned message begins; -1: nowhere.
    """

    message_id: str = ""
    subject: str = ""
    to: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    date: datetime | None = None
    notice_end: int = -1
    found: bool = False


def returned_part(leaves: Sequence[Part]) -> Part | None:
    """The part that holds the returned message or its header."""
    typed = (part for part in leaves if part.content_type in _TYPES)
    return next(typed, None) or next((p for p in leaves[1:] if _starts_with_header(p)), None)


def _starts_with_header(part: Part) -> bool:
    if part.content_type not in ("text/plain", "application/octet-stream"):
        return False
    return len(_TELLING & {name for name, _ in _fields_of(part.content)}) >= 3


def read_returned(content: bytes) -> Returned:
    return _from_fields(_fields_of(content))


def find_returned(text: str) -> Returned:
    """The first header block in a text, quoted or indented or plain, whatever comes before it. Without
    one, the notice ends where a server says that something follows."""
    lines = list(_lines(text))
    index = 0
    while index < len(lines):
        block, following = _block_at(lines, index)
        if len(_TELLING & _names(block)) >= 3 or ("message-id" in _names(block) and len(block) > 1):
            octets = "\r\n".join(block).encode("utf-8", "replace")
            return _from_fields(_fields_of(octets), lines[index][0])
        index = following
    divider = _DIVIDER.search(text)
    return Returned(notice_end=divider.start() if divider else -1)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    position = 0
    for line in text.split("\n", MAX_LINES)[:MAX_LINES]:
        yield position, line[:2_000]
        position += len(line) + 1


def _block_at(lines: Sequence[tuple[int, str]], index: int) -> tuple[list[str], int]:
    """Consecutive header lines from `index` on without their common prefix, and where to go on."""
    prefix = _prefix(lines[index][1])
    block: list[str] = []
    for number in range(index, len(lines)):
        line = lines[number][1]
        bare = line[len(prefix) :] if line.startswith(prefix) else ""
        if not bare.strip() or not (_FIELD.match(bare) or (block and bare[0] in " \t")):
            return block, max(number, index + 1)
        block.append(bare)
    return block, len(lines)


def _prefix(line: str) -> str:
    match = _QUOTE.match(line)
    return match.group() if match else ""


def _names(block: Iterable[str]) -> set[str]:
    return {match.group(1).lower() for line in block if (match := _FIELD.match(line))}


def _fields_of(content: bytes) -> Fields:
    head = content[:MAX_HEADER_BYTES]
    lead = _LEAD.match(head)
    fields, _ = read_header(head, lead.end() if lead else 0, _ignore)
    return fields


def _from_fields(fields: Fields, notice_end: int = -1) -> Returned:
    values = read_fields(fields, "", _ignore)
    return Returned(
        message_id=values["message_id"],
        subject=values["subject"],
        to=_addresses(a.address for a in values["to"]),
        senders=_addresses(
            [*(a.address for a in values["senders"]), _written(fields, "return-path")]
        ),
        asked=_addresses([_written(fields, "x-hmxmroriginalrecipient")]),
        date=values["date"],
        notice_end=notice_end,
        found=bool(_TELLING & {name for name, _ in fields}),
    )


def _written(fields: Fields, name: str) -> str:
    return first(fields, name).decode("utf-8", "replace").strip().strip("<>")


def _addresses(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(a for a in found if "@" in a))[:MAX_RECIPIENTS]


def _ignore(_: Defect) -> None: ...
