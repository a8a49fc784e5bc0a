"""What a reply or a forward takes over from its parent: subject, references, quoted body."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from activities.mime.compose import bounded_references

# Prefixes of mail programs in the languages that translate them; a number may follow ("Re[2]:").
_REPLY = re.compile(
    r"\s*(?:re|aw|antw|antwort|sv|vs|r|rif|odp|res|回复|回覆|返信)(?:\[\d{1,3}\])?\s*[:：]",
    re.IGNORECASE,
)
_FORWARD = re.compile(
    r"\s*(?:fw|fwd|wg|tr|i|rv|enc|転送|转发)(?:\[\d{1,3}\])?\s*[:：]", re.IGNORECASE
)
_BODY = re.compile(r"<body\b[^>]*>(.*?)(?:</body\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,128}")


def message_id_for(uuid_text: str, domain: str) -> str:
    """The bare Message-ID of a message of ours."""
    host = domain.strip().rstrip(".")
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    if not _LOCAL.fullmatch(uuid_text) or not _DOMAIN.fullmatch(host):
        raise ValueError("message_id: made of something that is no name or no domain")
    return f"{uuid_text}@{host.lower()}"


def reply_subject(subject: str) -> str:
    return subject.strip() if _REPLY.match(subject) else f"RE: {subject.strip()}".rstrip()


def forward_subject(subject: str) -> str:
    return subject.strip() if _FORWARD.match(subject) else f"FW: {subject.strip()}".rstrip()


def reply_references(parent_message_id: str, parent_references: Sequence[str]) -> tuple[str, ...]:
    """The parent's references and then the parent (RFC 5322, 3.6.4), bounded."""
    before = [i for i in parent_references if i != parent_message_id]
    return bounded_references([*before, parent_message_id])


def quote_html(html: str, intro: str) -> str:
    """The parent's body under one line of introduction ("On Monday Ada wrote:", from the caller)."""
    return (
        f"<br>\n<p>{escape(intro)}</p>\n"
        '<blockquote style="margin:0 0 0 0.8ex;border-left:1px solid #ccc;padding-left:1ex">\n'
        f"{body_of(html)}\n</blockquote>\n"
    )


def quote_text(text: str, intro: str) -> str:
    quoted = "\n".join(
        f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in text.split("\n")
    )
    return f"\n{intro}\n{quoted}\n"


def forward_html(html: str, header: Iterable[tuple[str, str]]) -> str:
    """The parent's body under the header lines given as (label, value)."""
    lines = "<br>\n".join(f"<b>{escape(label)}:</b> {escape(value)}" for label, value in header)
    return f"<br>\n<hr>\n<p>{lines}</p>\n{body_of(html)}\n"


def body_of(html: str) -> str:
    """What is between the body tags; all of a fragment that has none."""
    match = _BODY.search(html)
    return (match.group(1) if match else html).strip()


def is_reply_subject(subject: str) -> bool:
    return _REPLY.match(subject) is not None


def is_forward_subject(subject: str) -> bool:
    return _FORWARD.match(subject) is not None
