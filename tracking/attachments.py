"""PURE  Which files of a message are kept (R3.51, R3.52)? Called for each accepted message."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from activities.mime.filetypes import extensions_of, true_type
from activities.mime.message import Attachment
from tracking.trace import DroppedAttachment

TOO_LARGE, BLOCKED, BLOCKED_TYPE = "too_large", "blocked", "blocked_type"

# Programs that need no extension to be run. Who blocks "exe" means them, once they pose as documents.
_PROGRAMS = frozenset({"exe", "dll", "elf", "macho"})
_SCRIPTS = frozenset({"sh", "csh", "ksh", "js", "pl", "php", "ps1", "py", "rb", "scpt"})
_DOCUMENTS = frozenset(
    {
        "bmp", "csv", "doc", "docx", "eml", "gif", "heic", "htm", "html", "ics", "jpeg",
        "jpg", "md", "mov", "mp3", "mp4", "odp", "ods", "odt", "pdf", "png", "ppt", "pptx",
        "rtf", "tif", "tiff", "txt", "vcf", "wav", "webp", "xls", "xlsx", "xml", "zip",
    }
)  # fmt: skip
_TEXTS = frozenset({"csv", "eml", "htm", "html", "ics", "md", "txt", "vcf", "xml"})


@dataclass(frozen=True, slots=True)
class Judged:
    kept: tuple[Attachment, ...]
    dropped: tuple[DroppedAttachment, ...]


def blocked_extensions(written: str) -> frozenset[str]:
    """Of the organization's list, "exe;.bat; cmd"."""
    words = (word.strip().lower().lstrip(".") for word in written.split(";"))
    return frozenset(word for word in words if word)


def judge_attachments(
    attachments: Iterable[Attachment], limit: int, blocked: Collection[str]
) -> Judged:
    """`limit` in octets; `blocked`: extensions in lower case. What is shown in the body is judged like
    any other file."""
    kept: list[Attachment] = []
    dropped: list[DroppedAttachment] = []
    for file in attachments:
        reason, kind = _objection(file, limit, blocked)
        if reason:
            dropped.append(DroppedAttachment(file.filename, len(file.content), reason, kind))
        else:
            kept.append(file)
    return Judged(tuple(kept), tuple(dropped))


def _objection(file: Attachment, limit: int, blocked: Collection[str]) -> tuple[str, str]:
    """(reason, true type) or ("", "")."""
    extensions = extensions_of(file.filename)
    if any(extension in blocked for extension in extensions):
        return BLOCKED, ""
    kind = true_type(file.content, file.filename, file.content_type) if blocked else ""
    if kind and (kind in blocked or _poses(kind, extensions, blocked)):
        return BLOCKED_TYPE, kind
    return (TOO_LARGE, "") if len(file.content) > limit else ("", "")


def _poses(kind: str, extensions: Collection[str], blocked: Collection[str]) -> bool:
    """Whether a program is called like a document. Scripts are text, and often mailed as such."""
    if "exe" not in blocked:
        return False
    if kind in _PROGRAMS:
        return any(extension in _DOCUMENTS for extension in extensions)
    return kind in _SCRIPTS and any(e in _DOCUMENTS - _TEXTS for e in extensions)
