"""The item monitor (R8.30): what was not synchronized, of emails and of appointments, contacts and tasks.

Two tables, one list, the latest first: items of the ledger that failed or were turned down, and pairs
whose last attempt failed. Seen by whoever sees the mailbox; what they are about is for who may read it.
What still fails stays until it is settled; what was turned down, for the days that its details are kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import CharField, Exists, F, OuterRef, QuerySet, TextChoices, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from mailboxes import access
from mailboxes.causes import Cause, cause_of
from mailboxes.models import Mailbox, Organization
from serversync.act.choices import SyncTable
from serversync.choices import ItemState
from serversync.console.actseen import HIDDEN, reader_of
from serversync.console.quarantine import reason_words
from serversync.console.reasons import words_of
from serversync.errortexts import shown_error
from serversync.models import ExchangeSyncIdMapping, SyncItem
from serversync.quarantine import FAILED
from tracking.trace import UNTRACKED

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

Link = ExchangeSyncIdMapping
PER_PAGE = 50
EMAIL, PAIR = "email", "pair"


class Which(TextChoices):
    FAILED = "failed", _("Failed")
    TURNED_DOWN = "rejected", _("Turned down")


class Kind(TextChoices):
    EMAIL = "email", _("Emails")
    APPOINTMENT = "appointment", _("Appointments")
    CONTACT = "contact", _("Contacts")
    TASK = "task", _("Tasks")


#: Tables by the kind of item that they are on a server.
TABLES = {
    Kind.APPOINTMENT: (
        SyncTable.APPOINTMENT,
        SyncTable.RECURRING_APPOINTMENT,
        SyncTable.SERVICE_APPOINTMENT,
    ),
    Kind.CONTACT: (SyncTable.CONTACT,),
    Kind.TASK: (SyncTable.TASK, SyncTable.PHONE_CALL, SyncTable.LETTER, SyncTable.FAX),
}


def urls(site: "ConsoleSite") -> list[Any]:
    def view(request: HttpRequest) -> HttpResponse:
        return page(site, request)

    return [path("monitor/", site.admin_view(require_safe(view)), name="monitor")]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which part is shown. None: of every kind, of every mailbox."""

    which: Which = Which.FAILED
    kind: Kind | None = None
    mailbox: UUID | None = None

    def query(self, **other: Any) -> str:
        told = {"which": self.which.value, "kind": self.kind, "mailbox": self.mailbox, **other}
        return f"?{urlencode({name: str(value) for name, value in told.items() if value})}"


def choice_of(told: Mapping[str, Any]) -> Choice:
    """From an address, which may hold anything."""
    which, kind = told.get("which"), told.get("kind")
    try:
        mailbox = UUID(str(told.get("mailbox")))
    except ValueError:
        mailbox = None
    return Choice(
        Which(which) if which in Which.values else Which.FAILED,
        Kind(kind) if kind in Kind.values else None,
        mailbox,
    )


@dataclass(frozen=True, slots=True)
class Line:
    """One item as this reader may see it."""

    subject: str
    url: str
    kind: Any
    mailbox: Any
    code: str
    cause: Cause
    error: str
    when: datetime
    retries: int
    next_attempt_at: datetime | None


# -- which rows ----------------------------------------------------------------------------------


def items(user: Any, choice: Choice, since: datetime) -> "QuerySet[SyncItem]":
    rows = access.visible_to(user, SyncItem.objects.order_by(), "view")
    if choice.which == Which.FAILED:
        rows = rows.filter(state__in=FAILED)
    else:
        rows = rows.filter(state=ItemState.REJECTED, decided_at__gte=since)
        rows = rows.exclude(reason=UNTRACKED)
    if choice.mailbox is not None:
        rows = rows.filter(mailbox=choice.mailbox)
    return rows if choice.kind in (None, Kind.EMAIL) else rows.none()


def pairs(user: Any, choice: Choice) -> "QuerySet[Link]":
    """Whose last attempt failed. None of them is ever turned down: what no filter wants has no pair."""
    rows = access.visible_to(user, Link.objects.order_by(), "view")
    rows = rows.exclude(last_sync_error_code="")
    if choice.mailbox is not None:
        rows = rows.filter(mailbox=choice.mailbox)
    if choice.kind is not None and choice.kind != Kind.EMAIL:
        rows = rows.filter(object_type_code__in=TABLES[choice.kind])
    wanted = choice.which == Which.FAILED and choice.kind != Kind.EMAIL
    return rows if wanted else rows.none()


def keys(items: "QuerySet[SyncItem]", pairs: "QuerySet[Link]") -> "QuerySet[Any]":
    """(when, table, key) of both, the latest first."""
    failed_on = Coalesce(F("last_sync_error_occurred_on"), F("modified_on"))
    first = items.annotate(at=F("decided_at"), table=_word(EMAIL)).values_list("at", "table", "pk")
    second = pairs.annotate(at=failed_on, table=_word(PAIR)).values_list("at", "table", "pk")
    return first.union(second, all=True).order_by("-at", "-pk")


