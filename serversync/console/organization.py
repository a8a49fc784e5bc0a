"""The organization's page, with what a change of it means to people."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import ngettext

from mailboxes.admin import OrganizationScreen
from mailboxes.models import Organization
from serversync.console.help import RuleLinks
from tracking.rights import without_permission

PERMISSION = "own_email_needs_permission"


class OrganizationConsole(RuleLinks, OrganizationScreen):
    """Whoever switches on that owning email needs a permission is told whose mail would fail."""

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        asked_before = Organization.objects.get(pk=obj.pk).effective(PERMISSION)
        super().save_model(request, obj, form, change)
        if obj.effective(PERMISSION) and not asked_before and (count := without_permission()):
            self.message_user(request, _warning(count), messages.WARNING)


def _warning(count: int) -> str:
    return ngettext(
        "%(count)d user whose mail comes in lacks the permission to add email, so that mail will end in "
        "quarantine. Add it to one of their groups. (R3.29)",
        "%(count)d users whose mail comes in lack the permission to add email, so that mail will end in "
        "quarantine. Add it to one of their groups. (R3.29)",
        count,
    ) % {"count": count}
