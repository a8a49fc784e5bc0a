"""Mailboxes, profiles and the engine's rows: the rooms' screens with what the engine adds to them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import (
    Count,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.signing import signer_with
from mailboxes import access, services
from mailboxes.admin import AlertScreen, MailboxScreen, ProfileScreen, QueueScreen, by
from mailboxes.admin.profiles import kept_back_words
from mailboxes.causes import Cause, cause_of
from mailboxes.choices import (
    AccessApproval,
    CredentialRetrieval,
    Operation,
    StateCode,
    TestStatus,
)
from mailboxes.conditions import TABLE
from mailboxes.connect import Direction, retrieval_of
from mailboxes.eligibility import Verdict, eligible, facts_of, is_server_side
from mailboxes.models import EmailServerProfile, Mailbox, Organization, TraceLog
from mailboxes.places import is_kept_back
from mailboxes.protocols.errors import PermanentError
from mailboxes.protocols.phases import Phase
from mailboxes.screens import EMPTY, ReadOnlyScreen, badge, link, moment, version_words
from mailboxes.signin import may_sign_in
from serversync import engine, quarantine
from serversync.act import batches, guard, marker
from serversync.act.byhand import ALERTS
from serversync.act.records import keys_in
from serversync.choices import ItemState, WorkloadState, counted_as
from serversync.console import actcard
from serversync.console.conflicts import WarnsOfSharedAddresses
from serversync.console.deeds import Deed, Deeds
from serversync.console.health import KIND, MEANING, Health, with_health
from serversync.console.help import RuleLinks
from serversync.console.navigation import in_doubt
from serversync.console.signin import SignIn, back_address, owners_sign_in, sign_in_of
from serversync.dkim_record import check_record
from serversync.models import (
    FolderCursor,
    MailboxStatistics,
    ServerAction,
    SyncItem,
    Workload,
)
from tracking import hooks
from tracking.admin import rules_card
from tracking.choices import HookState

LATEST = 10
#: States in which no workload runs, whatever its own row says.
STOPPED = (Health.INACTIVE, Health.NOT_SET_UP, Health.WAITING)
TEST_KIND = {TestStatus.NOT_RUN: "quiet", TestStatus.SUCCESS: "good", TestStatus.FAILURE: "bad"}


def midnight(now: datetime) -> datetime:
    return timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)


def items_of_today(now: datetime) -> Coalesce:
    """How many items of a mailbox reached their state today."""
    counted = (
        SyncItem.objects.filter(mailbox=OuterRef("pk"), decided_at__gte=midnight(now))
        .order_by()
        .values("mailbox")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


# -- the list ------------------------------------------------------------------------------------


class HealthFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return Health.choices

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        return queryset.filter(health=self.value()) if self.value() else queryset


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
        Deed("test_and_enable", _("Test & Enable"), main=True),
        Deed("test_and_take_over", _("Test & Enable, and take over from another organization")),
        Deed("synchronize", _("Synchronize now")),
        Deed("approve", _("Approve")),
        Deed("reject", _("Reject")),
        Deed("apply_defaults", _("Apply default settings")),
        Deed("activate", _("Activate")),
        Deed("deactivate", _("Deactivate"), grave=True),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        organization = _organization(request)
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
        if not active or not _is_anothers(obj):
            hidden.add("test_and_take_over")
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
            '<span class="directions">{}{}</span>', _direction(mailbox, 0), _direction(mailbox, 1)
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
    def test_and_enable(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> None:
        self._test(request, queryset, take_over=False)

    @admin.action(description=_("Test & Enable, even if set to another organization (R2.20)"))
    def test_and_take_over(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> None:
        """Appointments, contacts and tasks: the other organization then stops (R6.61)."""
        self._test(request, queryset, take_over=True)

    def _test(
        self, request: HttpRequest, queryset: "QuerySet[Mailbox]", *, take_over: bool
    ) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        chosen = Mailbox.objects.filter(pk__in=ids)

        def schedule() -> services.Outcome:
            with transaction.atomic():
                outcome = services.schedule_test(mailboxes=chosen, **by(request))
                engine.enqueue_tests(
                    access.visible_to(request.user, chosen, "test_mailbox").values_list(
                        "pk", flat=True
                    ),
                    take_over=take_over,
                )
            return outcome

        self.perform(
            request,
            schedule,
            __("Test & Enable started for %(count)d mailbox. Reload in a moment for its steps."),
            __("Test & Enable started for %(count)d mailboxes. Reload in a moment."),
        )

    @admin.action(description=_("Synchronize now"))
    def synchronize(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> None:
        if self.missing(request, "synchronize_mailbox"):
            return
        chosen = self.within_reach(request, queryset, "synchronize_mailbox")
        rows = list(chosen)
        woken = sum(
            engine.wake(
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

    # -- the page

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        mailbox = kw.get("obj")
        if mailbox is not None:
            context["panel"] = panel_of(request, mailbox, timezone.now())
            context["rules_card"] = rules_card(request.user, mailbox, _organization(request))
            context["act_card"] = actcard.card_of(mailbox)
        return super().render_change_form(request, context, *args, **kw)


def _organization(request: HttpRequest) -> Organization:
    """Read once for a page."""
    known: Organization | None = request.__dict__.get("_organization")
    if known is None:
        known = request.__dict__["_organization"] = Organization.objects.current()
    return known


def _is_anothers(mailbox: Any) -> bool:
    """Its last look found that the account synchronizes with another organization (R6.61)."""
    row = mailbox.workload(Operation.ACT)
    return row is not None and row.state_code == marker.OtherOrganization.code


def _direction(mailbox: Any, number: int) -> SafeString:
    """Whether one direction runs: a word for the eye, the rest on hovering."""
    operation = Operation(number)
    arrow = "↓" if operation == Operation.INCOMING else "↑"
    row = mailbox.workload(operation)
    if not is_server_side(mailbox, operation) or row is None:
        kind, words = "quiet", __("not used")
    elif mailbox.health in STOPPED:
        kind, words = "quiet", __("stands still")
    elif row.state == WorkloadState.PAUSED:
        kind, words = "bad", __("paused")
    elif row.test_status == TestStatus.FAILURE or row.state == WorkloadState.DISABLED:
        kind, words = "bad", __("failed")
    elif not row.enabled:
        kind, words = "warn", __("not tested")
    elif row.consecutive_failures:
        kind, words = "bad", __("failing")
    else:
        kind, words = "good", __("runs")
    title = f"{operation.label}: {words}"
    return format_html(
        '<span class="badge badge-{}" title="{}">{} {}</span>', kind, title, arrow, words
    )


def worst(mailbox: Any) -> Workload | None:
    """The workload whose trouble is worth naming first."""
    troubled = [
        row
        for row in mailbox.workloads.all()
        if (row.last_error_code and (row.consecutive_failures or not row.enabled))
        or row.state != WorkloadState.READY
    ]
    return max(
        troubled,
        key=lambda row: (row.state != WorkloadState.READY, row.consecutive_failures),
        default=None,
    )


# -- the page ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a test. `words`: the server's own; `meaning` and `advice`: ours."""

    name: Any
    ok: bool
    milliseconds: int | None
    words: str
    meaning: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """One workload of a mailbox, for its page."""

    operation: Operation
    used: bool
    row: Workload
    verdict: Verdict
    steps: list[Step]
    error: Cause | None

    @property
    def kind(self) -> str:
        if self.verdict.ok:
            return "good"
        if not self.used:
            return "quiet"
        return "warn" if self.verdict.code in ("NotTested", "Postponed", "InProgress") else "bad"