def _word(word: str) -> Value:
    return Value(word, output_field=CharField())


# -- as lines ------------------------------------------------------------------------------------


def lines_of(user: Any, listed: Sequence[tuple[datetime, str, UUID]]) -> list[Line]:
    """In their order, read in as many statements, however many they are."""
    wanted = {table: [key for _at, each, key in listed if each == table] for table in (EMAIL, PAIR)}
    mine = Mailbox.objects.filter(access.content_readers(user), pk=OuterRef("mailbox"))
    rows = SyncItem.objects.filter(pk__in=wanted[EMAIL]).select_related("mailbox").defer("trace")
    found: dict[UUID, Line] = {
        item.pk: _of_item(item) for item in rows.annotate(is_readable=Exists(mine))
    }
    links = list(Link.objects.filter(pk__in=wanted[PAIR]).select_related("mailbox"))
    reader = reader_of(user, links)
    found |= {link.pk: _of_pair(link, reader) for link in links}
    return [found[key] for _at, _table, key in listed if key in found]


def _of_item(item: Any) -> Line:
    error = shown_error(item.reason, item.last_error, may_read=item.is_readable)
    return Line(
        subject=(item.subject or __("(no subject)")) if item.is_readable else HIDDEN,
        url=reverse("admin:serversync_syncitem_change", args=[item.pk]),
        kind=__("Email"),
        mailbox=item.mailbox,
        code=item.reason,
        cause=_cause_of_item(item, error),
        error=error,
        when=item.decided_at,
        retries=item.attempts,
        next_attempt_at=item.next_attempt_at,
    )


def _cause_of_item(item: Any, error: str) -> Cause:
    if item.state == ItemState.REJECTED:
        return Cause(words_of(item.reason, item.sub_reason), "")
    return reason_words(item.reason, error, for_good=item.state == ItemState.QUARANTINED)


def _of_pair(link: Link, reader: Any) -> Line:
    server = (link.question_about or {}).get("server")
    may_read = reader.may_know(link, server)
    code = link.last_sync_error_code
    error = shown_error(code, link.last_sync_error, may_read=may_read)
    return Line(
        subject=reader.subject(link, server),
        url=reverse("admin:serversync_exchangesyncidmapping_change", args=[link.pk]),
        kind=link.get_object_type_code_display() or __("Not known yet"),
        mailbox=link.mailbox,
        code=code,
        cause=cause_of(code, error),
        error=error,
        when=link.last_sync_error_occurred_on or link.modified_on,
        retries=link.retries,
        next_attempt_at=link.next_attempt_at,
    )


# -- the page ------------------------------------------------------------------------------------


def page(site: "ConsoleSite", request: HttpRequest) -> HttpResponse:
    screens = [site._registry[SyncItem], site._registry[Link]]
    if not all(screen.has_view_permission(request) for screen in screens):
        raise PermissionDenied
    organization = Organization.objects.current()
    context: dict[str, Any] = {
        "opts": SyncItem._meta,
        "title": __("Not synchronized"),
        "is_on": organization.enable_sss_item_level_monitoring,
        "days": organization.exchange_sync_id_mapping_persistence_time_in_days,
        "settings_url": _settings_url(site, request),
    }
    if context["is_on"]:
        context |= _listing(request, timezone.now() - timedelta(days=context["days"]))
    return TemplateResponse(
        request, "console/monitor.html", {**site.each_context(request), **context}
    )


def _settings_url(site: "ConsoleSite", request: HttpRequest) -> str:
    """Of the organization, for whoever may change it."""
    if not site._registry[Organization].has_change_permission(request):
        return ""
    return reverse("admin:mailboxes_organization_changelist")


def _listing(request: HttpRequest, since: datetime) -> dict[str, Any]:
    choice = choice_of(request.GET)
    rows = keys(items(request.user, choice, since), pairs(request.user, choice))
    shown = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    mailboxes = access.visible_to(request.user, Mailbox.objects.order_by("name"), "view")
    return {
        "choice": choice,
        "tabs": [(each.label, choice.query(which=each), each == choice.which) for each in Which],
        "kinds": [
            (_("All kinds"), choice.query(kind=None), choice.kind is None),
            *((each.label, choice.query(kind=each), each == choice.kind) for each in Kind),
        ],
        "mailboxes": [
            (name, choice.query(mailbox=key), key == choice.mailbox)
            for key, name in mailboxes.values_list("pk", "name")
        ],
        "all_mailboxes": choice.query(mailbox=None),
        "page": shown,
        "pages": _numbers(shown, choice),
        "lines": lines_of(request.user, list(shown)),
    }


def _numbers(page: "Page[Any]", choice: Choice) -> list[tuple[Any, str]]:
    """Pages to go to, and their addresses; "" where one is left out, or is."""
    return [
        (number, choice.query(page=number) if number not in ("…", page.number) else "")
        for number in page.paginator.get_elided_page_range(page.number)
    ]
