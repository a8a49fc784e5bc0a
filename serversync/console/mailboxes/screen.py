"""The list of mailboxes, and what one does with them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.models import Email
from mailboxes import access
from mailboxes.admin import MailboxScreen
from mailboxes.causes import cause_of
from mailboxes.choices import AccessApproval, Operation
from mailboxes.eligibility import is_server_side
from mailboxes.models import Mailbox
from mailboxes.screens import EMPTY, badge, link, moment
from serversync import waking
from serversync.console import actcard, live, pushed
from serversync.console.charts import cards
from serversync.console.deeds import Deed, Deeds
from serversync.console.health import KIND, Health, organization_of, with_health
from serversync.console.help import RuleLinks
from serversync.console.mailboxes.columns import (
    STOPPED,
    HealthFilter,
    direction_badge,
    items_of_today,
    worst,
)
from serversync.console.mailboxes.page import panel_of
from serversync.console.testdialog import PERMISSION as TEST
from serversync.console.testdialog import Chosen, ask, is_anothers
from tracking.admin import rules_card


class MailboxConsole(RuleLinks, Deeds, MailboxScreen):
    """Is it healthy? And if not: why, and what to do."""

    change_form_template = "admin/mailboxes/mailbox/change_form.html"
    list_display = [
        "title",
        "health_and_error",
        "kind_and_profile",
        "approval",
        "directions",
        "last_success",
        "next_run",
        "today",
    ]
    list_display_links = ["title"]
    list_filter = [HealthFilter, *MailboxScreen.list_filter]
    actions = [
        "approve", "reject", "test_and_enable", "test_and_take_over", "synchronize",
        "apply_defaults", "activate", "deactivate",
    ]  # fmt: skip
    deeds = (
        Deed("test_and_enable", _("Test & Enable"), main=True, needs=TEST),
        Deed(
            "test_and_take_over",
            _("Test & Enable, and take over from another organization"),
            needs=TEST,
        ),
        Deed("synchronize", _("Synchronize now"), needs="synchronize_mailbox"),
        Deed("approve", _("Approve"), needs="approve_mailbox"),
        Deed("reject", _("Reject"), needs="approve_mailbox"),
        Deed("apply_defaults", _("Apply default settings"), needs="change"),
        Deed("verbose_log", _("What is said to the server"), needs="change"),
        Deed("activate", _("Activate"), needs="change"),
        Deed("deactivate", _("Deactivate"), grave=True, needs="change"),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        organization = organization_of(request)
        return (
            with_health(super().get_queryset(request), organization)
            .annotate(items_today=items_of_today(timezone.now()))
            .prefetch_related("workloads")
        )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        active = obj.is_active_state
        hidden = {
            "activate" if active else "deactivate",
            "approve" if obj.email_router_access_approval == AccessApproval.APPROVED else "",
            "reject" if obj.email_router_access_approval == AccessApproval.REJECTED else "",
        }
        if not active:
            hidden |= {"test_and_enable", "synchronize"}
        if not active or not is_anothers(obj):
            hidden.add("test_and_take_over")
        if not access.may(request.user, "change", obj):
            hidden.add("verbose_log")
        return [deed for deed in self.deeds if deed.name not in hidden]

    # -- columns

    @admin.display(description=_("state"))
    def health_and_error(self, mailbox: Any) -> SafeString:
        state = Health(mailbox.health)
        row = worst(mailbox)
        if row is None:
            return badge(state.label, KIND[state])
        code = row.last_error_code or row.state_code
        return format_html(
            '{}<span class="row-sub bad-text" title="{}">{}</span>',
            badge(state.label, KIND[state]),
            cause_of(code, row.last_error_text).meaning,
            code,
        )

    @admin.display(description=_("kind, profile"), ordering="email_server_profile__name")
    def kind_and_profile(self, mailbox: Mailbox) -> SafeString:
        profile = mailbox.email_server_profile
        words: SafeString | str = __("no profile")
        if profile is not None:
            url = reverse("admin:mailboxes_emailserverprofile_change", args=[profile.pk])
            words = link(url, profile)
        return format_html('{}<span class="row-sub nowrap">{}</span>', self.kind(mailbox), words)

    @admin.display(description=_("in / out"))
    def directions(self, mailbox: Any) -> SafeString:
        return format_html(
            '<span class="directions">{}{}</span>',
            direction_badge(mailbox, 0),
            direction_badge(mailbox, 1),
        )

    @admin.display(description=_("last success"))
    def last_success(self, mailbox: Any) -> SafeString | str:
        rows = mailbox.workloads.all()
        return moment(
            max((row.last_success_at for row in rows if row.last_success_at), default=None)
        )

    @admin.display(description=_("next run"))
    def next_run(self, mailbox: Any) -> SafeString | str:
        row = mailbox.workload(Operation.INCOMING)
        if row is None or not row.enabled or mailbox.health in STOPPED:
            return EMPTY
        if row.is_leased(timezone.now()):
            return badge(_("running"), "info")
        return moment(max(row.next_run_at, row.postponed_until or row.next_run_at))

    @admin.display(description=_("today"), ordering="items_today")
    def today(self, mailbox: Any) -> SafeString | str:
        if not mailbox.items_today:
            return "0"
        url = reverse("admin:serversync_syncitem_changelist")
        return link(f"{url}?mailbox__id__exact={mailbox.pk}&day=today", mailbox.items_today)

    # -- what the engine does

    @admin.action(description=_("Test & Enable"))
    def test_and_enable(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> HttpResponse:
        return self._ask_to_test(request, queryset, take_over=False)

    @admin.action(description=_("Test & Enable, even if set to another organization (R2.20)"))
    def test_and_take_over(
        self, request: HttpRequest, queryset: "QuerySet[Mailbox]"
    ) -> HttpResponse:
        """Appointments, contacts and tasks: the other organization then stops (R6.61)."""
        return self._ask_to_test(request, queryset, take_over=True)

    def _ask_to_test(
        self, request: HttpRequest, queryset: "QuerySet[Mailbox]", *, take_over: bool
    ) -> HttpResponse:
        keys = tuple(queryset.values_list("pk", flat=True))
        return ask(self.admin_site, request, Chosen(keys, take_over=take_over))

    @admin.action(description=_("Synchronize now"))
    def synchronize(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> None:
        if self.missing(request, "synchronize_mailbox"):
            return
        chosen = self.within_reach(request, queryset, "synchronize_mailbox")
        rows = list(chosen)
        woken = sum(
            waking.wake(
                [row.pk for row in rows if is_server_side(row, operation)], operation, by_hand=True
            )
            for operation in Operation
        )
        if woken:
            self.message_user(
                request,
                __("Asked for %(count)d workloads to run now; a worker takes them in seconds.")
                % {"count": woken},
                messages.SUCCESS,
            )
        else:
            self.message_user(
                request,
                __("Nothing can run: no workload of these mailboxes is enabled. Test & Enable."),
                messages.WARNING,
            )

    def verbose_log(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> HttpResponse:
        """The page where verbose logging is switched on and read (R8.18)."""
        return HttpResponseRedirect(reverse("admin:verbose_log", args=[queryset.get().pk]))

    # -- the page

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        mailbox = kw.get("obj")
        if mailbox is not None:
            context["panel"] = panel_of(request, mailbox, timezone.now())
            context["rules_card"] = rules_card(request.user, mailbox, organization_of(request))
            context["act_card"] = actcard.card_of(mailbox)
            context["push"] = pushed.push_of(mailbox, timezone.now())
            context["live"] = live.of_mailbox(request, mailbox.pk, timezone.now())
            context["charts"] = charts_of(request, mailbox, timezone.now())
        return super().render_change_form(request, context, *args, **kw)


def charts_of(request: HttpRequest, mailbox: Mailbox, now: datetime) -> cards.Charts:
    emails = Email.objects.filter(sender_mailbox=mailbox)
    return cards.of_mailbox(
        cards.Cycles.seen_by(request.user, mailbox=mailbox),
        access.visible_to(request.user, emails, "view"),
        mailbox.pk,
        cards.span_of(request.GET.get("span")),
        now,
    )
