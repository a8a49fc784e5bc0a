"""The balance page: seen = tracked + rejected + ... for the site, each mailbox, each folder and day.

    the site ──> its mailboxes ──> days and folders of one mailbox ──> the rows themselves, in the item list

Counted over the mailboxes in the reader's sight, in a number of statements that doesn't grow with them.
Every number leads to exactly the rows that it counts; what was folded has none left, and says so.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from mailboxes import access
from mailboxes.choices import StateCode
from mailboxes.models import Mailbox
from serversync import balance
from serversync import recount as recounting
from serversync.balance import STATES, Books, Period, Place, Sums
from serversync.choices import ItemState
from serversync.console.foldernames import EVERYWHERE, Names, folder_name, folder_names
from serversync.console.recountwords import KINDS
from serversync.models import ItemDay, Recount, SyncItem

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

PER_PAGE = 50
SHOWN = 200  # differences of a recount
PERMISSION = "retry_syncitem"
LONGEST = 366  # days of one period
WEEK, MONTH, QUARTER = 7, 30, 90
PERIODS: tuple[tuple[str, Any, int], ...] = (
    ("today", _("Today"), 1),
    ("week", _("7 days"), WEEK),
    ("month", _("30 days"), MONTH),
    ("quarter", _("90 days"), QUARTER),
)

ASKED = _("The mailbox is counted on its server as soon as a worker is free. Load the page again.")
ASKED_TO_FIX = _(
    "The mailbox is counted on its server as soon as a worker is free; what was missed is fetched by its "
    "next cycle. Load the page again."
)
UNDER_WAY = _("A recount of this mailbox is under way already.")


def urls(site: "ConsoleSite") -> list[Any]:
    pages = Pages(site)
    return [
        path("balance/", site.admin_view(require_safe(pages.page)), name="balance"),
        path(
            "balance/<uuid:pk>/recount/",
            site.admin_view(require_POST(pages.recount)),
            name="recount",
        ),
        path("balance/csv/", site.admin_view(require_safe(pages.export)), name="balance_csv"),
    ]


# -- what is asked for ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """`name`: of a ready-made period; "" where days were chosen."""

    period: Period
    name: str = "week"
    mailbox: UUID | None = None

    def query(self, **other: Any) -> str:
        told: dict[str, Any] = {"mailbox": self.mailbox}
        if self.name:
            told["period"] = self.name
        else:
            told |= {"from": self.period.first, "to": self.period.last}
        kept = {name: str(value) for name, value in {**told, **other}.items() if value is not None}
        return f"?{urlencode(kept)}"


def choice_of(told: Mapping[str, Any], today: date) -> Choice:
    """From an address, which may hold anything."""
    mailbox = _uuid(told.get("mailbox"))
    first, last = balance.day_of(told.get("from")), balance.day_of(told.get("to"))
    if first is not None or last is not None:
        return Choice(_between(first or last or today, last or today), "", mailbox)
    days = {name: days for name, _words, days in PERIODS}
    name = str(told.get("period") or "week")
    name = name if name in days else "week"
    return Choice(Period(today - timedelta(days=days[name] - 1), today), name, mailbox)


def _between(first: date, last: date) -> Period:
    first, last = min(first, last), max(first, last)
    return Period(max(first, last - timedelta(days=LONGEST - 1)), last)


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


# -- what is shown -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """A number, where its rows are listed ("" if none has one), and how many were folded."""

    words: Any
    number: int
    url: str
    folded: int
    css: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """`name` and `url`: what it is of, and where that is looked into."""

    name: Any
    url: str
    seen: Cell
    cells: list[Cell]
    day: Any = ""
    before_start: int = 0


KIND = {
    ItemState.QUARANTINED: "bad-text",
    ItemState.RETRYING: "warn-text",
}


def cells_of(sums: Sums, period: Period, **where: Any) -> tuple[Cell, list[Cell]]:
    def cell(number: int, folded: int, state: ItemState | None) -> Cell:
        url = items_url(period, state, **where) if number > folded else ""
        css = KIND.get(state, "") if state and number else "quiet" if not number else ""
        return Cell(state.label if state else _("Seen"), number, url, folded, css)

    return cell(sums.seen, sums.seen_folded, None), [
        cell(sums.by_state.get(state, 0), sums.folded.get(state, 0), state) for state in STATES
    ]


def items_url(
    period: Period,
    state: ItemState | None = None,
    mailbox: UUID | None = None,
    folder: str | None = None,
) -> str:
    """The item list, filtered to exactly what was counted."""
    told: dict[str, Any] = {"seen": f"{period.first}..{period.last}"}
    told |= {"state": state.value} if state else {}
    told |= {"mailbox__id__exact": mailbox} if mailbox else {}
    told |= {"folder": folder} if folder is not None else {}
    return f"{reverse('admin:serversync_syncitem_changelist')}?{urlencode(told)}"


class Pages:
    def __init__(self, site: "ConsoleSite") -> None:
        self.site = site

    def page(self, request: HttpRequest) -> HttpResponse:
        self._check(request)
        choice = choice_of(request.GET, timezone.localdate())
        mailbox = self._mailbox(request, choice)
        shown = self._books(request, choice)
        context = (
            _of_mailbox(shown, choice, mailbox, request.GET.get("page"))
            | _recounted(request, mailbox)
            if mailbox is not None
            else self._of_site(request, shown, choice)
        )
        every = {
            **self.site.each_context(request),
            "opts": SyncItem._meta,
            "title": __("Balance"),
            "choice": choice,
            "mailbox": mailbox,
            "periods": [
                (words, choice.query(period=name, **{"from": None, "to": None}), name)
                for name, words, _days in PERIODS
            ],
            "all_mailboxes": choice.query(mailbox=None),
            "export": reverse("admin:balance_csv") + choice.query(),
            "zone": timezone.get_current_timezone_name(),
            "site_zone": timezone.get_default_timezone_name(),
            **context,
        }
        return TemplateResponse(request, "console/balance.html", every)

    def export(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """All lines of the period, as a table that a spreadsheet opens."""
        self._check(request)
        choice = choice_of(request.GET, timezone.localdate())
        mailbox = self._mailbox(request, choice)
        rows = self._mailboxes(request)
        rows = rows.filter(pk=mailbox.pk) if mailbox is not None else rows
        name = f"balance-{choice.period.first}-{choice.period.last}.csv"
        answer = StreamingHttpResponse(
            _csv(self._books(request, choice), rows), content_type="text/csv; charset=utf-8"
        )
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        answer["Cache-Control"] = "private, no-store"
        return answer

    def recount(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Have a job count the mailbox on its server."""
        self._check(request)
        mailbox = mailboxes_to_recount(request.user).filter(pk=pk).first()
        if mailbox is None:
            raise PermissionDenied(access.refusal(SyncItem, PERMISSION))
        fix = request.POST.get("fix") == "1"
        if recounting.ask(mailbox, fix=fix, by=request.user, now=timezone.now()):
            words, level = ASKED_TO_FIX if fix else ASKED, messages.SUCCESS
        else:
            words, level = UNDER_WAY, messages.WARNING
        self.site._registry[SyncItem].message_user(request, words, level)
        return HttpResponseRedirect(f"{reverse('admin:balance')}?mailbox={pk}#recount")

    # -- who may see what

    def _check(self, request: HttpRequest) -> None:
        screen = self.site._registry[SyncItem]
        if not screen.has_view_permission(request):
            raise PermissionDenied

    def _mailboxes(self, request: HttpRequest) -> Any:
        return access.visible_to(request.user, Mailbox.objects.all(), "view")

    def _mailbox(self, request: HttpRequest, choice: Choice) -> Mailbox | None:
        """What is out of sight doesn't exist here."""
        if choice.mailbox is None:
            return None
        found: Mailbox | None = self._mailboxes(request).filter(pk=choice.mailbox).first()
        if found is None:
            raise Http404
        return found

    def _books(self, request: HttpRequest, choice: Choice) -> Books:
        items = access.visible_to(request.user, SyncItem.objects.all(), "view")
        totals = access.visible_to(request.user, ItemDay.objects.all(), "view")
        counted = balance.books(items, totals, choice.period)
        return counted.of([choice.mailbox]) if choice.mailbox else counted

    # -- the site

    def _of_site(self, request: HttpRequest, counted: Books, choice: Choice) -> dict[str, Any]:
        rows = balance.mailboxes_in(counted, self._mailboxes(request))
        page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
        here = list(page)
        sums = balance.by_mailbox(counted.of([each.pk for each in here]))
        before = balance.before_start(here)
        lines = []
        for each in here:
            seen, cells = cells_of(sums.get(each.pk, Sums()), choice.period, mailbox=each.pk)
            url = choice.query(mailbox=each.pk)
            old = sum(before.get(each.pk, {}).values())
            lines.append(Line(each, url, seen, cells, before_start=old))
        return {
            "total": _total(counted, choice),
            "lines": lines,
            "page": page,
            "pages": _numbers(page, choice),
        }


