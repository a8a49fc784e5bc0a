"""The header fields that the product reads, from raw values to the fields of ParsedMessage."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypedDict

from activities.mime.addresses import parse_addresses
from activities.mime.automatic import OWN_HEADER
from activities.mime.envelope import delivered_to
from activities.mime.message import Address, Defect
from activities.mime.words import Report, decode_words, one_line, to_text

MAX_REFERENCES = 1_000
HEADERS_JSON_CHARACTERS = 500  # R3.13

_ID = re.compile(r"<([^<>]*+)>")
_BLANKS = re.compile(r"\s+")
_SEPARATORS = re.compile(r"[\s,;]+")
_SINGLE = frozenset(
    {
        "from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references",
        "subject", "date",
    }
)  # fmt: skip
READ_FIELDS = _SINGLE | {
    "auto-submitted", "list-id", "thread-index", OWN_HEADER.lower(), "return-path",
    "importance", "x-priority", "priority", "x-msmail-priority",
    "x-auto-response-suppress", "precedence",
}  # fmt: skip
# What is read of fields that ask for no automatic answer: RFC 2076; MS-OXCMAIL, where -1 is all.
_ASKING_FOR_NONE = {
    "x-auto-response-suppress": frozenset({"all", "autoreply", "-1"}),
    "precedence": frozenset({"bulk", "junk", "list"}),
}
_IMPORTANCE = {"high": 2, "urgent": 2, "low": 0, "non-urgent": 0, "normal": 1}


class FieldValues(TypedDict):
    """The part of ParsedMessage that comes from the header."""

    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    subject: str
    senders: tuple[Address, ...]
    sender_header: Address | None
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    date: datetime | None
    date_text: str
    importance: int
    auto_submitted: str
    list_id: str
    thread_index: str
    headers_json: str
    own_header: str
    null_path: bool
    answer_unwanted: bool
    delivered_to: tuple[str, ...]


def read_fields(raw_fields: Sequence[tuple[str, bytes]], hint: str, report: Report) -> FieldValues:
    """`hint`: charset of the body, for 8-bit text in the header that names none."""
    header = _Header(raw_fields, hint, report)
    date_text = header.text("date")
    sender_headers = header.addresses("sender")
    return FieldValues(
        message_id=_message_id(header.one("message-id"), report),
        in_reply_to=_in_reply_to(header.one("in-reply-to")),
        references=_references(header.all("references"), report),
        subject=header.text("subject"),
        senders=header.addresses("from"),
        sender_header=sender_headers[0] if sender_headers else None,
        reply_to=header.addresses("reply-to"),
        to=header.addresses("to"),
        cc=header.addresses("cc"),
        bcc=header.addresses("bcc"),
        date=read_date(date_text, report),
        date_text=date_text,
        importance=_importance(header),
        auto_submitted=header.text("auto-submitted"),
        list_id=header.text("list-id"),
        thread_index="".join(header.one("thread-index").split()),
        headers_json=_headers_json(header),
        own_header=header.text(OWN_HEADER.lower()),
        null_path=any(value.strip() == "<>" for value in header.all("return-path")[:1]),
        answer_unwanted=_answer_unwanted(header),
        delivered_to=delivered_to(raw_fields),
    )


def _answer_unwanted(header: "_Header") -> bool:
    return any(
        not asking.isdisjoint(_SEPARATORS.split(header.one(name).lower()))
        for name, asking in _ASKING_FOR_NONE.items()
    )


class _Header:
    def __init__(self, raw_fields: Sequence[tuple[str, bytes]], hint: str, report: Report) -> None:
        self._values: dict[str, list[bytes]] = {}
        self._hint = hint
        self._report = report
        for name, value in raw_fields:
            if name in READ_FIELDS:
                self._values.setdefault(name, []).append(value)
        for name in _SINGLE & self._values.keys():
            if len(self._values[name]) > 1:
                report(Defect("repeated_header", name))

    def all(self, name: str) -> list[str]:
        """Values as written: unfolded, encoded words still encoded."""
        return [self._written(name, value) for value in self._values.get(name, ())]

    def one(self, name: str) -> str:
        values = self._values.get(name)
        return self._written(name, values[0]) if values else ""

    def text(self, name: str) -> str:
        """The first value as a person reads it."""
        value = self.one(name)
        if "=?" in value:
            value = one_line(decode_words(value, self._report))
        return value

    def addresses(self, name: str) -> tuple[Address, ...]:
        found: list[Address] = []
        for value in self.all(name):
            if value:
                found += parse_addresses(value, self._report, name)
        return tuple(found)

    def _written(self, name: str, value: bytes) -> str:
        text = to_text(value, self._hint, self._report, name)
        if "\r" in text:
            self._report(Defect("bare_cr", name))
        if "\0" in text:
            self._report(Defect("nul_removed", name))
            text = text.replace("\0", "")
        return one_line(text)


def _message_id(value: str, report: Report) -> str:
    if not value:
        report(Defect("missing_message_id"))
        return ""
    message_id = _bare_id(value)
    if not message_id:
        report(Defect("bad_message_id", value[:80]))
    return message_id


def _bare_id(value: str) -> str:
    """The first id in brackets, or else all of it; blanks inside come from folding (R4.4)."""
    bracketed = _ID.search(value)
    inner = bracketed.group(1) if bracketed else value.strip().strip("<>")
    return _BLANKS.sub("", inner)


def _in_reply_to(value: str) -> str:
    """RFC 822 allowed a phrase here ("Your message of Monday <id>"): only the id counts."""
    if "<" in value:
        return _bare_id(value)
    words = value.split()
    return next((w for w in words if "@" in w), words[0] if len(words) == 1 else "")


def _references(values: Sequence[str], report: Report) -> tuple[str, ...]:
    ids: dict[str, None] = {}
    for value in values:
        position = 0
        for match in _ID.finditer(value):
            _add_loose(ids, value[position : match.start()])
            ids[_BLANKS.sub("", match.group(1))] = None
            position = match.end()
        _add_loose(ids, value[position:])
    ids.pop("", None)
    found = tuple(ids)
    if len(found) > MAX_REFERENCES:
        report(Defect("too_many_references", f"{MAX_REFERENCES} of {len(found)} kept"))
        return found[:1] + found[1 - MAX_REFERENCES :]
    return found


def _add_loose(ids: dict[str, None], text: str) -> None:
    if "@" in text:
        ids.update((w.strip("<>"), None) for w in re.split(r"[\s,;]+", text) if "@" in w)


def read_date(text: str, report: Report) -> datetime | None:
    """Aware UTC. "-0000" says that the zone is unknown and the time is UTC (RFC 5322, 3.3)."""
    if not text:
        report(Defect("missing_date"))
        return None
    try:
        date = parsedate_to_datetime(text[:200])
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        report(Defect("bad_date", text[:80]))
        return None


def _importance(header: _Header) -> int:
    for name in ("importance", "x-priority", "priority", "x-msmail-priority"):
        word = header.one(name).lower().partition(" ")[0]
        if word in _IMPORTANCE:
            return _IMPORTANCE[word]
        if name == "x-priority" and word[:1] in tuple("12345"):
            return {"1": 2, "2": 2, "3": 1, "4": 0, "5": 0}[word[0]]
    return 1


def _headers_json(header: _Header) -> str:
    values = {
        name: text for name in ("Auto-Submitted", "Reply-To") if (text := header.text(name.lower()))
    }
    if not values:
        return ""
    while len(shown := json.dumps(values, ensure_ascii=False)) > HEADERS_JSON_CHARACTERS:
        longest = max(values, key=lambda name: len(values[name]))
        over = len(shown) - HEADERS_JSON_CHARACTERS
        # An escaped character counts six at most, so this never takes more than is needed.
        values[longest] = values[longest][: len(values[longest]) - max(1, over // 6)]
    return shown
