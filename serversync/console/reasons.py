"""Why an item ended in its state, in words."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from mailboxes.causes import cause_of
from mailboxes.conditions import TABLE
from mailboxes.screens import EMPTY
from serversync import quarantine
from tracking.choices import AcceptReason, SkipReason, SubReason
from tracking.trace import UNTRACKED

_REASONS: dict[str, Any] = {
    **{reason.code: reason.label for reason in AcceptReason},
    **dict(SkipReason.choices),
    quarantine.DISMISSED: _("Dismissed by hand"),
    UNTRACKED: _("Untracked"),
}
_DETAILS = dict(SubReason.choices)
#: These stand alone: no filter was asked, so nothing is to be said of one (R7.6, R7.21).
_UNASKED = (SubReason.FOLDER_RULE, SubReason.CATEGORY, SubReason.MANUAL)


def words_of(reason: str, sub_reason: str = "") -> str:
    """The reason and its detail; the code itself where this version doesn't know it."""
    words = _REASONS.get(reason)
    if words is None and reason in TABLE:
        return cause_of(reason).meaning
    if (reason, sub_reason) == (UNTRACKED, SubReason.MANUAL):
        return str(_("Untracked by hand"))
    detail = _DETAILS.get(sub_reason)
    if detail and sub_reason in _UNASKED:
        return str(detail)
    return f"{words}: {detail}" if words and detail else str(words or reason or EMPTY)
