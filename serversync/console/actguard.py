"""What waits for approval: exactly what would happen to each pair, whom it would mail, and why it waits (R6.46, R6.51).

Subjects and values are for who may read the mailbox (R8.30).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.models import Organization
from mailboxes.screens import actor_of, badge, moment
from serversync.act import answers, batches
from serversync.act.byhand import Refused
from serversync.act.choices import BatchKind, BatchState, LinkState, SyncTable
from serversync.act.guard import STOPS
from serversync.act.types import Table
from serversync.console.actpage import PageOfMailbox
from serversync.console.actseen import Reader, outsiders, reader_of
from serversync.console.actwords import (
    VERB_LOOKS,
    FieldLine,
    changes,
    reason_words,
    reasons_words,
    verb_words,
)
from serversync.console.deeds import Deed, Deeds
from serversync.console.mailboxes.rows import MailboxFilter
from serversync.models import ExchangeSyncIdMapping, ParkedBatch, ParkedChange

PER_PAGE = 50
MOST_NAMED = 200  # addresses on one page
STATE_LOOKS = {
    BatchState.WAITING: "warn",
    BatchState.APPROVED: "good",
    BatchState.DROPPED: "quiet",
    BatchState.OVERTAKEN: "quiet",
}
#: Of a whole batch. That one of its changes calls a meeting off is told of that one.
LIMITS = STOPS - {"cancellation_waits"}
#: What cards of their own say in full.
TOLD_BESIDE = {"first_look", "attendees_told"}
SIDES = {"to_store": _("here"), "to_server": _("on the server")}


@dataclass(frozen=True, slots=True)
class Doing:
    """What would be done on one side."""

    side: Any
    verb: str
    looks: str
    lines: Sequence[FieldLine]

    @property
    def words(self) -> str:
        return verb_words(self.verb)

    @property
    def is_whole(self) -> bool:
        """All of it is made, or goes: there is nothing to compare with."""
        return self.verb != "update"


@dataclass(frozen=True, slots=True)
class People:
    """How many would be mailed; for who may not know the pair, no more than that."""

    count: int
    outside: int


@dataclass(frozen=True, slots=True)
class Line:
    """One pair of a batch."""

    change: ParkedChange
    kind: str
    subject: str
    url: str
    doings: Sequence[Doing]
    told: Sequence[tuple[str, bool]]
    people: People
    reasons: Sequence[str]


class BatchConsole(Deeds, PageOfMailbox):
    change_form_template = "console/act/batch.html"
    list_display = ["parked", "looks", "mailbox_link", "kind", "undecided", "decided"]
    list_display_links = ["parked"]
    list_filter = ["state", "kind", ("mailbox", MailboxFilter)]
    ordering = ["-created_on"]
    search_help_text = _("Mailbox")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(found=Count("changes"))

    @admin.display(description=_("parked"), ordering="created_on")
    def parked(self, batch: ParkedBatch) -> SafeString | str:
        return moment(batch.created_on)

    @admin.display(description=_("state"), ordering="state")
    def looks(self, batch: ParkedBatch) -> SafeString:
        return badge(batch.get_state_display(), STATE_LOOKS[BatchState(batch.state)])

    @admin.display(description=_("changes"))
    def undecided(self, batch: Any) -> int:
        return int(batch.found)

    @admin.display(description=_("decided"), ordering="ended_on")
    def decided(self, batch: ParkedBatch) -> SafeString | str:
        return moment(batch.ended_on)

    # -- what is done about it

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        if obj.state != BatchState.WAITING or not batches.may_decide(request.user, obj):
            return []
        return [
            Deed("approve", _("Approve all of it"), main=True),
            Deed("drop", _("Drop all of it"), grave=True),
            Deed("decide_again", _("Decide anew, under the settings of now")),
            Deed("approve_some", _("Approve what is ticked"), main=True),
            Deed("drop_some", _("Drop what is ticked"), grave=True),
        ]

    def approve(self, request: HttpRequest, queryset: "QuerySet[ParkedBatch]") -> None:
        words = __("Approved. The next cycle does it.")
        self._do(request, queryset, batches.approve, words, seen=_seen(request))

    def drop(self, request: HttpRequest, queryset: "QuerySet[ParkedBatch]") -> None:
        words = __("Dropped. Neither side has lost anything.")
        self._do(request, queryset, batches.drop, words, seen=_seen(request))

    def decide_again(self, request: HttpRequest, queryset: "QuerySet[ParkedBatch]") -> None:
        words = __("The next cycle decides all of it anew.")
        self._do(request, queryset, batches.decide_again, words)

    def approve_some(self, request: HttpRequest, queryset: "QuerySet[ParkedBatch]") -> None:
        words = __("Approved what was ticked. The next cycle does it.")
        self._do(request, queryset, batches.approve, words, only=_ticked(request))

    def drop_some(self, request: HttpRequest, queryset: "QuerySet[ParkedBatch]") -> None:
        words = __("Dropped what was ticked. Neither side has lost anything.")
        self._do(request, queryset, batches.drop, words, only=_ticked(request))

    def _do(
        self,
        request: HttpRequest,
        queryset: "QuerySet[ParkedBatch]",
        deed: Callable[..., ParkedBatch],
        words: str,
        **options: Any,
    ) -> None:
        try:
            done = deed(queryset.get(), actor=actor_of(request), now=timezone.now(), **options)
        except (Refused, PermissionDenied) as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        self.log_change(request, done, words)
        self.message_user(request, words, messages.SUCCESS)

    # -- its page

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        batch: ParkedBatch = kw["obj"]
        number = _number(request.GET.get("page"))
        rows = batch.changes.select_related("link", "link__mailbox").order_by("approved", "pk")
        part = list(rows[number * PER_PAGE : (number + 1) * PER_PAGE])
        people, named = _people(batch, request.user)
        answer = super().render_change_form(request, context, *args, **kw)
        stamp = urlencode({"seen": batch.changed_on.isoformat()})
        deeds = [(one, f"{url}?{stamp}") for one, url in answer.context_data.get("deeds", [])]
        answer.context_data |= {
            "title": str(batch.get_kind_display()),
            "batch": batch,
            "looks": self.looks(batch),
            "deeds": [one for one in deeds if not one[0].name.endswith("_some")],
            "some_deeds": [one for one in deeds if one[0].name.endswith("_some")],
            "because": reasons_words(batch.reasons),
            "counts": _counts(batch),
            "to_come": batches.more_to_come(batch) if batch.state == BatchState.WAITING else 0,
            "people": named[:MOST_NAMED],
            "people_count": people.count,
            "outside_count": people.outside,
            "lines": _lines(part, reader_of(request.user, [change.link for change in part]), batch),
            "first": _first(batch, request) if batch.kind == BatchKind.FIRST else None,
            "setting": _setting(request.user),
            "next_page": number + 1 if rows[(number + 1) * PER_PAGE :].exists() else None,
            "previous_page": number - 1 if number else None,
        }
        return answer


def _seen(request: HttpRequest) -> datetime:
    """When the batch had last changed as it was shown; who doesn't say has seen nothing."""
    try:
        told = parse_datetime(request.GET.get("seen", ""))
    except ValueError:
        told = None
    return told or datetime.min.replace(tzinfo=UTC)