def _of_mailbox(
    counted: Books, choice: Choice, mailbox: Mailbox, number: str | None
) -> dict[str, Any]:
    names = folder_names(mailbox)
    page = Paginator(balance.places_in(counted), PER_PAGE).get_page(number)
    lines = []
    for place, sums in balance.of_places(counted, list(page)):
        day = Period(place.day, place.day)
        seen, cells = cells_of(sums, day, mailbox=mailbox.pk, folder=place.folder)
        lines.append(Line(folder_name(place.folder, names), "", seen, cells, day=place.day))
    return {
        "total": _total(counted, choice),
        "lines": lines,
        "page": page,
        "pages": _numbers(page, choice),
        "before_start": [
            (folder_name(folder, names), old)
            for folder, old in sorted(balance.before_start([mailbox]).get(mailbox.pk, {}).items())
        ],
    }


def _total(counted: Books, choice: Choice) -> Line:
    seen, cells = cells_of(balance.total(counted), choice.period, mailbox=choice.mailbox)
    return Line(__("Total"), "", seen, cells)


def _numbers(page: "Page[Any]", choice: Choice) -> list[tuple[Any, str]]:
    """Pages to go to, and their addresses; "" where one is left out, or is."""
    return [
        (number, choice.query(page=number) if number not in ("…", page.number) else "")
        for number in page.paginator.get_elided_page_range(page.number)
    ]


