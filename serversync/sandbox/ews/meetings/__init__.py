"""Meetings: who is told of a calendar item, and what becomes of it in other people's mailboxes.

    organizing.py   the organizer's side: created, changed, called off
    attending.py    the other side: what arrives, and the item in the attendee's calendar
    responding.py   accepting and declining, and what the organizer learns of it
    messages.py     the mail that goes between them
    icalendar.py    the same as iCalendar, for whoever has no account here; and read from there

Whoever has an account here gets the properties themselves, as within one organization; everybody else gets
mail by the sandbox's way out. Each mail to each recipient is a row of `Store.meeting_mail`.
"""

NOBODY = "SendToNone"
INVITATIONS = (NOBODY, "SendOnlyToAll", "SendToAllAndSaveCopy")
CANCELLATIONS = INVITATIONS
UPDATES = (*INVITATIONS, "SendOnlyToChanged", "SendToChangedAndSaveCopy")
