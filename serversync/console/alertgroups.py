"""The wall by cause: alerts of one condition and one server are one line, with the button that cures for all
of them (R8.16, R10.4).

Every press acts on what its user sees of the group, and the deed itself asks for its permission.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum, Window
from django.db.models.functions import Coalesce, RowNumber
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access, alerts
from mailboxes.alerts import LEVEL_KIND
from mailboxes.causes import Cause, cause_of
from mailboxes.choices import StateCode, TestStatus, TraceLevel
from mailboxes.models import EmailServerProfile, Mailbox, TraceLog
from mailboxes.screens import acted
from serversync.choices import ItemState, WorkloadState
from serversync.console.alertcures import Button, cures_of
from serversync.console.alertlinks import cure_of
from serversync.models import SyncItem, Workload

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

MOST = 100  # groups of a page; whoever has more sees the worst
SAMPLES = 3  # names that stand at a group

#: What is done to the alerts themselves.
WALL_DEEDS = {"clear", "snooze", "wake"}

#: How long one can snooze a group.
SNOOZES = {
    "4h": (timedelta(hours=4), _("for 4 hours")),
    "1d": (timedelta(days=1), _("for a day")),
    "7d": (timedelta(days=7), _("for a week")),
    "30d": (timedelta(days=30), _("for 30 days")),
}


def urls(site: "ConsoleSite") -> list[Any]:
    return [path("alerts/", site.admin_view(Pages(site).listing), name="alert_groups")]


@dataclass(frozen=True, slots=True)
class Key:
    """What alerts have in common. `profile` None: of mailboxes without a server profile."""

    code: str
    profile: UUID | None

    def of(self, rows: "QuerySet[TraceLog]") -> "QuerySet[TraceLog]":
        return _with_profile(rows).filter(
            code=self.code,
            **{"profile__isnull": True} if self.profile is None else {"profile": self.profile},
        )


@dataclass(slots=True)
class Group:
    """One line of the wall."""

    key: Key
    alerts: int
    mailboxes: int
    level: TraceLevel
    times: int
    first: datetime
    last: datetime
    profile: str = ""
    may_open: bool = False
    samples: list[TraceLog] = field(default_factory=list)

    @property
    def cause(self) -> Cause:
        """In the words of the one alert, or of what all have in common."""
        first, *others = self.samples
        alike = self.alerts <= SAMPLES and all(
            other.trace_parameters == first.trace_parameters for other in others
        )
        return cause_of(self.key.code, first.text, first.trace_parameters if alike else {})

    @property
    def kind(self) -> str:
        return LEVEL_KIND[self.level]

    @property
    def buttons(self) -> tuple[Button, ...]:
        return cures_of(self.key.code)

    @property
    def elsewhere(self) -> tuple[str, Any] | None:
        """The page that cures, where all that is to be done is done there."""
        about = [sample for sample in self.samples if sample.regarding_mailbox_id] or self.samples
        return cure_of(about[0]) if self.mailboxes <= 1 and len(about) == 1 else None

    @property
    def url(self) -> str:
        """The list of these alerts."""
        told = {"code__exact": self.key.code}
        if self.key.profile is not None:
            told["server"] = str(self.key.profile)
        return f"{reverse('admin:mailboxes_tracelog_changelist')}?{urlencode(told)}"

    @property
    def profile_url(self) -> str:
        return reverse("admin:mailboxes_emailserverprofile_change", args=[self.key.profile])

    @property
    def named(self) -> list[TraceLog]:
        """Samples that are about a mailbox; of the server itself the line tells already."""
        return [sample for sample in self.samples if sample.regarding_mailbox_id]


def groups_of(user: Any, now: datetime, *, snoozed: bool = False, most: int = MOST) -> list[Group]:
    """What is on this user's wall, the worst first. Three statements, however many alerts there are."""
    rows = _with_profile(_on_the_wall(user, now, snoozed))
    counted = (
        rows.order_by()
        .values("code", "profile")
        .annotate(
            alerts=Count("pk"),
            mailboxes=Count("regarding_mailbox", distinct=True),
            worst=Max("level"),
            times=Sum("occurrences"),
            first=Min("created_on"),
            last=Max("last_seen_on"),
        )
        .order_by("-worst", "-mailboxes", "-last", "code")[:most]
    )
    groups = [
        Group(
            Key(row["code"], row["profile"]),
            row["alerts"],
            row["mailboxes"],
            TraceLevel(row["worst"]),
            row["times"],
            row["first"],
            row["last"],
        )
        for row in counted
    ]
    _add_profiles(user, groups)
    _add_samples(rows, groups)
    return [group for group in groups if group.samples]


def _on_the_wall(user: Any, now: datetime, snoozed: bool) -> "QuerySet[TraceLog]":
    rows = access.visible_to(user, TraceLog.objects.all())
    if snoozed:
        return rows.filter(closed_on__isnull=True, snoozed_until__gt=now)
    return rows.filter(alerts.awake(now))


def _with_profile(rows: "QuerySet[TraceLog]") -> "QuerySet[Any]":
    server = Coalesce("regarding_profile", "regarding_mailbox__email_server_profile")
    return rows.annotate(profile=server)


def _add_profiles(user: Any, groups: Iterable[Group]) -> None:
    keys = {group.key.profile for group in groups if group.key.profile is not None}
    rows = EmailServerProfile.objects.filter(pk__in=keys)
    open_to = access.visible_to(user, EmailServerProfile.objects.all()).values("pk")
    names = {
        pk: (name, may)
        for pk, name, may in rows.annotate(may=Q(pk__in=open_to)).values_list("pk", "name", "may")
    }
    for group in groups:
        if group.key.profile in names:
            group.profile, group.may_open = names[group.key.profile]