@dataclass(frozen=True, slots=True)
class StateCount:
    state: ItemState
    today: int
    total: int
    url: str


@dataclass(frozen=True, slots=True)
class Panel:
    """All that the mailbox page shows beside the form."""

    health: Health
    health_kind: str
    meaning: Any
    channels: list[Channel]
    counts: list[StateCount]
    before_start: int
    items: list[SyncItem]
    reads_subjects: bool
    cycles: list[MailboxStatistics]
    folders: list[FolderCursor]
    sign_in: SignIn | None
    may_connect: bool
    kept_back: bool
    endpoint: Any
    alerts: list[tuple[TraceLog, Cause]]
    pending_actions: int
    items_url: str
    cycles_url: str
    alerts_url: str

    @property
    def version(self) -> str:
        return version_words(self.endpoint.version) if self.endpoint else ""


def panel_of(request: HttpRequest, mailbox: Any, now: datetime) -> Panel:
    organization = _organization(request)
    items = reverse("admin:serversync_syncitem_changelist") + f"?mailbox__id__exact={mailbox.pk}"
    folders = list(FolderCursor.objects.filter(mailbox=mailbox).order_by("-generation", "folder"))
    health = Health(mailbox.health)
    alerts = TraceLog.objects.filter(regarding_mailbox=mailbox, closed_on__isnull=True)
    return Panel(
        health=health,
        health_kind=KIND[health],
        meaning=MEANING[health],
        channels=[_channel(mailbox, operation, organization, now) for operation in Operation],
        counts=_counts(mailbox, items, now),
        before_start=sum(folder.before_start for folder in folders),
        items=list(
            SyncItem.objects.filter(mailbox=mailbox).defer("trace").order_by("-decided_at")[:LATEST]
        ),
        reads_subjects=access.may_read_content(request.user, mailbox),
        cycles=list(MailboxStatistics.objects.filter(mailbox=mailbox)[:LATEST]),
        folders=folders,
        sign_in=sign_in_of(mailbox, now),
        may_connect=may_sign_in(request.user, mailbox),  # type: ignore[arg-type]
        kept_back=_is_kept_back(mailbox),
        endpoint=getattr(mailbox, "discovered_endpoint", None),
        alerts=[
            (alert, cause_of(alert.code, alert.text, alert.trace_parameters))
            for alert in alerts.order_by("-level", "-last_seen_on")[:LATEST]
        ],
        pending_actions=ServerAction.objects.filter(mailbox=mailbox, state="pending").count(),
        items_url=items,
        cycles_url=reverse("admin:serversync_mailboxstatistics_changelist")
        + f"?mailbox__id__exact={mailbox.pk}",
        alerts_url=reverse("admin:mailboxes_tracelog_changelist")
        + f"?regarding_mailbox__id__exact={mailbox.pk}",
    )


