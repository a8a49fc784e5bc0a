"""Questions of the synchronization: what is asked, both sides next to each other, yes or no (R8.17).

Whoever sees the mailbox sees that something is asked; what it is about is for who may read the mailbox (R8.30).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from mailboxes import access
from mailboxes.protocols.items import ItemKind
from mailboxes.screens import actor_of
from serversync.act import answers, store
from serversync.act.byhand import ALERTS, Refused
from serversync.act.choices import DecisionAnswer, SyncQuestion
from serversync.act.records import keys_in, page_of, within_sight
from serversync.act.stored import side_data, side_of
from serversync.act.types import Table
from serversync.console.actbusy import Booking, bookings
from serversync.console.actseen import HIDDEN, outsiders, reader_of
from serversync.console.actwords import FieldLine, lines
from serversync.models import ExchangeSyncIdMapping

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

PER_PAGE = 50
MOST_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question says, and what either answer does."""

    words: Any
    yes: Any
    no: Any
    rule: str


QUESTIONS = {
    SyncQuestion.SCHEDULING_CONFLICT: Asked(
        _("Somebody who takes part is busy here at that time. Store it all the same?"),
        _("Yes, store it"),
        _("No, leave it out"),
        "R6.26",
    ),
    SyncQuestion.DUPLICATE: Asked(
        _("This item looks like a record that is here already. Are both the same?"),
        _("Yes, link them"),
        _("No, keep them apart"),
        "R6.51",
    ),
    SyncQuestion.PREVIOUSLY_LINKED: Asked(
        _("This item was linked with a record before. Link them again?"),
        _("Yes, link them again"),
        _("No, leave them apart"),
        "R6.51",
    ),
    SyncQuestion.ORGANIZER_CHANGED: Asked(
        _(
            "Somebody else organizes this meeting now. Hand it over? The former meeting is called off then."
        ),
        _("Yes, hand it over"),
        _("No, leave both as they are"),
        "R6.32",
    ),
}


def urls(site: "ConsoleSite") -> list[Any]:
    def listed(request: HttpRequest) -> HttpResponse:
        return list_page(request, site.each_context(request))

    def single(request: HttpRequest, key: UUID) -> HttpResponse:
        return question_page(request, key, site.each_context(request))

    several = ["GET", "HEAD", "POST"]
    return [
        path(
            "decisions/",
            site.admin_view(require_http_methods(several)(listed)),
            name="act_questions",
        ),
        path("decisions/<uuid:key>/", site.admin_view(single), name="act_question"),
        path(
            "decisions/<uuid:key>/answer/",
            site.admin_view(require_POST(answer_one)),
            name="act_answer",
        ),
    ]


def question_of(alert_code: str) -> bool:
    """Is an alert with this code about a question?"""
    return alert_code in ALERTS.values()


# -- the list --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    link: ExchangeSyncIdMapping
    subject: str
    mine: bool


def list_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    if request.method == "POST":
        return _answer_many(request)
    rows = answers.open_questions(request.user).select_related("mailbox").order_by("asked_on", "pk")
    if mailbox := keys_in([request.GET.get("mailbox")]):
        rows = rows.filter(mailbox__in=mailbox)
    if (question := request.GET.get("question")) in SyncQuestion.values:
        rows = rows.filter(question=question)
    shown = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    found = list(shown)
    return TemplateResponse(
        request,
        "console/act/questions.html",
        {
            **context,
            "title": __("Decisions"),
            "rows": _rows(found, request.user),
            "page": shown,
            "kept": _kept(request),
            "total": shown.paginator.count,
        },
    )


def _kept(request: HttpRequest) -> str:
    """What the links of the pages carry on: which mailbox, which question."""
    wanted = request.GET.copy()
    wanted.pop("page", None)
    return f"&{wanted.urlencode()}" if wanted else ""


def _rows(links: Sequence[ExchangeSyncIdMapping], user: Any) -> list[Row]:
    reader = reader_of(user, links)
    rows = ExchangeSyncIdMapping.objects.filter(pk__in=[link.pk for link in links])
    mine = set(access.visible_to(user, rows, "change").values_list("pk", flat=True))
    return [Row(link, reader.subject(link, _server(link)), link.pk in mine) for link in links]


def _answer_many(request: HttpRequest) -> HttpResponse:
    chosen = keys_in(request.POST.getlist("link"))
    back = HttpResponseRedirect(request.get_full_path())
    _answer(request, chosen, request.POST.get("answer", ""))
    return back


def answer_one(request: HttpRequest, key: UUID) -> HttpResponse:
    _link(request, key)
    _answer(request, [key], request.POST.get("answer", ""))
    return HttpResponseRedirect(reverse("admin:act_questions"))


