"""The world outside: everybody to whom the sandbox has no account. Some of them answer.

Their answers are made from what they were sent alone, so that a second delivery of one message
brings the same answer with the same Message-ID again.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import SMTP, compat32
from email.utils import format_datetime
from enum import StrEnum


class Manner(StrEnum):
    """How somebody answers mail."""

    SILENT = "silent"
    REPLY = "reply"
    REPLY_BY_REFERENCES = "reply_by_references"
    OUT_OF_OFFICE = "out_of_office"
    BOUNCE = "bounce"


@dataclass(frozen=True, slots=True)
class Person:
    address: str
    name: str
    manner: Manner = Manner.SILENT
    text: str = "Thank you, that suits us."


@dataclass(frozen=True, slots=True)
class Answer:
    to: str
    mime: bytes


class Outside:
    """Keeps nothing; `take` says what comes back. Who is unknown here stays silent."""

    def __init__(self, people: Mapping[str, Person] | None = None) -> None:
        self.people = {address.lower(): person for address, person in (people or {}).items()}

    def take(self, sender: str, recipient: str, mime: bytes, now: datetime) -> Answer | None:
        person = self.people.get(recipient.lower())
        if person is None or not sender:  # nobody answers a bounce (RFC 3834)
            return None
        message = BytesParser(policy=compat32).parsebytes(mime)
        write = WRITERS.get(person.manner)
        if write is None or _is_automatic(message):
            return None
        answer = write(person, message, mime)
        answer["Date"] = format_datetime(now)
        digest = hashlib.sha256(f"{recipient}{message['Message-ID']}".encode()).hexdigest()
        answer["Message-ID"] = f"<{digest[:24]}@{recipient.rpartition('@')[2]}>"
        return Answer(sender, answer.as_bytes(policy=SMTP))


def _is_automatic(message: Message) -> bool:
    return str(message.get("Auto-Submitted", "no")).strip().lower() != "no"


def _answer(person: Person, message: Message, subject: str) -> EmailMessage:
    answer = EmailMessage()
    answer["From"] = f"{person.name} <{person.address}>"
    answer["To"] = str(message.get("Reply-To") or message.get("From") or "")
    answer["Subject"] = subject
    return answer


def _subject(message: Message) -> str:
    return str(make_header(decode_header(str(message.get("Subject", "")))))


def _thread(message: Message) -> str:
    own = str(message.get("Message-ID", "")).strip()
    return f"{' '.join(str(message.get('References', '')).split())} {own}".strip()


def _reply(person: Person, message: Message, _: bytes) -> EmailMessage:
    subject = _subject(message)
    answer = _answer(person, message, subject if subject[:3] == "Re:" else f"Re: {subject}")
    if person.manner is not Manner.REPLY_BY_REFERENCES:
        answer["In-Reply-To"] = str(message.get("Message-ID", "")).strip()
    answer["References"] = _thread(message)
    answer.set_content(f"{person.text}\n\n{person.name}\n")
    return answer


def _out_of_office(person: Person, message: Message, _: bytes) -> EmailMessage:
    answer = _answer(person, message, f"Automatic reply: {_subject(message)}")
    answer["In-Reply-To"] = str(message.get("Message-ID", "")).strip()
    answer["References"] = _thread(message)
    answer["Auto-Submitted"] = "auto-replied"
    answer.set_content("I am out of the office until Monday.\n")
    return answer


def _bounce(person: Person, message: Message, mime: bytes) -> EmailMessage:
    """A delivery status notification (RFC 3464) from the far side's own mail system."""
    domain = person.address.rpartition("@")[2]
    header, _, _ = mime.replace(b"\r\n", b"\n").partition(b"\n\n")
    boundary = f"=_{hashlib.sha256(header).hexdigest()[:16]}"
    status = (
        f"Reporting-MTA: dns; {domain}\n\nFinal-Recipient: rfc822; {person.address}\n"
        "Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 No such user here\n"
    )
    answer = EmailMessage(policy=SMTP.clone(max_line_length=0))
    answer["From"] = f"Mail Delivery System <MAILER-DAEMON@{domain}>"
    answer["To"] = str(message.get("From") or "")
    answer["Subject"] = "Undelivered Mail Returned to Sender"
    answer["Auto-Submitted"] = "auto-replied"
    answer["In-Reply-To"] = str(message.get("Message-ID", "")).strip()
    answer["References"] = _thread(message)
    answer["MIME-Version"] = "1.0"
    answer["Content-Type"] = f'multipart/report; report-type=delivery-status; boundary="{boundary}"'
    answer.set_payload(
        f"--{boundary}\nContent-Type: text/plain; charset=us-ascii\n\n"
        f"Your message could not be delivered to {person.address}.\n\n"
        f"--{boundary}\nContent-Type: message/delivery-status\n\n{status}\n"
        f"--{boundary}\nContent-Type: text/rfc822-headers\n\n"
        f"{header.decode('ascii', 'replace')}\n\n--{boundary}--\n"
    )
    return answer


def forwarded(mime: bytes, sender: str, to: str, now: datetime) -> bytes:
    """What a server rule "forward as an attachment" makes of a message; its bytes stay as they are."""
    digest = hashlib.sha256(sender.encode() + mime).hexdigest()
    boundary = f"=_forwarded_{digest[:16]}"
    head = (
        f"From: {sender}\r\nTo: {to}\r\nSubject: Fwd: a message\r\n"
        f"Date: {format_datetime(now)}\r\nMessage-ID: <fwd-{digest[:24]}@{sender.partition('@')[2]}>"
        f'\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'
        f"--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nForwarded by rule.\r\n"
        f"\r\n--{boundary}\r\nContent-Type: message/rfc822\r\n"
        'Content-Disposition: attachment; filename="message.eml"\r\n\r\n'
    )
    return head.encode() + mime + f"\r\n--{boundary}--\r\n".encode()


WRITERS: dict[Manner, Callable[[Person, Message, bytes], EmailMessage]] = {
    Manner.REPLY: _reply,
    Manner.REPLY_BY_REFERENCES: _reply,
    Manner.OUT_OF_OFFICE: _out_of_office,
    Manner.BOUNCE: _bounce,
}