# -- recounts ------------------------------------------------------------------------------------


def mailboxes_to_recount(user: Any) -> "QuerySet[Mailbox]":
    """Those whose items this user may have tried again: that is what putting right comes to."""
    reach = access.reach_of(user, SyncItem, PERMISSION)
    if reach is None:
        return Mailbox.objects.none()
    rows = Mailbox.objects.filter(state_code=StateCode.ACTIVE)
    return rows.filter(access.Asker(user, PERMISSION, reach).owned())


def _recounted(request: HttpRequest, mailbox: Mailbox) -> dict[str, Any]:
    now, names = timezone.now(), folder_names(mailbox)
    rows = access.visible_to(request.user, Recount.objects.filter(mailbox=mailbox), "view")
    latest = rows.select_related("asked_by").order_by("-asked_on", "-pk").first()
    waits = latest is not None and rows.filter(recounting.waiting(now), pk=latest.pk).exists()
    return {
        "may_recount": mailboxes_to_recount(request.user).filter(pk=mailbox.pk).exists(),
        "recount": latest,
        "recount_waits": waits,
        "recount_lost": latest is not None and latest.ended_on is None and not waits,
        "recounted": [
            {**each, "name": folder_name(each["folder"], names)}
            for each in (latest.folders if latest is not None else [])
        ],
        "differences": [
            _difference(each, names) for each in (latest.differences if latest else [])[:SHOWN]
        ],
        "more_differences": max(0, latest.differing - SHOWN) if latest else 0,
    }


def _difference(told: Mapping[str, Any], names: Names) -> dict[str, Any]:
    kind, words, cure = KINDS[told["kind"]]
    return {
        **told,
        "badge": kind,
        "words": words,
        "cure": cure,
        "name": folder_name(told["folder"], names),
        "received_at": datetime.fromisoformat(told["received"]) if told["received"] else None,
    }


# -- the file ------------------------------------------------------------------------------------


class _Echo:
    """What `csv` writes to: gives each line back."""

    def write(self, line: str) -> str:
        return line


def _csv(counted: Books, mailboxes: Any) -> Iterator[str]:
    writer = csv.writer(_Echo())
    names = {row.pk: row for row in mailboxes.only("name", "email_address")}
    yield "\ufeff"  # else spreadsheets guess the encoding
    yield writer.writerow(_header())
    for place, sums in balance.lines(counted, {key: row.name for key, row in names.items()}):
        yield writer.writerow(_record(place, sums, names))


def _header() -> Sequence[Any]:
    return [
        *(__("Mailbox"), __("Address"), __("Folder"), __("Day"), __("Seen")),
        *(state.label for state in STATES),
        __("Folded"),
    ]


def _record(place: Place, sums: Sums, names: Mapping[UUID, Mailbox]) -> Sequence[Any]:
    mailbox = names.get(place.mailbox)
    return [
        _safe(mailbox.name if mailbox else place.mailbox),
        _safe(mailbox.email_address if mailbox else ""),
        _safe(folder_name(place.folder, EVERYWHERE)),
        place.day.isoformat(),
        sums.seen,
        *(sums.by_state.get(state, 0) for state in STATES),
        sums.seen_folded,
    ]


def _safe(text: Any) -> str:
    """Spreadsheets compute what begins like a formula."""
    words = str(text)
    return f"'{words}" if words[:1] in ("=", "+", "-", "@", "\t", "\r") else words
