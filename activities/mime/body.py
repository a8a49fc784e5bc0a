"""Which parts of a message are its body and which are its attachments.

Both parsers end here: they differ in how they find the parts, never in what they make of them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from activities.html import html_of, text_of
from activities.mime.charsets import decode_text
from activities.mime.message import Attachment, Defect
from activities.mime.outlook.rtf import Allowance
from activities.mime.structure import Part, first, read_header
from activities.mime.transfer import find_uuencoded
from activities.mime.words import Report, decode_words, one_line, to_text
from activities.mime.wrappings import (
    MAX_SIGNATURES,
    MESSAGE_TYPES,
    encryption_of,
    is_rights_protected,
    signed_part,
    unpack_winmail,
)

_CID = re.compile(r"\bcid:([^\"'\s>)\\]{1,500})", re.IGNORECASE)
_METHOD = re.compile(
    rb"^METHOD(?:;[^:\r\n]{0,200})?:[ \t]*([A-Za-z-]{1,40})[ \t]*\r?$", re.MULTILINE | re.I
)
_UID = re.compile(rb"^UID(?:;[^:\r\n]{0,200})?:([^\r\n]{1,512})\r?$", re.MULTILINE | re.I)
_FOLDED = re.compile(rb"\r?\n[ \t]")
_PGP = "-----BEGIN PGP MESSAGE-----"
# Names for parts that bring none. A table of ours: the system's own differs from host to host.
_EXTENSIONS = {
    "application/ms-tnef": ".dat",
    "application/pdf": ".pdf",
    "application/pgp-encrypted": ".txt",
    "application/pgp-signature": ".asc",
    "application/pkcs7-mime": ".p7m",
    "application/pkcs7-signature": ".p7s",
    "application/zip": ".zip",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/webp": ".webp",
    "message/delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/rfc822-headers": ".txt",
    "text/vcard": ".vcf",
    "text/x-vcard": ".vcf",
}


@dataclass(frozen=True, slots=True)
class Body:
    """What `read_body` finds; the fields mean what they mean in ParsedMessage."""

    html: str
    text: str
    attachments: tuple[Attachment, ...]
    calendar_method: str
    calendar_uid: str
    report_type: str
    encrypted: str


@dataclass(slots=True)
class _Section:
    """A stretch of the body as HTML, as text, or as both when a sender wrote both."""

    html: str | None = None
    text: str | None = None


def read_body(root: Part, report: Report) -> Body:
    reader = _BodyReader(report)
    section = reader.unpacked(_joined(reader.sections(root)))
    html, text = section.html or "", section.text or ""
    report_type = ""
    if root.content_type == "multipart/report":
        report_type = root.parameters.get("report-type", "").strip().lower()
    return Body(
        html=html,
        text=text,
        attachments=_attachments(reader.attached, html, report),
        calendar_method=reader.calendar_method,
        calendar_uid=reader.calendar_uid,
        report_type=_without_surrogates(report_type),
        encrypted=_encrypted(reader, root, text),
    )


def _encrypted(reader: "_BodyReader", root: Part, text: str) -> str:
    if is_rights_protected(root):
        return "irm"
    return reader.encrypted or ("pgp" if _PGP in text else "")


def _joined(sections: Sequence[_Section]) -> _Section:
    if not sections:
        return _Section()
    if len(sections) == 1:
        return sections[0]
    html = text = None
    if any(s.html is not None for s in sections):
        html = "<br>\n".join(html_of(s.text or "") if s.html is None else s.html for s in sections)
    if any(s.text is not None for s in sections):
        text = "\n".join(text_of(s.html or "") if s.text is None else s.text for s in sections)
    return _Section(html, text)


class _BodyReader:
    def __init__(self, report: Report) -> None:
        self.attached: list[Part] = []
        self.calendar_method = ""
        self.calendar_uid = ""
        self.encrypted = ""
        self._report = report
        self._has_text = False
        self._signatures = 0

    def sections(self, part: Part, *, attach: bool = False) -> list[_Section]:
        """`attach`: everything readable below is an attachment all the same."""
        if not part.children:
            return self._leaf(part, attach=attach)
        kind = part.content_type
        if kind == "multipart/alternative":
            return self._alternative(part, attach=attach)
        if kind == "multipart/encrypted":
            self.encrypted = self.encrypted or "pgp"
        shown = self._shown_children(part)
        found: list[_Section] = []
        for child in part.children:
            found += self.sections(
                child, attach=attach or (shown is not None and child is not shown)
            )
        return found

    def _shown_children(self, part: Part) -> Part | None:
        """The one child that is shown, for the types that have such a one."""
        kind = part.content_type
        if kind == "multipart/encrypted":
            return part
        if kind == "multipart/related":
            start = part.parameters.get("start", "").strip().strip("<>")
            roots = (child for child in part.children if start and child.content_id == start)
            return next(roots, part.children[0])
        if kind in ("multipart/signed", "multipart/report"):
            return part.children[0]
        return None

    def _alternative(self, part: Part, *, attach: bool) -> list[_Section]:
        best = _Section()
        for child in part.children:
            before = len(self.attached)
            section = _joined(self.sections(child, attach=attach))
            if section.html is not None and best.html is None:
                best.html = section.html
                if best.text is None:
                    best.text = section.text
            elif section.text is not None and section.html is None and best.text is None:
                best.text = section.text
            elif (section.html is not None or section.text is not None) and not child.children:
                self.attached.insert(before, child)  # a further alternative: kept, not shown
        return [] if best.html is None and best.text is None else [best]

    def _leaf(self, part: Part, *, attach: bool) -> list[_Section]:
        if signed := self._signed_part(part):
            return self.sections(signed, attach=attach)
        self._note_kind(part)
        if attach or not self._is_shown(part):
            self.attached.append(part)
            return []
        self._has_text = True
        text = self._text(part)
        return [_Section(html=text)] if part.content_type == "text/html" else [_Section(text=text)]

    def _is_shown(self, part: Part) -> bool:
        if part.content_type not in ("text/plain", "text/html"):
            return False
        if part.disposition not in ("", "inline") or part.filename.lower().endswith(".eml"):
            return False
        return not (part.filename and self._has_text)

    def _note_kind(self, part: Part) -> None:
        kind = part.content_type
        if kind == "text/calendar" and not self.calendar_method:
            self.calendar_method = _calendar_method(part)
            self.calendar_uid = _calendar_uid(part) if self.calendar_method else ""
        elif not kind.startswith("text/"):
            self.encrypted = self.encrypted or encryption_of(part, self._report)

    def _signed_part(self, part: Part) -> Part | None:
        if part.content_type.startswith("text/") or self._signatures >= MAX_SIGNATURES:
            return None
        signed = signed_part(part, self._report)
        self._signatures += signed is not None
        return signed

    def unpacked(self, section: _Section) -> _Section:
        """Each winmail.dat gives way to its files, and lends its body to a message without one."""
        attached, self.attached = self.attached, []
        allowance = Allowance()
        for part in attached:
            bare = not (section.html or section.text or "").strip()
            winmail = unpack_winmail(part.content, allowance, with_body=bare)
            if winmail is None or winmail.damaged:
                self.attached.append(part)
            if winmail is None:
                continue
            self.attached += winmail.parts
            if winmail.html or winmail.text:
                section = _Section(winmail.html or None, winmail.text or None)
            self.calendar_method = self.calendar_method or winmail.calendar_method
            self._report(Defect("winmail_opened", winmail.told))
        return section

    def _text(self, part: Part) -> str:
        content = part.content
        if part.content_type == "text/plain" and b"begin " in content:
            content = self._without_uuencoded(content)
        text, defects = decode_text(content, part.parameters.get("charset", ""))
        for defect in defects:
            self._report(defect)
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if part.parameters.get("format", "").strip().lower() == "flowed":
            text = unflow(text, delsp=part.parameters.get("delsp", "").strip().lower() == "yes")
        return text

    def _without_uuencoded(self, content: bytes) -> bytes:
        pieces, position = [], 0
        for file in find_uuencoded(content):
            self._report(Defect("uuencoded", one_line(file.filename.decode("latin-1"))))
            filename, _ = decode_text(file.filename)
            self.attached.append(
                Part("application/octet-stream", filename=filename, content=file.content)
            )
            pieces.append(content[position : file.start])
            position = file.end
        return b"".join(pieces) + content[position:] if pieces else content


def _calendar_method(part: Part) -> str:
    """METHOD, from the parameter or the text. A calendar file someone attached is no traffic."""
    method = part.parameters.get("method", "").strip()
    if not method and part.disposition != "attachment":
        line = _METHOD.search(part.content[:65536])
        method = line.group(1).decode("ascii") if line else ""
    return method.upper() if re.fullmatch(r"[A-Za-z-]{1,40}", method, re.ASCII) else ""


def _calendar_uid(part: Part) -> str:
    """UID of the first thing in it, unfolded (RFC 5545, 3.1)."""
    line = _UID.search(_FOLDED.sub(b"", part.content[:65536]))
    told = line.group(1).decode("utf-8", "replace").strip() if line else ""
    return "".join(each for each in told if each.isprintable())


def unflow(text: str, *, delsp: bool) -> str:
    """RFC 3676: lines that end in a blank go on in the next one of the same quote depth."""
    paragraphs: list[tuple[int, list[str]]] = []
    flowing = False
    for line in text.split("\n"):
        bare = line.lstrip(">")
        depth = len(line) - len(bare)
        if bare.startswith(" "):
            bare = bare[1:]  # space-stuffing
        flows = bare.endswith(" ") and bare != "-- "
        if flows and delsp:
            bare = bare[:-1]
        if flowing and bare != "-- " and paragraphs[-1][0] == depth:
            paragraphs[-1][1].append(bare)
        else:
            paragraphs.append((depth, [bare]))
        flowing = flows
    return "\n".join(
        (">" * depth + " " if depth else "") + "".join(pieces) for depth, pieces in paragraphs
    )


def _attachments(parts: Sequence[Part], html: str, report: Report) -> tuple[Attachment, ...]:
    shown: set[str] = set()
    if any(part.content_id for part in parts):
        shown = {unquote(match.group(1)) for match in _CID.finditer(html)}
    return tuple(
        Attachment(
            filename=_filename(part, number, report),
            content_type=part.content_type,
            content=part.content,
            content_id=_without_surrogates(part.content_id),
            inline=part.content_id in shown,
        )
        for number, part in enumerate(parts, start=1)
    )


def _without_surrogates(text: str) -> str:
    """Parameters keep octets that are no UTF-8 as surrogates until here."""
    return one_line(decode_text(text.encode("utf-8", "surrogateescape"))[0])


def _filename(part: Part, number: int, report: Report) -> str:
    written = part.filename.encode("utf-8", "surrogateescape")
    name, _ = decode_text(written)
    if not written.isascii() and written != name.encode():
        report(Defect("eight_bit_header", "filename"))
    name = one_line(name)
    base = name.replace("\\", "/").rpartition("/")[2].strip()
    if base != name:
        report(Defect("path_in_filename", name[:80]))
    if base in ("", ".", ".."):
        return _made_up_name(part, number)
    return base


def _made_up_name(part: Part, number: int) -> str:
    if part.content_type in MESSAGE_TYPES:
        subject = _subject_of(part.content)
        return f"{subject or f'message-{number}'}.eml"
    stem = "image" if part.content_type.startswith("image/") else "part"
    return f"{stem}-{number}{_EXTENSIONS.get(part.content_type, '.bin')}"


def _subject_of(raw: bytes) -> str:
    def ignore(_: Defect) -> None: ...

    fields, _ = read_header(raw[:65536], 0, ignore)
    subject = decode_words(to_text(first(fields, "subject"), "", ignore, "subject"), ignore)
    return re.sub(r'[\\/:*?"<>|]+', " ", one_line(subject)).strip(" .")[:100]
