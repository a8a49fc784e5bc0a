"""Writing mail in the site, and handing it to the send queue, in the order of an e-mail's life:

    drafts.py files.py     what a person writes, as rows, until it is sent
    answers.py             drafts that reply or pass on
    rights.py              who may send as whom
    missing.py             what an e-mail lacks before it can be sent
    submission.py          into the queue, and back while it waits there
    waiting.py             why it does not leave yet
    unknown.py             what a person says where nobody knows whether it left

What is named here is what the rest of the site calls.
"""

from serversync.outbox.answers import forward, reply
from serversync.outbox.drafts import Draft, Refused, Sender, address_of, create_draft, update_draft
from serversync.outbox.files import attach, detach
from serversync.outbox.rights import may_send_as
from serversync.outbox.submission import Submitted, cancel, submit
from serversync.outbox.unknown import decide_unknown

__all__ = [
    "Draft",
    "Refused",
    "Sender",
    "Submitted",
    "address_of",
    "attach",
    "cancel",
    "create_draft",
    "decide_unknown",
    "detach",
    "forward",
    "may_send_as",
    "reply",
    "submit",
    "update_draft",
]
