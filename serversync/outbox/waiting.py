"""Why an e-mail that was sent does not leave yet."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from mailboxes.choices import Operation
from mailboxes.eligibility import eligible, facts_of
from mailboxes.models import Organization


def waits(mailbox: Any, organization: Organization, now: datetime) -> list[str]:
    """Why the mail will wait (R5.7); strict parity says nothing."""
    if not organization.effective("warn_of_waiting_email"):
        return []
    verdict = eligible(facts_of(mailbox, mailbox.workload(Operation.OUTGOING), organization), now)
    if verdict.ok:
        return []
    return [_("It waits in the queue: %(because)s (R5.7)") % {"because": verdict.because}]