def _answer(request: HttpRequest, keys: Sequence[UUID], said: str) -> None:
    decision = {"yes": DecisionAnswer.YES, "no": DecisionAnswer.NO}.get(said)
    if decision is None:
        messages.error(request, __("That is no answer: yes or no."))
        return
    links = access.visible_to(request.user, ExchangeSyncIdMapping.objects.filter(pk__in=keys))
    if decision == DecisionAnswer.YES:
        links = _known_to(request, links)
    try:
        done = answers.answer(links, decision, actor=actor_of(request), now=timezone.now())
    except (Refused, PermissionDenied) as error:
        messages.error(request, str(error))
        return
    words = ngettext(
        "Answered for %(count)d item. The next cycle does it.",
        "Answered for %(count)d items. The next cycle does it.",
        done,
    )
    messages.success(request, words % {"count": done})


def _known_to(
    request: HttpRequest, links: "QuerySet[ExchangeSyncIdMapping]"
) -> "QuerySet[ExchangeSyncIdMapping]":
    """Nobody says yes to what he may not see; a no leaves everything as it is."""
    rows = list(links)
    reader = reader_of(request.user, rows)
    hidden = [link.pk for link in rows if not reader.may_know(link, _server(link))]
    if hidden:
        words = __("Whoever may not see what it is about can only say no. Left open: %(count)d.")
        messages.warning(request, words % {"count": len(hidden)})
    return links.exclude(pk__in=hidden)


# -- one question ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record next to the item. `is_asked`: a yes means this one; another one is asked about after a no."""

    is_asked: bool
    name: str
    url: str
    lines: Sequence[FieldLine]


def question_page(request: HttpRequest, key: UUID, context: dict[str, Any]) -> HttpResponse:
    link = _link(request, key)
    if not link.question:
        return HttpResponseRedirect(
            reverse("admin:serversync_exchangesyncidmapping_change", args=[link.pk])
        )
    server = _server(link)
    reader = reader_of(request.user, [link])
    known = reader.may_know(link, server)
    asked = QUESTIONS[SyncQuestion(link.question)]
    candidates = _candidates(link, server, request.user) if known else []
    mailed = _mailed(link, server) if known else []
    outside = outsiders(mailed)
    return TemplateResponse(
        request,
        "console/act/question.html",
        {
            **context,
            "title": asked.words,
            "asked": asked,
            "link": link,
            "kind": link.get_object_type_code_display() or __("Item"),
            "subject": reader.subject(link, server),
            "is_known": known,
            "candidates": candidates,
            "alone": [] if candidates or not known else _alone(link, server),
            "bookings": _bookings(link, server, request.user) if known else [],
            "mailed": [(address, address in outside) for address in mailed],
            "is_open": link.user_decision == DecisionAnswer.NONE,
            "may_answer": access.may(request.user, "change", link),
        },
    )


def _link(request: HttpRequest, key: UUID) -> ExchangeSyncIdMapping:
    rows = access.visible_to(request.user, ExchangeSyncIdMapping.objects.filter(pk=key))
    found = rows.select_related("mailbox", "owner").first()
    if found is None:
        raise Http404
    return found


def _server(link: ExchangeSyncIdMapping) -> Mapping[str, Any] | None:
    """The item as it was when it was asked about, else as both sides were last."""
    told: Mapping[str, Any] | None = (link.question_about or {}).get("server") or link.base
    return told


def _table(link: ExchangeSyncIdMapping) -> Table:
    return Table(link.object_type_code or Table.APPOINTMENT)


def _candidates(
    link: ExchangeSyncIdMapping, server: Mapping[str, Any] | None, user: Any
) -> list[Candidate]:
    """The record that it belongs to, or those that it looks like; as far as the reader sees them."""
    table = _table(link)
    about = link.question_about or {}
    told = [link.object_id, about.get("record"), *about.get("candidates", ())]
    keys = list(dict.fromkeys(keys_in(told)))[:MOST_CANDIDATES]
    seen = within_sight(table, keys, user)
    stored = store.sides(table, list(seen))
    return [
        Candidate(
            key == keys[0],
            HIDDEN if seen[key].is_private else seen[key].name,
            page_of(seen[key].record),
            lines(table.kind, side_data(stored[key]), server) if not seen[key].is_private else [],
        )
        for key in keys
        if key in seen and key in stored
    ]


def _alone(link: ExchangeSyncIdMapping, server: Mapping[str, Any] | None) -> list[FieldLine]:
    return lines(_table(link).kind, None, server)


def _mailed(link: ExchangeSyncIdMapping, server: Mapping[str, Any] | None) -> list[str]:
    """Of a meeting that would be handed over: whom its calling off tells."""
    if link.question != SyncQuestion.ORGANIZER_CHANGED:
        return []
    sides = [(side or {}).get("fields") or {} for side in (link.base, server)]
    people = [
        one for side in sides for name in ("required", "optional") for one in side.get(name, ())
    ]
    return sorted({str(person["address"]) for person in people})


def _bookings(
    link: ExchangeSyncIdMapping, server: Mapping[str, Any] | None, user: Any
) -> list[Booking]:
    """Of a scheduling conflict: who is busy with what."""
    if link.question != SyncQuestion.SCHEDULING_CONFLICT or server is None:
        return []
    side = side_of(ItemKind.APPOINTMENT, server)
    return bookings(side.fields, link.owner, link.object_id, user)
