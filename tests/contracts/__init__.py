"""What every adapter promises (mailboxes/protocols/base.py), as tests to be inherited.

A subclass gives an `account` fixture: a way to put mail into a server and adapters that reach it, and
says by class attributes in what its protocol differs. The fakes run in the unit pass, real servers in
the integration pass.
"""

from tests.contracts.folders import IncomingAccount, IncomingContract
from tests.contracts.inbox import (
    SENT_AT,
    InboxAccount,
    InboxContract,
    MaildropContract,
    delete,
    message,
)
from tests.contracts.items import ItemsAccount, ItemsContract
from tests.contracts.outgoing import (
    Handing,
    OutgoingAccount,
    OutgoingContract,
    SubmissionAccount,
    SubmissionContract,
)

__all__ = [
    "SENT_AT",
    "Handing",
    "InboxAccount",
    "InboxContract",
    "IncomingAccount",
    "IncomingContract",
    "ItemsAccount",
    "ItemsContract",
    "MaildropContract",
    "OutgoingAccount",
    "OutgoingContract",
    "SubmissionAccount",
    "SubmissionContract",
    "delete",
    "message",
]
