"""The first step: which server. The form is that of the profile's own screen, with what one needs to begin."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.helpers import AdminForm
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as __

from mailboxes import access
from mailboxes.models import EmailServerProfile
from mailboxes.models.base import uuid7
from mailboxes.screens import actor_of
from serversync.console.health import organization_of
from serversync.console.wizard.frame import Frame, Here, go, url_of
from serversync.console.wizard.standing import facts_of, with_standing
from serversync.console.wizard.steps import DOES, NAMES, Facts, Step, place

#: What is asked here; the rest of the profile keeps its defaults until somebody opens its page.
ASKED = frozenset(
    {
        "name", "server_type", "use_auto_discover", "ca_certificate", "move_secrets",
        "incoming_server_location", "incoming_port_number", "incoming_uses_ssl",
        "incoming_tls_mode", "incoming_credential_retrieval", "incoming_authentication_protocol",
        "incoming_user_name", "incoming_password", "incoming_use_impersonation",
        "outgoing_server_location", "outgoing_port_number", "outgoing_uses_ssl",
        "outgoing_tls_mode", "use_same_settings_for_outgoing_connections",
        "outgoing_credential_retrieval", "outgoing_authentication_protocol",
        "outgoing_user_name", "outgoing_password", "outgoing_use_impersonation",
        "oauth_client_id", "oauth_client_secret", "oauth_client_secret_expires_on",
        "exchange_online_tenant_id", "use_default_tenant_id", "aad_resource_id",
        "server_authority", "oauth_grant", "oauth_authorization_endpoint",
        "oauth_token_endpoint", "oauth_scopes",
    }
)  # fmt: skip
SHOWN = 50  # profiles on the page that begins


class ServerPages:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.screen = frame.screen

    def start(self, request: HttpRequest) -> HttpResponse:
        """What was begun, and a new one."""
        self.frame.require(request)
        screen = self.screen(EmailServerProfile)
        context = {
            **self.frame.site.each_context(request),
            "title": __("Set up a server"),
            "begun": self._begun(request),
            "steps": [(name, DOES[step]) for step, name in NAMES.items()],
            "new": url_of(Step.SERVER, uuid7()) if screen.has_add_permission(request) else "",
            "import_url": import_url(),
        }
        return TemplateResponse(request, "console/wizard/start.html", context)

    def _begun(self, request: HttpRequest) -> list[tuple[Any, Any, Any, str]]:
        """Profile, how far it is, the step where it goes on, and its address."""
        rows = access.visible_to(request.user, EmailServerProfile.objects.all(), "change")
        organization = organization_of(request)
        found = []
        for profile in with_standing(rows).order_by("-created_on")[:SHOWN]:
            goes_on = place(facts_of(profile, organization))
            url = url_of(goes_on.step, profile.pk)
            found.append((profile, goes_on.because, NAMES[goes_on.step], url))
        return found

    def show(self, request: HttpRequest, key: UUID) -> HttpResponse:
        self.frame.require(request)
        here = self.frame.find(request, key)
        if here is None:
            access.require(request.user, "add", EmailServerProfile)
            here = Here(key, None, Facts())
        form, fieldsets = self._form(request, here)
        with transaction.atomic():  # the form locks the profile to see which secrets would move
            onwards = self._stored(request, here, form) if form.is_valid() else None
        if onwards is not None:
            return onwards
        screen = self.screen(EmailServerProfile)
        context = {
            "form": form,
            "adminform": AdminForm(form, fieldsets, {}, (), model_admin=screen),
        }
        return self.frame.page(request, Step.SERVER, here, context)

    def _stored(self, request: HttpRequest, here: Here, form: Any) -> HttpResponse:
        """Where to go on."""
        try:
            self._store(request, here, form)
        except IntegrityError:  # sent twice at once: the other one has stored it
            return go(Step.SERVER, here.key)
        except ValidationError as error:
            for words in error.messages:
                messages.error(request, words)
            return go(Step.SERVER, here.key)
        return go(Step.TEST, here.key)

    def _form(self, request: HttpRequest, here: Here) -> tuple[Any, list[Any]]:
        screen = self.screen(EmailServerProfile)
        fieldsets = asked_of(screen.get_fieldsets(request, here.profile))
        names = [name for _heading, options in fieldsets for name in options["fields"]]
        kind = screen.get_form(request, here.profile, change=here.facts.stored, fields=names)
        profile = here.profile or EmailServerProfile(pk=here.key, owning_user=actor_of(request))
        sent = (request.POST, request.FILES) if request.method == "POST" else ()
        return kind(*sent, instance=profile), fieldsets

    def _store(self, request: HttpRequest, here: Here, form: Any) -> None:
        """As the profile's own screen does it, with the same notes of who did what."""
        if here.facts.stored and not form.changed_columns:
            return
        screen, add = self.screen(EmailServerProfile), not here.facts.stored
        with transaction.atomic():
            profile = screen.save_form(request, form, change=not add)
            screen.save_model(request, profile, form, change=not add)
            told = screen.construct_change_message(request, form, [], add)
            (screen.log_addition if add else screen.log_change)(request, profile, told)


def asked_of(fieldsets: Any) -> list[Any]:
    """Of the screen's sections, what is asked here."""
    found = []
    for heading, options in fieldsets:
        names = [name for name in options["fields"] if name in ASKED]
        if names:
            found.append((heading, {**options, "fields": names}))
    return found


def import_url() -> str:
    """Where many users, queues and mailboxes come from a file; "" on a site without that page."""
    try:
        return reverse("admin:import")
    except NoReverseMatch:
        return ""