def _is_kept_back(mailbox: Mailbox) -> bool:
    """Whether its password would be used, were it not kept back."""
    profile = mailbox.email_server_profile
    if profile is None or not mailbox.password:
        return False
    used = (retrieval_of(profile, direction) for direction in Direction)
    return CredentialRetrieval.USER_OR_QUEUE in used and is_kept_back(mailbox, profile)


def _channel(
    mailbox: Any, operation: Operation, organization: Organization, now: datetime
) -> Channel:
    row = mailbox.workload(operation) or Workload(mailbox=mailbox, operation=operation)
    return Channel(
        operation=operation,
        used=is_server_side(mailbox, operation),
        row=row,
        verdict=eligible(facts_of(mailbox, row, organization), now),
        steps=[_step(step) for step in row.test_steps],
        error=cause_of(row.last_error_code, row.last_error_text) if row.last_error_code else None,
    )


#: The steps of a conversation with a server, as an administrator knows them.
STEPS: dict[str, Any] = {
    Phase.DISCOVER: _("Find the web service"),
    Phase.AUTHORIZE: _("Get a token"),
    Phase.RESOLVE: _("Find the host"),
    Phase.CONNECT: _("Connect"),
    Phase.TLS: _("Secure the line (TLS)"),
    Phase.LOGIN: _("Log in"),
    Phase.OPEN: _("Open the inbox"),
    Phase.LIST: _("List a message"),
    Phase.FETCH: _("Fetch a message"),
    Phase.APPLY: _("Mark a message"),
    Phase.SIGN: _("Look up the DKIM record"),
    Phase.SEND: _("Send a test message"),
    Phase.FIND: _("Look into sent items"),
    Phase.CLOSE: _("Leave"),
    Phase.CALENDAR: _("Open the calendar"),
    Phase.CONTACTS: _("Open the contacts"),
    Phase.TASKS: _("Open the tasks"),
    Phase.MARKER: _("Note on it that it is ours"),
    # Before and between them.
    "preconditions": _("Look at what it needs"),
    "settings": _("Read the settings"),
    "conversation": _("Talk to the server"),
}


def _step(step: dict[str, Any]) -> Step:
    code = str(step.get("code") or "")
    # In the reader's language where the code is known; as it was noted where it isn't.
    cause = cause_of(code) if code in TABLE else None
    name = str(step.get("step") or "")
    return Step(
        name=STEPS.get(name, name),
        ok=bool(step.get("ok")),
        milliseconds=step.get("ms"),
        words=str(step.get("text") or ""),
        meaning=cause.meaning if cause else str(step.get("cause") or ""),
        advice=cause.advice if cause else str(step.get("cure") or ""),
    )