def _add_samples(rows: "QuerySet[Any]", groups: Iterable[Group]) -> None:
    """Some of each, the latest first."""
    by_key = {group.key: group for group in groups}
    if not by_key:
        return
    place = Window(
        RowNumber(),
        partition_by=[F("code"), F("profile")],
        order_by=[F("regarding_mailbox").asc(nulls_last=True), F("last_seen_on").desc()],
    )
    some = (
        rows.filter(code__in={key.code for key in by_key})
        .annotate(place=place)
        .filter(place__lte=SAMPLES)
        .select_related("regarding_mailbox", "regarding_profile")
        .order_by("place")
    )
    for row in some:
        group = by_key.get(Key(row.code, row.profile))
        if group is not None:
            group.samples.append(row)


class Pages:
    """The page. What is done to mailboxes, items and alerts, their own screens do."""

    def __init__(self, site: "ConsoleSite") -> None:
        self.site = site

    def _screen(self, model: Any) -> Any:
        return self.site._registry[model]

    def listing(self, request: HttpRequest) -> HttpResponse:
        if not self._screen(TraceLog).has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._do(request)
        now = timezone.now()
        snoozed = "snoozed" in request.GET
        context = {
            **self.site.each_context(request),
            "title": __("Alerts"),
            "opts": TraceLog._meta,
            "groups": groups_of(request.user, now, snoozed=snoozed),
            "is_snoozed": snoozed,
            "snoozed_count": _on_the_wall(request.user, now, True).count(),
            "snoozes": [(key, words) for key, (_lasting, words) in SNOOZES.items()],
            "may_clear": access.reach_of(request.user, TraceLog, "delete") is not None,
            "all_url": reverse("admin:mailboxes_tracelog_changelist"),
            "most": MOST,
        }
        return TemplateResponse(request, "console/alerts.html", context)

    def _do(self, request: HttpRequest) -> HttpResponse:
        key = _key_of(request)
        snoozed = "snoozed" in request.GET
        rows = key.of(_on_the_wall(request.user, timezone.now(), snoozed))
        deed = request.POST.get("deed", "")
        chosen = TraceLog.objects.filter(pk__in=rows.values("pk"))
        wall = self._screen(TraceLog)
        if deed in WALL_DEEDS:
            _note(request, deed, chosen)
        if deed == "clear":
            wall.clear(request, chosen)
        elif deed == "wake":
            wall.wake(request, chosen)
        elif deed == "snooze":
            lasting, _words = SNOOZES.get(request.POST.get("for", ""), SNOOZES["1d"])
            wall.snooze(request, chosen, lasting)
        elif (answer := self._cure(request, deed, key, chosen)) is not None:
            return answer
        return HttpResponseRedirect(request.get_full_path())

    def _cure(
        self, request: HttpRequest, deed: str, key: Key, chosen: "QuerySet[TraceLog]"
    ) -> HttpResponse | None:
        """What the deed answers, if it has a page of its own to ask something."""
        button = next((each for each in cures_of(key.code) if each.cure == deed), None)
        if button is None:
            raise Http404
        mailboxes = access.visible_to(request.user, mailboxes_of(chosen))
        if button.mailboxes:
            return self._act(request, button, mailboxes)
        screen = self._screen(SyncItem)
        items = screen.get_queryset(request).filter(mailbox__in=mailboxes.values("pk"))
        waiting = items.filter(state=ItemState.QUARANTINED, parent__isnull=True)
        _note(request, button.cure, waiting)
        screen.retry(request, waiting)
        return None

    def _act(
        self, request: HttpRequest, button: Button, mailboxes: "QuerySet[Mailbox]"
    ) -> HttpResponse | None:
        screen = self._screen(Mailbox)
        if not mailboxes.exists():
            words = __("No mailbox of it fails any more, or none that you may see.")
            screen.message_user(request, words, messages.WARNING)
            return None
        _note(request, button.cure, mailboxes)
        answer: HttpResponse | None = getattr(screen, button.cure)(request, mailboxes)
        return answer


def _note(request: HttpRequest, deed: str, rows: "QuerySet[Any]") -> None:
    """For the audit trail, before the deed: afterwards other rows may be meant."""
    keys = list(rows.order_by().values_list("pk", flat=True))
    acted.send(sender=rows.model, request=request, action=str(deed), keys=keys)


def mailboxes_of(chosen: "QuerySet[TraceLog]") -> "QuerySet[Mailbox]":
    """Those the alerts are about; of an alert of a server the mailboxes there that don't run as they should."""
    stopped = Workload.objects.filter(
        Q(state__in=[WorkloadState.DISABLED, WorkloadState.PAUSED])
        | Q(test_status=TestStatus.FAILURE)
        | Q(consecutive_failures__gt=0)
    )
    of_servers = Mailbox.objects.filter(
        email_server_profile__in=chosen.exclude(regarding_profile=None).values("regarding_profile"),
        state_code=StateCode.ACTIVE,
        pk__in=stopped.values("mailbox"),
    )
    own = chosen.exclude(regarding_mailbox=None).values("regarding_mailbox")
    return Mailbox.objects.filter(Q(pk__in=own) | Q(pk__in=of_servers.values("pk")))


def _key_of(request: HttpRequest) -> Key:
    code, _colon, profile = request.POST.get("group", "").partition(":")
    if "\0" in code:  # no text holds it, and PostgreSQL takes offence at the question
        raise Http404
    try:
        return Key(code, UUID(profile) if profile else None)
    except ValueError:
        raise Http404 from None
