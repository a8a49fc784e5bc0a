"""The organization's page, with what a change of it means to people."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailboxes.admin import OrganizationScreen
from mailboxes.models import Organization
from serversync.console.help import RuleLinks
from serversync.templatetags.console import with_rules
from tracking.rights import without_permission

PERMISSION = "own_email_needs_permission"


#: Switched where the numbers are shown first (R6.16).
ADDRESSES = "is_contact_mailing_address_sync_enabled"


class OrganizationConsole(RuleLinks, OrganizationScreen):
    """Whoever switches on that owning email needs a permission is told whose mail would fail."""

    readonly_fields = [*OrganizationScreen.readonly_fields, "contact_addresses"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (name, options | {"fields": [_shown_as(each) for each in options["fields"]]})
            for name, options in super().get_fieldsets(request, obj)
        ]

    @admin.display(description=_("addresses of contacts"))
    def contact_addresses(self, organization: Organization) -> SafeString:
        one = organization.is_contact_mailing_address_sync_enabled
        words = __("One mailing address is synchronized.") if one else __("All three are.")
        link = __("See what switching would change")
        url = reverse("admin:directions_addresses")
        return format_html('{} <a href="{}">{}</a> {}', words, url, link, with_rules("R6.16"))

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        asked_before = Organization.objects.get(pk=obj.pk).effective(PERMISSION)
        super().save_model(request, obj, form, change)
        if obj.effective(PERMISSION) and not asked_before and (count := without_permission()):
            self.message_user(request, _warning(count), messages.WARNING)


def _shown_as(field: Any) -> Any:
    return "contact_addresses" if field == ADDRESSES else field


def _warning(count: int) -> str:
    return ngettext(
        "%(count)d user whose mail comes in lacks the permission to add email, so that mail will end in "
        "quarantine. Add it to one of their groups. (R3.29)",
        "%(count)d users whose mail comes in lack the permission to add email, so that mail will end in "
        "quarantine. Add it to one of their groups. (R3.29)",
        count,
    ) % {"count": count}
