"""Writing mail in the site, and handing it to the send queue, in the order of an e-mail's life:

    drafts.py files.py     what a person writes, as rows, until it is sent
    answers.py             drafts that reply or pass on
    rights.py              who may send as whom
    recipients.py          who they are when it is sent
    missing.py             what an e-mail lacks before it can be sent
    route.py               through which mailbox it leaves
    submission.py          into the queue, and back while it waits there
    sizes.py               what of its size is known to be too much
    waiting.py             why it does not leave yet, and who is told after an hour
    unknown.py             what a person says where nobody knows whether it left

What is named here is what the rest of the site calls.
"""

from serversync.outbox.answers import forward, reply
from serversync.outbox.drafts import (
    Draft,
    Refused,
    Sender,
    address_of,
    create_draft,
    update_draft,
    written,
)
from serversync.outbox.files import attach, detach
from serversync.outbox.rights import may_send_as, senders_for
from serversync.outbox.submission import Submitted, cancel, submit
from serversync.outbox.unknown import decide_all, decide_unknown

__all__ = [
    "Draft",
    "Refused",
    "Sender",
    "Submitted",
    "address_of",
    "attach",
    "cancel",
    "create_draft",
    "decide_all",
    "decide_unknown",
    "detach",
    "forward",
    "may_send_as",
    "reply",
    "senders_for",
    "submit",
    "update_draft",
    "written",
]
