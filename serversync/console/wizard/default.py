"""The third step: what new users and queues get. The form is that of the organization's own screen."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as __

from mailboxes import access
from mailboxes.choices import IncomingDeliveryMethod, OutgoingDeliveryMethod
from mailboxes.models import Organization
from serversync.console.health import organization_of
from serversync.console.wizard.frame import Frame, Here, go
from serversync.console.wizard.steps import Step

PROFILE = "default_email_server_profile"
METHODS = (
    "default_incoming_email_delivery_method",
    "default_outgoing_email_delivery_method",
    "default_act_delivery_method",
)


class DefaultPages:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def show(self, request: HttpRequest, key: UUID) -> HttpResponse:
        self.frame.require(request)
        here = self.frame.here(request, key)
        organization = organization_of(request)
        may = access.may(request.user, "change", organization)
        form = self._form(request, here, organization) if may else None
        if request.method == "POST" and form is not None and form.is_valid():
            self._store(request, form)
            return go(Step.PEOPLE, key)
        context = {
            "form": form,
            "fields": [form[name] for name in METHODS] if form else [],
            "other": organization.default_email_server_profile,
            "ticked": self._ticked(request, organization),
            "refusal": "" if may else " ".join(access.refusal(Organization, "change").args),
        }
        return self.frame.page(request, Step.DEFAULT, here, context)

    def _ticked(self, request: HttpRequest, organization: Organization) -> bool:
        if request.method == "POST":
            return "make_default" in request.POST
        return organization.default_email_server_profile_id is None

    def _form(self, request: HttpRequest, here: Here, organization: Organization) -> Any:
        screen = self.frame.screen(Organization)
        sent: dict[str, Any] = {name: request.POST.get(name, "") for name in METHODS}
        if "make_default" in request.POST:
            sent[PROFILE] = here.key
        kind = screen.get_form(request, organization, change=True, fields=list(sent))
        return kind(sent if request.method == "POST" else None, instance=organization)

    def _store(self, request: HttpRequest, form: Any) -> None:
        if not form.has_changed():
            return
        screen = self.frame.screen(Organization)
        with transaction.atomic():
            row = screen.save_form(request, form, change=True)
            screen.save_model(request, row, form, change=True)
            told = screen.construct_change_message(request, form, [], False)
            screen.log_change(request, row, told)
        if not _is_tied(row):
            words = __(
                "New users and queues get no profile: neither incoming nor outgoing email is "
                "server-side synchronization. (R1.30)"
            )
            messages.warning(request, words)


def _is_tied(organization: Organization) -> bool:
    """As `services.default_settings` decides it for a queue."""
    return (
        organization.default_incoming_email_delivery_method
        == IncomingDeliveryMethod.SERVER_SIDE_SYNC
        or organization.default_outgoing_email_delivery_method
        == OutgoingDeliveryMethod.SERVER_SIDE_SYNC
    )
