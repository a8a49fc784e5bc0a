"""The boundary to meetings: whoever changes a calendar item asks here whether somebody is to be told.

Invitations, responses and cancellations aren't exchanged yet, so a request that would tell somebody is
refused. What exchanges them goes here: `tell` is called with each calendar item that was created, changed
or is about to be deleted, and with what the request wants to happen to its attendees.
"""

from serversync.sandbox.ews.appointments import attendees
from serversync.sandbox.ews.soap import Refusal
from serversync.sandbox.ews.store import Item, NewItem

NOBODY = "SendToNone"


def tell(item: Item | NewItem, whom: str) -> None:
    """`whom`: the value of SendMeetingInvitations, SendMeetingInvitationsOrCancellations or
    SendMeetingCancellations. Raises Refusal."""
    if whom != NOBODY and attendees(item):
        raise Refusal("ErrorInvalidOperation", "This server doesn't exchange meeting invitations.")