def _ticked(request: HttpRequest) -> set[UUID]:
    found = set()
    for text in request.POST.getlist("change"):
        try:
            found.add(UUID(text))
        except ValueError:
            continue
    return found


def _number(text: Any) -> int:
    return min(int(text), 10_000) if str(text or "").isdecimal() else 0


def _setting(user: Any) -> str:
    """Where the limits are, for whom may look at them."""
    organization = Organization.objects.current()
    if not access.may(user, "view", organization):
        return ""
    return reverse("admin:mailboxes_organization_change", args=[organization.pk])


def _people(batch: ParkedBatch, user: Any) -> tuple[People, list[tuple[str, bool]]]:
    """Everybody who would be mailed, and their addresses as far as the reader may know them, outsiders first."""
    told = batch.changes.filter(approved=False).exclude(told=[]).select_related("link")
    changes = list(told.defer("reasons"))
    reader = reader_of(user, [change.link for change in changes])
    known = [one for one in changes if reader.may_know(one.link, one.to_store, one.to_server)]
    addresses = {address for change in changes for address in change.told}
    outside = outsiders(addresses)
    named = {address for change in known for address in change.told}
    people = People(len(addresses), len(outside))
    return people, sorted(((one, one in outside) for one in named), key=lambda p: (not p[1], p[0]))


