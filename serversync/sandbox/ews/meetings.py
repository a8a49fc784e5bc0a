"""The boundary to meetings: whoever changes a calendar item asks here whether somebody is to be told.

Invitations, responses and cancellations aren't exchanged yet, so a request that would tell somebody is
refused. What exchanges them goes here: `tell` is called with each calendar item that was created, changed
or is about to be deleted, and with what the request wants to happen to its attendees.
"""

from serversync.sandbox.ews import mimes
from serversync.sandbox.ews.soap import Refusal, T
from serversync.sandbox.ews.store import Item, NewItem

NOBODY = "SendToNone"
ATTENDEES = ("RequiredAttendees", "OptionalAttendees", "Resources")


def tell(item: Item | NewItem, whom: str) -> None:
    """`whom`: the value of SendMeetingInvitations, SendMeetingInvitationsOrCancellations or
    SendMeetingCancellations. Raises Refusal."""
    if whom != NOBODY and attendees(item):
        raise Refusal("ErrorInvalidOperation", "This server doesn't exchange meeting invitations.")


def attendees(item: Item | NewItem) -> list[str]:
    """Their addresses."""
    people = (mimes.mailboxes(item.element, f"{tag}/{T}Attendee") for tag in ATTENDEES)
    return [address for found in people for _, address in found]
