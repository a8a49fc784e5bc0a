"""The careful parser: reads every message, and says what was wrong with it."""

import re

from activities.mime.body import read_body
from activities.mime.fields import read_fields
from activities.mime.kinds import with_kind
from activities.mime.message import Defect, ParsedMessage
from activities.mime.structure import Part, read_header, read_tree

MAX_DEFECTS = 100

_MBOX_LINE = re.compile(rb">?From [^\r\n]{0,500}\r?\n")
_BLANK_LINES = re.compile(rb"(?:[ \t]*\r?\n){1,50}(?=[!-9;-~]{1,200}[ \t]*:)")


class Defects:
    """Collects each defect once, and no more than anyone would read."""

    def __init__(self) -> None:
        self._found: dict[Defect, None] = {}

    def __call__(self, defect: Defect) -> None:
        if len(self._found) < MAX_DEFECTS:
            detail = defect.detail[:200].encode("utf-8", "replace").decode().replace("\0", "")
            self._found[Defect(defect.code, detail)] = None
        elif len(self._found) == MAX_DEFECTS:
            self._found[Defect("more_defects")] = None

    def any(self) -> bool:
        return bool(self._found)

    def all(self) -> tuple[Defect, ...]:
        return tuple(self._found)


def parse_carefully(raw: bytes) -> ParsedMessage:
    defects = Defects()
    octets, start = _prepare(raw, defects)
    fields, body_start = read_header(octets, start, defects)
    if not fields:
        defects(Defect("no_header" if raw else "empty_message"))
    elif not any(name == "from" for name, _ in fields):
        defects(Defect("missing_from"))
    root = read_tree(octets, fields, body_start, defects)
    values = read_fields(fields, charset_of(root), defects)
    body = read_body(root, defects)
    message = ParsedMessage(
        size=len(raw),
        body_size=len(octets) - body_start,
        html=body.html,
        text=body.text,
        attachments=body.attachments,
        calendar_method=body.calendar_method,
        calendar_uid=body.calendar_uid,
        report_type=body.report_type,
        encrypted=body.encrypted,
        defects=defects.all(),
        path="careful",
        **values,
    )
    return with_kind(message, fields, root)


def _prepare(raw: bytes, report: Defects) -> tuple[bytes, int]:
    """The octets to read and where the header starts in them."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            raw = raw.decode("utf-16").encode("utf-8", "surrogatepass")
            report(Defect("utf16_message"))
        except UnicodeError:
            pass
    if b"\r" in raw[:65536] and b"\n" not in raw[:65536]:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        report(Defect("bare_cr_line_ends"))
    start = 0
    if raw.startswith(b"\xef\xbb\xbf"):
        start = 3
        report(Defect("byte_order_mark"))
    blank = _BLANK_LINES.match(raw, start)
    if blank:
        start = blank.end()
        report(Defect("leading_blank_lines"))
    mbox = _MBOX_LINE.match(raw, start)
    if mbox:
        start = mbox.end()
        report(Defect("mbox_from_line"))
    return raw, start


def charset_of(root: Part) -> str:
    """The charset the sender's program names first in the message."""
    part = root
    while part.children:
        part = part.children[0]
    return part.parameters.get("charset", "")