@dataclass(frozen=True, slots=True)
class Counted:
    """So many of one table, verb and side."""

    number: int
    verb: str
    looks: str
    table: str
    side: Any


def _counts(batch: ParkedBatch) -> list[Counted]:
    """By table, side and verb; two statements, however many there are."""
    names = dict(SyncTable.choices)
    found = []
    for column, side in SIDES.items():
        rows = (
            batch.changes.exclude(**{f"{column}__isnull": True})
            .annotate(verb=KT(f"{column}__verb"))
            .order_by()
            .values_list("link__object_type_code", "verb")
            .annotate(number=Count("pk"))
        )
        found += [
            Counted(
                number,
                verb_words(verb),
                VERB_LOOKS.get(verb, "quiet"),
                str(names.get(code, __("Item"))),
                side,
            )
            for code, verb, number in rows
            if verb
        ]
    return sorted(found, key=lambda one: -one.number)


def _first(batch: ParkedBatch, request: HttpRequest) -> dict[str, Any]:
    """R6.51: what was recognised on both sides, by what, and what is doubtful."""
    known = ExchangeSyncIdMapping.objects.filter(mailbox=batch.mailbox_id, state=LinkState.LINKED)
    doubtful = answers.open_questions(request.user).filter(mailbox=batch.mailbox_id)
    told = Counter(
        reason["code"]
        for reasons in batch.changes.values_list("reasons", flat=True)
        for reason in reasons
        if reason["code"] not in TOLD_BESIDE
    )
    page = reverse("admin:act_questions")
    return {
        "linked": known.count(),
        "doubtful": doubtful.count(),
        "doubtful_url": f"{page}?mailbox={batch.mailbox_id}",
        "because": [(reason_words({"code": code}), number) for code, number in told.most_common()],
    }


# -- one pair of it --------------------------------------------------------------------------------


def _lines(parked: Sequence[ParkedChange], reader: Reader, batch: ParkedBatch) -> list[Line]:
    outside = outsiders({address for change in parked for address in change.told})
    above = {reason.get("code") for reason in batch.reasons} & LIMITS
    return [_line(change, reader, outside, above) for change in parked]


def _line(change: ParkedChange, reader: Reader, outside: set[str], above: set[Any]) -> Line:
    """`above`: limits that the page names once for all of them."""
    link = change.link
    kind = Table(link.object_type_code or Table.APPOINTMENT).kind
    sides = (change.to_store, change.to_server)
    known = reader.may_know(link, *sides)
    return Line(
        change=change,
        kind=str(link.get_object_type_code_display() or __("Item")),
        subject=reader.subject(link, *sides),
        url=reverse("admin:serversync_exchangesyncidmapping_change", args=[link.pk]),
        doings=[
            _doing(link, words, write, known)
            for words, write in zip(SIDES.values(), sides, strict=True)
            if write
        ],
        told=[(address, address in outside) for address in change.told] if known else [],
        people=People(len(change.told), len(outside.intersection(change.told))),
        reasons=reasons_words(
            [one for one in change.reasons if one.get("code") not in above], kind
        ),
    )


def _doing(link: ExchangeSyncIdMapping, side: Any, write: Any, known: bool) -> Doing:
    verb = str(write.get("verb", ""))
    kind = Table(link.object_type_code or Table.APPOINTMENT).kind
    told = changes(kind, write) if known else []
    return Doing(side, verb, VERB_LOOKS.get(verb, "quiet"), told)
