"""Why mail has not left yet, in the list of e-mails and on the page of one, and for how long it can be
undone."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes.models import Organization
from serversync.outbox.waiting import why_they_wait

if TYPE_CHECKING:
    from activities.admin import EmailListScreen as Base
else:
    Base = object

LONGEST = 120  # characters of a reason in the list; its page has all of it
SLACK = 2  # seconds after the end until the page asks how it went


@dataclass(frozen=True, slots=True)
class Undo:
    """`seconds` are left, as the page is made; `refresh`: when it is to be made again."""

    until: datetime
    seconds: int

    @property
    def refresh(self) -> int:
        return self.seconds + SLACK


def undo_of(email: Email, organization: Organization, now: datetime) -> Undo | None:
    """While the time to undo lasts; None where nothing is left to undo, or it waits for something else."""
    until = email.postpone_email_processing_until
    first = email.delivery_attempts == 0 and not email.last_error_code
    if not (organization.undo_send_seconds and first and until is not None and until > now):
        return None
    if email.status != EmailStatus.PENDING_SEND:
        return None
    later = email.delayed_email_send_time
    if later is not None and later > until:
        return None
    return Undo(until, ceil((until - now).total_seconds()))


class Waiting(Base):
    """Mix in before the screen of emails."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """One statement more, if something waits."""
        shown = super().get_changelist_instance(request)
        waiting = [row for row in shown.result_list if row.status == EmailStatus.PENDING_SEND]
        if waiting:
            now = timezone.now()
            because = why_they_wait(waiting, Organization.objects.current(), now)
            for row in waiting:
                row.waits_because = because[row.pk]
        return shown

    @admin.display(description=_("status"), ordering="status_code")
    def status(self, email: Email) -> SafeString:
        shown = super().status(email)
        because = getattr(email, "waits_because", "")
        if not because:
            return shown
        return format_html(
            '{}<span class="small quiet waits" title="{}">{}</span>',
            shown,
            because,
            Truncator(because).chars(LONGEST),
        )