def _counts(mailbox: Any, url: str, now: datetime) -> list[StateCount]:
    rows = (
        SyncItem.objects.filter(mailbox=mailbox)
        .order_by()
        .values("state")
        .annotate(
            total=Count("pk"),
            today=Count("pk", filter=Q(decided_at__gte=midnight(now))),
        )
    )
    found: dict[str, Any] = {row["state"]: row for row in rows}
    return [
        StateCount(
            state,
            found.get(state, {}).get("today", 0),
            found.get(state, {}).get("total", 0),
            f"{url}&state={state.value}",
        )
        for state in ItemState
    ]


# -- queues --------------------------------------------------------------------------------------


class QueueConsole(WarnsOfSharedAddresses, RuleLinks, Deeds, QueueScreen):
    deeds = (
        Deed("activate", _("Activate")),
        Deed("deactivate", _("Deactivate"), grave=True),
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        hidden = "activate" if obj.is_active_state else "deactivate"
        return [deed for deed in self.deeds if deed.name != hidden]


# -- profiles ------------------------------------------------------------------------------------


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
        Deed("confirm_places", _("Send stored secrets to these servers"), grave=True),
        Deed("check_dkim", _("Look up the DKIM record")),
        Deed("make_rsa_key", _("Make a DKIM key (RSA)")),
        Deed("make_ed25519_key", _("Make a DKIM key (Ed25519)")),
        Deed("activate", _("Activate")),
        Deed("deactivate", _("Deactivate"), grave=True),
    )

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        hidden = {"activate" if obj.is_active_state else "deactivate"}
        may_confirm = access.may(request.user, "move_secrets", obj)
        if not (may_confirm and services.kept_back(obj).exists()):
            hidden.add("confirm_places")
        hidden |= _needless_for_signing(obj)
        return [deed for deed in self.deeds if deed.name not in hidden]

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
    ) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        served = Mailbox.objects.filter(email_server_profile__in=ids, state_code=StateCode.ACTIVE)

        def schedule() -> services.Outcome:
            with transaction.atomic():
                outcome = services.schedule_test(mailboxes=served, **by(request))
                engine.enqueue_tests(
                    access.visible_to(request.user, served, "test_mailbox").values_list(
                        "pk", flat=True
                    )
                )
            return outcome

        self.perform(
            request,
            schedule,
            __("Test & Enable started for %(count)d mailbox."),
            __("Test & Enable started for %(count)d mailboxes."),
        )

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        profile = kw.get("obj")
        if profile is not None:
            rows = access.visible_to(
                request.user, Mailbox.objects.filter(email_server_profile=profile), "view"
            )
            served = (
                with_health(rows, _organization(request))
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
            context["open_alerts"] = [
                (alert, cause_of(alert.code, alert.text, alert.trace_parameters))
                for alert in TraceLog.objects.filter(
                    regarding_profile=profile, closed_on__isnull=True
                )[:LATEST]
            ]
        return super().render_change_form(request, context, *args, **kw)


# -- alerts --------------------------------------------------------------------------------------


class AlertConsole(Deeds, AlertScreen):
    """With a link to the page that cures, where there is one."""

    change_form_template = "admin/mailboxes/tracelog/change_form.html"
    deeds = (Deed("clear", _("Clear this alert"), main=True),)

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        """Where the cure has a button of its own, that is what one wants to do."""
        if not obj.is_open:
            return []
        return [replace(deed, main=cure_of(obj) is None) for deed in self.deeds]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        alert = kw.get("obj")
        if alert is not None and alert.is_open:
            context["cure"] = cure_of(alert)
        return super().render_change_form(request, context, *args, **kw)


#: Conditions that wait for somebody to approve a batch, which they are about.
WAITING = (batches.ALERT, guard.STOPPED)
#: Conditions that left a learned limit behind.
LEARNED = ("SendingTooFast", "ErrorSubmissionQuotaExceeded")


def cure_of(alert: TraceLog) -> tuple[str, Any] | None:
    """Where to go, and what to do there."""
    if alert.code in services.CURED_BY_SIGN_IN and alert.regarding_mailbox_id:
        return reverse("admin:sign_in", args=[alert.regarding_mailbox_id]), _("Connect the mailbox")
    if alert.code == quarantine.ALERT and alert.regarding_mailbox_id:
        page = reverse("admin:quarantine")
        return f"{page}?mailbox={alert.regarding_mailbox_id}", _("Open the quarantine")
    if alert.code == "DeliveryUnknown":
        return f"{in_doubt()}&mailbox__id__exact={alert.regarding_mailbox_id}", _(
            "Say what became of it"
        )
    if alert.code in WAITING:
        return reverse("admin:serversync_parkedbatch_change", args=[alert.object_key]), _(
            "Look at what would happen"
        )
    if alert.code in ALERTS.values() and (keys := keys_in([alert.object_key])):
        return reverse("admin:act_question", args=keys), _("Answer it")
    if alert.code in LEARNED and alert.regarding_mailbox_id:
        return reverse("admin:serversync_learnedlimit_changelist"), _("Look at what was learned")
    if alert.code == hooks.CODE:
        page = reverse("admin:tracking_hookrun_changelist")
        return f"{page}?state__exact={HookState.FAILED}", _("Look at the hook runs")
    return None


# -- the engine's own rows -----------------------------------------------------------------------


class MailboxFilter(admin.RelatedFieldListFilter):
    """Mailboxes in sight, without looking through a million rows for those that occur."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        rows = access.visible_to(request.user, Mailbox.objects.order_by("name"), "view")
        return list(rows.values_list("pk", "name"))


class OfMailbox(ReadOnlyScreen):
    """Rows that explain a mailbox: seen by whoever sees the mailbox."""

    open_to_all = True
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__name", "mailbox__email_address"]

    @admin.display(description=_("mailbox"), ordering="mailbox__name")
    def mailbox_link(self, row: Any) -> SafeString:
        return link(reverse("admin:mailboxes_mailbox_change", args=[row.mailbox_id]), row.mailbox)


class CycleConsole(OfMailbox):
    list_display = [
        "started", "mailbox_link", "operation_type", "result", "items_processed", "items_failed",
        "duration", "machine_name",
    ]  # fmt: skip
    list_filter = [
        "operation_type",
        "process_result",
        ("mailbox", MailboxFilter),
        ("mailbox_process_started_on", admin.DateFieldListFilter),
    ]
    ordering = ["-mailbox_process_started_on"]

    @admin.display(description=_("started"), ordering="mailbox_process_started_on")
    def started(self, cycle: MailboxStatistics) -> SafeString | str:
        return moment(cycle.mailbox_process_started_on)

    @admin.display(description=_("result"))
    def result(self, cycle: MailboxStatistics) -> SafeString:
        if not cycle.process_result:
            return badge(cycle.error_code or _("Failed"), "bad")
        words = ", ".join(
            f"{count} {counted_as(state)}" for state, count in cycle.items_by_state.items() if count
        )
        return format_html("{} {}", badge(_("Success"), "good"), words)

    @admin.display(description=_("took"))
    def duration(self, cycle: MailboxStatistics) -> str:
        span = cycle.mailbox_process_completed_on - cycle.mailbox_process_started_on
        return f"{span.total_seconds():.1f} s"


class WorkloadConsole(OfMailbox):
    list_display = [
        "mailbox_link", "operation", "enabled", "state", "state_code", "consecutive_failures",
        "next", "last_success", "last_duration_ms", "lease_holder",
    ]  # fmt: skip
    list_filter = ["operation", "enabled", "state", "test_status", "state_code"]
    ordering = ["mailbox__name", "operation"]
    exclude = ["lease_token"]

    @admin.display(description=_("next run"), ordering="next_run_at")
    def next(self, row: Workload) -> SafeString | str:
        return moment(row.next_run_at) if row.enabled else EMPTY

    @admin.display(description=_("last success"), ordering="last_success_at")
    def last_success(self, row: Workload) -> SafeString | str:
        return moment(row.last_success_at)


class FolderConsole(OfMailbox):
    list_display = [
        "mailbox_link", "folder", "generation", "server_total", "before_start", "watermark",
        "resets", "checked",
    ]  # fmt: skip
    ordering = ["mailbox__name", "folder"]

    @admin.display(description=_("checked"), ordering="checked_at")
    def checked(self, row: FolderCursor) -> SafeString | str:
        return moment(row.checked_at)


class ServerActionConsole(OfMailbox):
    list_display = [
        "decided", "mailbox_link", "kind", "argument", "state", "attempts", "receipt", "last_error",
    ]  # fmt: skip
    list_filter = ["state", "kind", ("mailbox", MailboxFilter)]
    list_select_related = ["mailbox", "item"]
    ordering = ["-created_on"]

    @admin.display(description=_("decided"), ordering="created_on")
    def decided(self, row: ServerAction) -> SafeString | str:
        return moment(row.created_on)
