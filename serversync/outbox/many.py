"""Many e-mails at once: taken back to drafts, or sent again after they failed. Each is decided by itself,
and whatever could not be done is counted by its reason."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.utils.translation import gettext as _

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes.models import SystemUser
from serversync.outbox.drafts import Refused
from serversync.outbox.submission import cancel, submit

AT_ONCE = 500  # each is a transaction of its own, within one request


@dataclass(slots=True)
class Tally:
    """`left`: reason -> how many."""

    done: list[Email] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)


def suitable(emails: Iterable[Email], status: EmailStatus) -> Tally:
    """Which of them are in the state that this is done to, before anything is."""
    tally = Tally()
    for email in emails:
        if email.status == status:
            tally.done.append(email)
        else:
            tally.left[_is(email.status)] += 1
    return tally


def take_back(emails: Iterable[Email], *, actor: SystemUser, now: datetime) -> Tally:
    """Those that still wait are drafts again (R5.2)."""

    def one(email: Email) -> str:
        if cancel(email, now=now):
            return ""
        email.refresh_from_db(fields=["status_code"])
        return _is(email.status)

    return _each(emails, one)


def send_again(emails: Iterable[Email], *, actor: SystemUser, now: datetime) -> Tally:
    """Those that failed are sent again as they are; what was confirmed for them holds (R5.5)."""

    def one(email: Email) -> str:
        if email.status != EmailStatus.FAILED:
            return _is(email.status)
        try:
            submit(email, actor=actor, now=now, despite_do_not_email=email.despite_do_not_email)
        except Refused as refused:
            return " ".join(refused.reasons)
        return ""

    return _each(emails, one)


def _each(emails: Iterable[Email], one: Callable[[Email], str]) -> Tally:
    """`one`: does it, or says why not."""
    tally = Tally()
    for email in emails:
        if reason := one(email):
            tally.left[reason] += 1
        else:
            tally.done.append(email)
    return tally


def _is(status: EmailStatus) -> str:
    return _("status “%(status)s”") % {"status": status.label}
