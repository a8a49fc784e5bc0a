"""Queues."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import services
from mailboxes.admin.addressing import AddressForm, WithAddress
from mailboxes.admin.cells import mailbox_link
from mailboxes.choices import StateCode
from mailboxes.models import (
    Queue,
)
from mailboxes.remembering import Remembered
from mailboxes.screens import (
    OWNER,
    by,
    link,
    state_badge,
)


class QueueScreen(Remembered, WithAddress):
    form = AddressForm
    open_to_all = True
    search_fields = ["name", "email_address"]
    list_display = [
        "name", "email_address", "incoming_email_filtering_method", "mailbox", "waiting", "state",
    ]  # fmt: skip
    list_filter = ["queue_view_type", "incoming_email_filtering_method", "state_code"]
    list_select_related = ["default_mailbox", "owning_user", "owning_team"]
    autocomplete_fields = ["owning_user", "owning_team"]
    filter_horizontal = ["members"]
    readonly_fields = ["mailbox", "state"]
    fieldsets = [
        (
            _("Queue"),
            {
                "description": _("A place where mail waits for whoever takes it."),
                "fields": ["name", "description", "state", "queue_view_type", "members"],
            },
        ),
        (
            _("Mail"),
            {
                "description": _(
                    "Its address, which of its mail is kept, and the mailbox that was made for it."
                ),
                "fields": ["email_address", "incoming_email_filtering_method", "mailbox"],
            },
        ),
        OWNER,
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        waiting = Count("items", filter=Q(items__state_code=StateCode.ACTIVE))
        return super().get_queryset(request).annotate(waiting_items=waiting)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"owning_user": request.user.pk, **initial}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changed = self.stored_columns(form.changed_data)
        services.save_queue(queue=obj, changed_fields=changed, **by(request))

    @admin.display(description=_("mailbox"))
    def mailbox(self, queue: Queue) -> SafeString | str:
        return mailbox_link(queue)

    @admin.display(description=_("waiting"), ordering="waiting_items")
    def waiting(self, queue: Any) -> SafeString:
        url = reverse("admin:activities_queueitem_changelist")
        return link(f"{url}?queue__id__exact={queue.pk}", queue.waiting_items)

    @admin.display(description=_("state"), ordering="state_code")
    def state(self, queue: Queue) -> SafeString:
        return state_badge(queue)

    actions = ["activate", "deactivate"]

    @admin.action(description=_("Activate: their mailboxes with them"))
    def activate(self, request: HttpRequest, queryset: "QuerySet[Queue]") -> None:
        self.perform(
            request,
            lambda: services.set_queue_state(queues=queryset, active=True, **by(request)),
            __("Activated %(count)d queue. Test & Enable its mailbox to start (R1.41)."),
            __("Activated %(count)d queues. Test & Enable their mailboxes to start (R1.41)."),
        )

    @admin.action(description=_("Deactivate: their mailboxes become inactive"))
    def deactivate(self, request: HttpRequest, queryset: "QuerySet[Queue]") -> None:
        self.perform(
            request,
            lambda: services.set_queue_state(queues=queryset, active=False, **by(request)),
            __("Deactivated %(count)d queue; its mailbox stops (R1.41)."),
            __("Deactivated %(count)d queues; their mailboxes stop (R1.41)."),
        )
