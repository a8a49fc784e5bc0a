"""The front page of a site on which nothing runs yet: what comes first, and where."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.choices import Reach
from mailboxes.models import EmailServerProfile, Mailbox, Organization
from serversync.models import Workload


@dataclass(frozen=True, slots=True)
class First:
    words: Any
    why: Any
    done: bool


def first_steps(request: HttpRequest, organization: Organization) -> list[First]:
    """Empty where something runs, or ran, and for whoever doesn't set up servers."""
    if access.reach_of(request.user, EmailServerProfile, "change") != Reach.ALL or _anything_ran():
        return []
    has_profile = EmailServerProfile.objects.exists()
    tied = Mailbox.objects.filter(email_server_profile__isnull=False).exists()
    return [
        First(
            _("Say where the mail is"),
            _("One profile for each mail system: kind, addresses, how to log in."),
            has_profile,
        ),
        First(
            _("Make it the default"),
            _("Users and queues that are made then get it at once."),
            organization.default_email_server_profile_id is not None,
        ),
        First(
            _("Choose users and queues"),
            _("Each has one mailbox; its address is approved by a person."),
            tied,
        ),
        First(
            _("Test & Enable"),
            _("What passes is switched on. What fails says why, and what to do."),
            False,
        ),
    ]


def _anything_ran() -> bool:
    return Workload.objects.filter(Q(enabled=True) | Q(last_success_at__isnull=False)).exists()
