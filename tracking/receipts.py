"""PURE  What a site's own code on receipt is told, and what it may answer (R3.52a, docs/receipt-hooks.md).

from tracking.receipts import Receipt, Record, Refuse, Result

def by_order_number(receipt: Receipt) -> Result | None:
    ...
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


class Refuse(Exception):
    """Raised by a hook: this message is not to be stored, for the reason given. It counts as failed."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of any model: its label in lower case ("activities.contact"), and its key as text."""

    label: str
    key: str


@dataclass(frozen=True, slots=True)
class Person:
    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file of the message; `inline`: shown inside the body. All of them, also those that are left out
    when the message is stored (R3.51)."""

    name: str
    content_type: str
    size: int
    inline: bool
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """`regarding`: the record to file the email under. Heeded only while it has none."""

    regarding: Record | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One accepted message, as facts.

    `key`: the same whenever this message is told of; code that must not act twice remembers it.
    `email_id`: None before the email is stored, that is in all runs but late ones.
    `mailbox`, `mailbox_address`: what was read. `outgoing`: found in sent items (R3.60).
    `kind`: ordinary, reply, bounce, ...; see activities.mime.message.MessageKind.
    `sender_record`: whom the sender's address stands for; `accepted_by`: the user or queue.
    """

    key: UUID
    email_id: UUID | None = None
    mailbox: str
    mailbox_address: str
    outgoing: bool = False
    kind: str
    message_id: str
    in_reply_to: str = ""
    subject: str
    sender: Person | None = None
    to: tuple[Person, ...] = ()
    cc: tuple[Person, ...] = ()
    bcc: tuple[Person, ...] = ()
    text: str = field(repr=False, default="")
    html: str = field(repr=False, default="")
    attachments: tuple[ReceivedFile, ...] = ()
    sent_at: datetime | None = None
    received_at: datetime | None = None
    sender_record: Record | None = None
    regarding: Record | None = None
    accepted_by: Record | None = None
    read_raw: Callable[[], bytes] = field(repr=False, compare=False, default=bytes)

    @property
    def raw(self) -> bytes:
        """The octets of the message as the server had them; read when asked for."""
        return self.read_raw()


Hook = Callable[[Receipt], Result | None]
