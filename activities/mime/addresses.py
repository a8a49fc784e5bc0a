"""The mailboxes of an address header, read in one pass: no recursion, however many brackets come."""

import re

from activities.mime.message import Address, Defect
from activities.mime.words import Report, decode_words, one_line

MAX_ADDRESSES = 10_000  # of one header; parties are rows, and no person writes to more

_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    | (?P<word>=\?[^?\s]{1,80}\?[bBqQ]\?[^?\r\n]{0,2000}\?=)
    | "(?P<quoted>(?:[^"\\]|\\.)*+)(?P<closing>"?)
    | <(?P<angle>[^<>]*+)>
    | <(?P<open>[^<>,;]*+)
    | (?P<mark>[,;:(])
    | (?P<atom>[^\s"<,;:(]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_PARENTHESIS = re.compile(r"\\.|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_BLANKS = re.compile(r"\s+")
# What nearly all headers are: one plain mailbox, with or without a plain name.
_PLAIN = re.compile(
    r"(?:([A-Za-z0-9][A-Za-z0-9 .'_-]{0,80}[A-Za-z0-9.]) )?<([\w.+=-]+@[\w.-]*\w)>", re.ASCII
)


def parse_addresses(text: str, report: Report, field: str) -> list[Address]:
    """Every mailbox in `text` (unfolded, encoded words still encoded), groups flattened.

    What has no usable address keeps its name with the address "" or the lone local part.
    """
    plain = _PLAIN.fullmatch(text)
    if plain:
        return [Address(plain.group(2), plain.group(1) or "")]
    reader = _Reader(text, report, field)
    reader.read()
    return reader.found


class _Reader:
    def __init__(self, text: str, report: Report, field: str) -> None:
        self.text = text
        self.found: list[Address] = []
        self.field = field
        self._report = report
        self._in_group = False
        self._comments_broken = False
        self._after_semicolon = False
        self._held = ""  # a name that may go on after an unquoted comma
        self._clear()

    def _clear(self) -> None:
        self._phrase: list[str] = []  # pieces as shown; blanks are pieces of their own
        self._written: list[str] = []  # the same pieces as they were written
        self._angle: str | None = None
        self._comment = ""

    def _defect(self, code: str, detail: str = "") -> None:
        self._report(Defect(code, f"{self.field}: {detail}" if detail else self.field))

    def read(self) -> None:
        position = 0
        while position < len(self.text):
            token = _TOKEN.match(self.text, position)
            if token is None:  # nothing the pattern leaves out, but never loop on a surprise
                position += 1
                continue
            position = token.end()
            if token.lastgroup == "mark":
                position = self._mark(token.group(), position)
            else:
                self._take(token)
            if len(self.found) >= MAX_ADDRESSES:
                rest = self.text.count("@", position)
                self._clear()
                if rest:
                    self._defect("too_many_addresses", f"{MAX_ADDRESSES} kept, about {rest} more")
                break
        self._end_mailbox("")
        self._drop_held()

    def _take(self, token: re.Match[str]) -> None:
        kind = "quoted" if token.lastgroup == "closing" else token.lastgroup
        value = token.group(kind or 0)
        if kind == "blank":
            if self._phrase:
                self._phrase.append(" ")
                self._written.append(" ")
            return
        if kind in ("angle", "open"):
            if kind == "open":
                self._defect("broken_address", "bracket not closed")
            if self._angle is None or "@" not in self._angle:
                self._angle = value
            return
        if kind == "quoted":
            value = _QUOTED_PAIR.sub(r"\1", value)
            if "=?" in value:
                self._defect("quoted_encoded_word")
            if not token.group("closing"):
                self._defect("broken_address", "quote not closed")
        self._phrase.append(value)
        self._written.append(token.group())

    def _mark(self, mark: str, position: int) -> int:
        if mark == "(":
            return self._skip_comment(position)
        if mark == ":":
            if self._angle is None:
                self._drop_held()
                self._in_group = "mailto" not in "".join(self._phrase)
                self._clear()
            return position
        if mark == ";":
            self._end_mailbox(mark)
            self._drop_held()
            self._after_semicolon = not self._in_group
            self._in_group = False
            return position
        self._end_mailbox(mark)
        return position

    def _skip_comment(self, position: int) -> int:
        depth = 1
        if not self._comments_broken:
            for match in _PARENTHESIS.finditer(self.text, position):
                depth += {"(": 1, ")": -1}.get(match.group(), 0)
                if depth == 0:
                    self._comment = self._comment or self.text[position : match.start()]
                    return match.end()
        if not self._comments_broken:
            self._defect("broken_address", "comment not closed")
        self._comments_broken = True  # each further attempt would read to the end as well
        return position

    def _end_mailbox(self, mark: str) -> None:
        angle, phrase, written = self._angle, self._phrase, self._written
        comment = self._comment
        self._clear()
        name = "".join(phrase).strip()
        if angle is not None:
            if self._held:
                self._defect("unquoted_comma")
                name = f"{self._held}, {name}".rstrip(", ")
                self._held = ""
            self._add(angle, name or comment)
            return
        self._drop_held()
        if not name:
            return
        address, rest = _address_in_phrase(written)
        if not address and "=?" in name:
            decoded = decode_words(name, self._report)
            if "@" in decoded:
                self._defect("encoded_address")
                bare = decoded.rpartition("<")[2].rstrip(">") if "<" in decoded else decoded
                self._add(bare, decoded.rpartition("<")[0])
                return
        if address:
            self._add(address, rest or comment)
        elif mark == "," and not self._in_group:
            self._held = name
        else:
            self._add_without_address(name)

    def _drop_held(self) -> None:
        if self._held:
            name, self._held = self._held, ""
            self._add_without_address(name)

    def _add_without_address(self, name: str) -> None:
        if " " in name or "=?" in name or len(name) > 64:
            self._defect("broken_address", "no address")
            self._append("", name)
        else:
            self._defect("address_without_domain")
            self._append(name, "")

    def _add(self, written: str, name: str) -> None:
        address = written.strip()
        if not address.startswith('"'):  # a quoted local part may hold blanks
            address = _BLANKS.sub("", address)
        if address != written.strip():
            self._defect("blank_in_address")
        if address[:7].lower() == "mailto:":
            address = address[7:]
            self._defect("broken_address", "mailto:")
        if address.startswith("@") and ":" in address:
            address = address.rpartition(":")[2]  # a source route, RFC 5322 4.4
        if address.startswith("'") and address.endswith("'"):
            address = address.strip("'")
        local, at, domain = address.rpartition("@")
        if not address:
            self._defect("broken_address", "empty address")
        elif not (at and local and domain):
            self._defect("address_without_domain")
        self._append(address, name)

    def _append(self, address: str, name: str) -> None:
        if self._after_semicolon:
            self._defect("semicolon_separator")
            self._after_semicolon = False
        shown = one_line(decode_words(name, self._report)) if name else ""
        self.found.append(Address(one_line(address), shown))


def _address_in_phrase(written: list[str]) -> tuple[str, str]:
    """("ada@example.com", other words) of a mailbox without brackets; ("", "") if there is none."""
    if not any("@" in piece for piece in written):
        return "", ""
    whole = "".join(written).strip()
    if " " not in whole:
        return whole, ""
    joined = re.sub(r"\s*@\s*", "@", whole)
    if " " not in joined:
        return joined, ""
    if whole.startswith('"') and '"@' in whole:  # a quoted local part with a blank
        return whole, ""
    words = joined.split()
    address = next((w for w in words if "@" in w.strip("@")), "")
    if not address:
        return "", ""
    return address.strip(",;<>"), " ".join(w.strip('"') for w in words if w != address)
