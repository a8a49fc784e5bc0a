"""PURE  Why something was decided, in words: code -> sentence, rule, and what can be done about it.

Codes are stored with revisions and parked changes: never rename one. A sentence may name parameters as %(name)s.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from serversync.act.types import Reason

Words = str | Promise


@dataclass(frozen=True, slots=True)
class Because:
    """`advice`: "" where there is nothing to do."""

    sentence: Words
    rule: str
    advice: Words = ""


_LOOK = _("Look at what would happen, then approve it or drop it.")
_DIRECTIONS = _("Change it where it is kept.")
_FILES = _("Look at the files; the organization's settings say how large they may be.")

REASONS: dict[str, Because] = {
    # -- files
    "files_added": Because(_("Files that were added on the other side: %(count)s."), "R6.34"),
    "files_taken_off": Because(
        _("Files that were taken off on the other side: %(count)s."), "R6.34"
    ),
    "files_left_out": Because(
        _("Files that stay on one side, too large or blocked: %(count)s."), "R3.51", _FILES
    ),
    "files_refused": Because(
        _("Files that the server did not take or give: %(count)s."), "R6.34", _FILES
    ),
    # -- beginnings
    "matches_filter": Because(
        _("A filter of the user finds the record, so it is made on the server."), "R6.13"
    ),
    "tracked": Because(_("The user tracks the item, so it is taken up here."), "R6.3"),
    "linked": Because(_("Record and item belong together and were linked."), "R6.51"),
    "not_tracked": Because(
        _("Nobody tracks the item, so it isn't read."), "R6.3", _("Put the category on it.")
    ),
    "no_filter": Because(
        _("No active filter of the user finds the record."), "R6.10", _("Change the filters.")
    ),
    "not_readable": Because(
        _("The user may not read the record."), "R6.7", _("Give the user access to it.")
    ),
    "not_writable": Because(
        _("The user may not write the record."), "R6.7", _("Give the user access to it.")
    ),
    "copy": Because(
        _("The item is a copy of a linked one, and copies are ignored."),
        "R6.48",
        _("Have copies taken up, in the settings of the organization."),
    ),
    "other_calendar": Because(
        _("The item lies neither in the main calendar nor below it."), "R6.5", _("Move it there.")
    ),
    "private": Because(
        _("The item is private, and its owner doesn't track it."),
        "R6.36",
        _("Its owner can track it, or make it public."),
    ),
    "tracked_by_attendee": Because(
        _("Somebody else organizes the meeting, and attendees may not track it."),
        "R6.29",
        _("Allow it in the settings of the organization, or have the organizer track it."),
    ),
    "organizer_syncs_elsewhere": Because(
        _("The meeting's organizer is a user who synchronizes in another way."),
        "R6.29",
        _("Have the organizer track it."),
    ),
    "foreign_task": Because(
        _("The task recurs on the server, or was assigned to somebody there."),
        "R6.40",
        _("Make a single task of one's own of it."),
    ),
    # -- what was carried
    "changed_here": Because(_("The record was changed here."), "R6.4"),
    "changed_there": Because(_("The item was changed on the server."), "R6.4"),
    "conflict": Because(
        _("Both sides changed %(fields)s. One of them won, the other is kept in the history."),
        "R6.53",
        _("Undo the change to have the other one back."),
    ),
    "attendees_told": Because(
        _("So many people are mailed about it by the server: %(count)s."), "R6.22"
    ),
    "without_address": Because(
        _("Without an address nobody can be invited: %(parties)s."),
        "R6.31",
        _("Give them an address, or take them off the meeting."),
    ),
    "stored_while_busy": Because(
        _("Stored, although somebody is busy then: %(parties)s."),
        "R6.26",
        _("Have such meetings wait for a decision, in the settings of the organization."),
    ),
    # -- what was held back
    "not_organizer": Because(
        _("Only the organizer's mailbox writes a meeting on the server."),
        "R6.20",
        _("Have the organizer change it."),
    ),
    "organizer_missing": Because(
        _("The appointment has no organizer."), "R6.20", _("Fill in the organizer.")
    ),
    "organizer_decides": Because(
        _("The organizer's mailbox is synchronized, so this copy changes nothing here."), "R6.29"
    ),
    "not_in_organizers_mailbox": Because(
        _("It came from a server, and the organizer's mailbox has no such meeting."),
        "R6.20",
        _("Approve it only if he wants it there: everybody would be invited in his name."),
    ),
    "organizer_elsewhere": Because(
        _("Another user's mailbox still holds this meeting, so no second one is made."),
        "R6.32",
        _("The former organizer decides whether to hand it over."),
    ),
    "draft": Because(_("The appointment is a draft."), "R6.24", _("Send it.")),
    "past_meeting": Because(
        _("The meeting is over, and past ones aren't changed on the server."),
        "R6.23",
        _("Allow it in the settings of the organization; it may send invitations."),
    ),
    "closed_here": Because(
        _("The record is completed or canceled here."),
        "R6.28",
        _("Open it again to have changes of the server."),
    ),
    "canceled_there": Because(_("The meeting was canceled on the server."), "R6.22"),
    "others_own": Because(
        _("The item is an attendee's copy, whose status and reminder are the attendee's."), "R6.20"
    ),
    "organizer_kept": Because(_("The server names no organizer, so the one here stays."), "R6.30"),
    "never_sent": Because(_("The server keeps this by itself."), "R6.14", _DIRECTIONS),
    "occurrence_gone": Because(
        _("A server makes no occurrence again that was deleted there."),
        "R6.33",
        _("Make an appointment of its own."),
    ),
    "recurs_otherwise": Because(_("The pattern hasn't got the occurrence any more."), "R6.33"),
    # -- deletions and partings
    "deleted_here": Because(_("The record was deleted here."), "R6.45"),
    "removed_there": Because(
        _("The item was taken away by the synchronization itself; the record stays."), "R6.45"
    ),
    "deleted_there": Because(
        _("The item was deleted on the server."), "R6.45", _("The record lies in the bin.")
    ),
    "left": Because(_("The record takes part no longer."), "R6.45"),
    "not_ahead": Because(_("The meeting has begun or is over, so its item stays."), "R6.45"),
    "over": Because(_("The meeting is over, so the record stays."), "R6.45"),
    "owned_by_others": Because(_("Somebody else owns the record, so it stays."), "R6.45"),
    "own_contact": Because(_("The user owned the contact, so it stays in the mailbox."), "R6.45"),
    "completed_there": Because(_("The task is completed there, so it stays."), "R6.45"),
    "tasks_stay": Because(
        _("Tasks that are deleted on the server stay here."),
        "R6.45",
        _("Change it in the settings of the organization."),
    ),
    "one_way": Because(_("Service activities go to the server only."), "R6.8"),
    "category_removed": Because(
        _("Somebody took the category off. Both copies stay."),
        "R6.49",
        _("Put it on again to link them again."),
    ),
    "canceled_here": Because(_("The appointment was canceled here."), "R6.45"),
    "organizer_changed": Because(
        _("Somebody else organizes the meeting now."),
        "R6.32",
        _("Decide whether it is handed over, which calls the former one off."),
    ),
    "nothing_left": Because(_("Nothing of it is left on either side."), "R6.50"),
    "unlinked": Because(
        _("The two were unlinked before, and aren't linked again by themselves."),
        "R6.50",
        _("Link them again by hand, or put the category on."),
    ),
    # -- questions and answers
    "scheduling_conflict": Because(
        _("Somebody is busy then."), "R6.26", _("Decide whether it is stored all the same.")
    ),
    "scheduling_conflict_declined": Because(
        _("Somebody is busy then, and it was decided not to store it."), "R6.26"
    ),
    "duplicate": Because(
        _("The item looks like a record that is here already."),
        "R6.51",
        _("Decide whether both are the same."),
    ),
    "duplicate_declined": Because(_("It was decided that both aren't the same."), "R6.51"),
    "previously_linked": Because(
        _("The two were linked before."), "R6.51", _("Decide whether to link them again.")
    ),
    "previously_linked_declined": Because(_("It was decided not to link them again."), "R6.51"),
    "organizer_changed_declined": Because(
        _("It was decided to leave the meeting with its former organizer."), "R6.32"
    ),
    "declined": Because(_("A person dropped exactly this."), "R6.46"),
    "creation_declined": Because(
        _("A person decided that the other side isn't made."),
        "R6.51",
        _("Have it looked at again if it is to be made after all."),
    ),
    # -- the guard
    "cancellation_waits": Because(_("Attendees would get a cancellation."), "R6.46", _LOOK),
    "too_many_deletes": Because(
        _(
            "%(count)s would be deleted or called off; %(allowed)s are allowed of %(linked)s linked."
        ),
        "R6.46",
        _LOOK,
    ),
    "too_many_people": Because(
        _("%(count)s people would be mailed; %(allowed)s are allowed in one cycle."),
        "R6.46",
        _LOOK,
    ),
    "first_look": Because(
        _(
            "The first synchronization would make %(store)s records here and %(server)s items there."
        ),
        "R6.51",
        _LOOK,
    ),
    # -- people's deeds
    "unlinked_by_hand": Because(_("%(by)s unlinked them."), "R6.49"),
    "linked_by_hand": Because(_("%(by)s linked them again."), "R6.51"),
    "dropped_by_hand": Because(_("%(by)s dropped the deletion, so they were unlinked."), "R6.46"),
    "undone_by_hand": Because(_("%(by)s undid a change."), "R6.47"),
    "undone": Because(_("Somebody undid a change, so it mails nobody unasked."), "R6.46"),
}


class _Known(dict[str, Any]):
    """A parameter that was stored by another version leaves an ellipsis."""

    def __missing__(self, key: str) -> str:
        return "…"


def sentence(reason: Reason) -> str:
    """With its rule, in the active language. A code of another version is told as it is."""
    because = REASONS.get(reason.code)
    if because is None:
        return reason.code
    return f"{str(because.sentence) % _Known(reason.parameters)} ({because.rule})"


def advice(reason: Reason) -> str:
    """What to do about it; "" where nothing is to be done."""
    because = REASONS.get(reason.code)
    return str(because.advice) % _Known(reason.parameters) if because else ""


def sentences(reasons: Iterable[Reason]) -> list[str]:
    return [sentence(reason) for reason in reasons]


def reason_of(data: Mapping[str, Any]) -> Reason:
    """As it was stored."""
    return Reason(str(data.get("code") or ""), data.get("parameters") or {})
