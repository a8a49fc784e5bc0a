"""Profiles: the health of their mailboxes, their warnings, their signing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from activities.models import Email
from activities.signing import signer_with
from mailboxes import access, services
from mailboxes.admin import ProfileScreen
from mailboxes.admin.profiles import kept_back_words
from mailboxes.causes import cause_of
from mailboxes.models import EmailServerProfile, Mailbox, TraceLog
from mailboxes.protocols.errors import PermanentError
from mailboxes.screens import link
from serversync.console import live
from serversync.console.charts import cards
from serversync.console.connections import results_of, test_of
from serversync.console.deeds import Deed, Deeds
from serversync.console.health import KIND, Health, organization_of, with_health
from serversync.console.help import RuleLinks
from serversync.console.mailboxes.columns import worst
from serversync.console.signin import back_address, owners_sign_in
from serversync.console.testdialog import Chosen, ask
from serversync.dkim_record import check_record
from serversync.models import Workload

LATEST = 10


def _needless_for_signing(profile: EmailServerProfile) -> set[str]:
    """Deeds of R5.32 that there is nothing to do for."""
    if profile.kind.is_exchange or not (profile.dkim_domain and profile.dkim_selector):
        return {"check_dkim", "make_rsa_key", "make_ed25519_key"}
    if profile.dkim_sign:
        return {"make_rsa_key", "make_ed25519_key"}
    return set() if profile.dkim_private_key else {"check_dkim"}


class ProfileConsole(RuleLinks, Deeds, ProfileScreen):
    """The profile with the health of its mailboxes."""

    change_form_template = "admin/mailboxes/emailserverprofile/change_form.html"
    list_display = [
        "name",
        "kind",
        "servers",
        "state",
        "mailboxes_words",
        "owner_words",
    ]
    actions = ["test_mailboxes", "activate", "deactivate"]
    deeds = (
        Deed("test_mailboxes", _("Test & Enable all its mailboxes"), main=True),
        Deed("test_connection", _("Test the connection")),
        Deed("confirm_places", _("Send stored secrets to these servers"), grave=True),
        Deed("check_dkim", _("Look up the DKIM record")),
        Deed("make_rsa_key", _("Make a DKIM key (RSA)"), needs="change"),
        Deed("make_ed25519_key", _("Make a DKIM key (Ed25519)"), needs="change"),
        Deed("activate", _("Activate"), needs="change"),
        Deed("deactivate", _("Deactivate"), grave=True, needs="change"),
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        hidden = {"activate" if obj.is_active_state else "deactivate"}
        may_confirm = access.may(request.user, "move_secrets", obj)
        if not (may_confirm and services.kept_back(obj).exists()):
            hidden.add("confirm_places")
        hidden |= _needless_for_signing(obj)
        return [deed for deed in self.deeds if deed.name not in hidden]

    @admin.action(description=_("Test the connection"))
    def test_connection(
        self, request: HttpRequest, queryset: "QuerySet[EmailServerProfile]"
    ) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:test_connection", args=[queryset.get().pk]))

    @admin.action(description=_("Look up the DKIM record"))
    def check_dkim(self, request: HttpRequest, queryset: "QuerySet[EmailServerProfile]") -> None:
        """Also before signing is switched on (R5.32)."""
        profile = queryset.get()
        try:
            found = check_record(signer_with(profile))
        except PermanentError as error:
            cause = cause_of(error.code)
            words = f"{cause.meaning} {error.detail} {cause.advice}"
            self.message_user(request, words, messages.ERROR)
        else:
            self.message_user(request, found, messages.SUCCESS)

    @admin.display(description=_("mailboxes"), ordering="mailbox_count")
    def mailboxes_words(self, profile: Any) -> SafeString:
        url = reverse("admin:mailboxes_mailbox_changelist")
        return link(f"{url}?email_server_profile__id__exact={profile.pk}", profile.mailbox_count)

    @admin.display(description=_("owner"))
    def owner_words(self, profile: EmailServerProfile) -> str:
        return str(profile.owner)

    @admin.action(description=_("Test & Enable all their mailboxes"))
    def test_mailboxes(
        self, request: HttpRequest, queryset: "QuerySet[EmailServerProfile]"
    ) -> HttpResponse:
        keys = tuple(queryset.values_list("pk", flat=True))
        return ask(self.admin_site, request, Chosen(profiles=keys))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        profile = kw.get("obj")
        if profile is not None:
            rows = access.visible_to(
                request.user, Mailbox.objects.filter(email_server_profile=profile), "view"
            )
            served = (
                with_health(rows, organization_of(request))
                .prefetch_related("workloads")
                .order_by("name")[:100]
            )
            warnings = self.warnings_of(profile) if profile.is_active_state else {}
            context["warnings"] = [self.named(name, words) for name, words in warnings.items()]
            if count := services.kept_back(profile).count():
                context["warnings"].append(kept_back_words(count))
            if owners_sign_in(profile):
                context["back_address"] = back_address(request)
            context["served"] = [
                (
                    mailbox,
                    Health(mailbox.health).label,
                    KIND[Health(mailbox.health)],
                    worst(mailbox),
                )
                for mailbox in served
            ]
            context |= self.activity_of(request, profile, timezone.now())
            context["connection"] = test_of(profile)
            context["connection_results"] = results_of(context["connection"])
            context["open_alerts"] = [
                (alert, cause_of(alert.code, alert.text, alert.trace_parameters))
                for alert in TraceLog.objects.filter(
                    regarding_profile=profile, closed_on__isnull=True
                )[:LATEST]
            ]
        return super().render_change_form(request, context, *args, **kw)

    def activity_of(
        self, request: HttpRequest, profile: EmailServerProfile, now: datetime
    ) -> dict[str, Any]:
        """Charts, what runs and what runs next, of the mailboxes that the reader may see."""
        served = {"mailbox__email_server_profile": profile}
        cycles = cards.Cycles.seen_by(request.user, **served)
        workloads, emails = (
            access.visible_to(request.user, rows, "view")
            for rows in (
                Workload.objects.filter(**served),
                Email.objects.filter(sender_mailbox__email_server_profile=profile),
            )
        )
        span = cards.span_of(request.GET.get("span"))
        return {
            "charts": cards.of_profile(workloads, cycles, emails, profile.pk, span, now),
            "live": live.running(request, now, profile=profile.pk),
            "next_runs": live.next_runs(request, now, **served),
        }
