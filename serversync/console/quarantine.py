"""The quarantine: what failed for good and what is still tried again, why, and what can be done about it.

    list ──> look into one (parsed, within R8.30) ──> retry, dismiss, download: the deeds of the item page
      │
      └──> bring messages as files

Whoever may see a mailbox sees its items; deeds need the permission of their own, contents the right to
read the mailbox's mail.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.core.paginator import Page, Paginator
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from activities import blobs
from activities.choices import EmailKind
from activities.html import Sanitised, html_of, sanitise
from activities.mime.message import Attachment, ParsedMessage
from activities.mime.parse import parse
from mailboxes import access
from mailboxes.causes import Cause, cause_of
from mailboxes.choices import IncomingDeliveryMethod, Operation, StateCode
from mailboxes.conditions import Nature, explain
from mailboxes.models import Mailbox
from serversync import quarantine
from serversync.choices import ItemState
from serversync.console.downloads import as_attachment
from serversync.console.frames import MOST_PICTURE_BYTES, Picture, frame, in_line
from serversync.errortexts import shown_error
from serversync.models import SyncItem
from serversync.quarantine import Brought, Fate
from tracking.candidates import MAX_SIZE

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

PER_PAGE = 50
AT_ONCE = 500  # items that one press acts on
HEADER_SHOWN = 32 * 1024
PERMISSION = "retry_syncitem"

FATES: dict[Fate, tuple[str, Any]] = {
    Fate.NEW: ("good", _("Taken in")),
    Fate.SETTLES: ("good", _("Belongs to an item that failed, which is judged again with it")),
    Fate.AGAIN: ("good", _("Brought before; judged again")),
    Fate.STORED: ("quiet", _("Stored already")),
    Fate.REFUSED: ("bad", _("Not taken")),
}


def urls(site: "ConsoleSite") -> list[Any]:
    pages = Pages(site)
    view = site.admin_view
    look = "quarantine/<uuid:pk>/"
    return [
        path("quarantine/", view(pages.listing), name="quarantine"),
        path("quarantine/bring/", view(pages.bring), name="quarantine_bring"),
        path(look, view(require_safe(pages.look)), name="quarantine_look"),
        path(f"{look}body/", view(require_safe(pages.body)), name="quarantine_body"),
        path(f"{look}files/<int:number>/", view(require_safe(pages.file)), name="quarantine_file"),
    ]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which part of the quarantine is shown. `reason` None: all of them."""

    state: ItemState = ItemState.QUARANTINED
    mailbox: UUID | None = None
    reason: str | None = None

    def query(self, **other: Any) -> str:
        """The address of this part, or of another that differs in these."""
        told = {"state": self.state, "mailbox": self.mailbox, "reason": self.reason, **other}
        kept = {name: str(value) for name, value in told.items() if value is not None}
        if kept.get("state") == ItemState.QUARANTINED:
            del kept["state"]
        return f"?{urlencode(kept)}"

    def of(self, rows: "QuerySet[SyncItem]") -> "QuerySet[SyncItem]":
        rows = rows.filter(state=self.state, parent__isnull=True)
        if self.mailbox is not None:
            rows = rows.filter(mailbox=self.mailbox)
        return rows if self.reason is None else rows.filter(reason=self.reason)


def choice_of(told: Mapping[str, Any]) -> Choice:
    """From an address, which may hold anything."""
    state = ItemState.RETRYING if told.get("state") == "retrying" else ItemState.QUARANTINED
    reason = told.get("reason")
    if reason is not None:
        reason = reason.replace("\0", "")[:64]
    return Choice(state, _uuid(told.get("mailbox")), reason)


def _uuid(text: Any) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Tab:
    name: Any
    count: int
    url: str
    current: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """Items of one reason: what it means, what to do."""

    code: str
    cause: Cause
    count: int
    url: str
    current: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One item of the list."""

    item: Any
    cause: Cause
    error: str  # as far as this reader may see it


@dataclass(frozen=True, slots=True)
class Looked:
    """A message as far as it could be read."""

    message: ParsedMessage
    header: str
    files: Sequence[Attachment]
    blocked: int


def reason_words(code: str, text: str = "", *, for_good: bool = False) -> Cause:
    """No code: nothing went wrong yet. `for_good`: nothing is tried again by itself any more."""
    if code:
        cause = cause_of(code, text)
        if for_good and explain(code).nature == Nature.TRANSIENT:
            return Cause(
                cause.meaning,
                __("It was tried as often as is set. Retry it once the cause is gone."),
            )
        return cause
    return Cause(
        __("It waits to be judged."),
        __("Nothing needs to be done: the next cycle of its mailbox does it."),
    )


def _cause(item: SyncItem, error: str) -> Cause:
    for_good = item.state == ItemState.QUARANTINED
    return reason_words(item.reason, error, for_good=for_good)


def _line(item: Any) -> Line:
    error = shown_error(item.reason, item.last_error, may_read=item.is_readable)
    return Line(item, _cause(item, error), error)


class Pages:
    """The pages. What is done to items, the screen of items does."""

    def __init__(self, site: "ConsoleSite") -> None:
        self.site = site

    @property
    def screen(self) -> Any:
        return self.site._registry[SyncItem]

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        every = {**self.site.each_context(request), "opts": SyncItem._meta, **context}
        return TemplateResponse(request, f"console/{template}.html", every)

    # -- the list

    def listing(self, request: HttpRequest) -> HttpResponse:
        if not self.screen.has_view_permission(request):
            raise PermissionDenied
        choice = choice_of(request.GET)
        rows: QuerySet[SyncItem] = self.screen.get_queryset(request)
        if request.method == "POST":
            return self._do(request, choice, rows)
        shown = choice.of(rows).select_related("mailbox").order_by("-decided_at", "-pk")
        page = Paginator(shown, PER_PAGE).get_page(request.GET.get("page"))
        return self._page(
            request,
            "quarantine",
            title=__("Quarantine"),
            choice=choice,
            all_mailboxes=choice.query(mailbox=None, reason=None),
            all_reasons=choice.query(reason=None),
            tabs=_tabs(choice, rows),
            reasons=_reasons(choice, rows),
            mailboxes=_mailboxes(choice, rows),
            page=page,
            pages=_numbers(page, choice),
            lines=[_line(item) for item in page],
            may_act=access.reach_of(request.user, SyncItem, PERMISSION) is not None,
            may_bring=mailboxes_to_bring_to(request.user).exists(),
            at_once=AT_ONCE,
        )

    def _do(self, request: HttpRequest, choice: Choice, rows: "QuerySet[SyncItem]") -> HttpResponse:
        """`deed` is "retry:chosen", "dismiss:all", "retry:<key>"; dismissing asks first."""
        name, _colon, which = request.POST.get("deed", "").partition(":")
        if name not in ("retry", "dismiss"):
            raise Http404
        chosen = self._chosen(request, which, choice, rows)
        here = HttpResponseRedirect(request.get_full_path())
        if not chosen:
            self.screen.message_user(request, __("Choose items first."), messages.WARNING)
            return here
        if name == "dismiss" and "sure" not in request.POST:
            return self._page(
                request,
                "quarantine_dismiss",
                title=__("Dismiss"),
                chosen=chosen,
                back=request.get_full_path(),
            )
        getattr(self.screen, name)(request, SyncItem.objects.filter(pk__in=chosen))
        return here

    def _chosen(
        self, request: HttpRequest, which: str, choice: Choice, rows: "QuerySet[SyncItem]"
    ) -> list[UUID]:
        if which == "all":
            chosen = choice.of(rows)
        else:
            told = request.POST.getlist("item") if which == "chosen" else [which]
            keys = [key for key in map(_uuid, told) if key is not None]
            chosen = rows.filter(pk__in=keys[:AT_ONCE])
        return [*chosen.order_by("-decided_at").values_list("pk", flat=True)[:AT_ONCE]]

    # -- one message

    def look(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        item = self._item(request, pk)
        line, looked = _line(item), None
        if item.is_readable and (raw := _raw(item)) is not None:
            looked = _look(raw, remote=_remote(request))
        return self._page(
            request,
            "quarantine_look",
            title=(item.subject or __("(no subject)")) if item.is_readable else __("Item"),
            item=item,
            looked=looked,
            kind=EmailKind(looked.message.kind).label if looked else "",
            remote=_remote(request),
            cause=line.cause if item.state in quarantine.FAILED else None,
            error=line.error,
            deeds=[
                (deed, reverse("admin:serversync_syncitem_do", args=[item.pk, deed.name]))
                for deed in self.screen.deeds_for(request, item)
                if deed.name != "look"
            ],
            may_bring=item.state in quarantine.FAILED
            and mailboxes_to_bring_to(request.user).filter(pk=item.mailbox_id).exists(),
        )

    def body(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        message = self._message(request, pk)
        remote = _remote(request)
        return frame(_body_of(message, remote, _pictures(message)).html, remote=remote)

    def file(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        files = self._message(request, pk).attachments
        if not 0 < number <= len(files):
            raise Http404
        found = files[number - 1]
        return as_attachment(found.content, found.filename)

    def _item(self, request: HttpRequest, pk: UUID) -> Any:
        """What is out of sight doesn't exist here."""
        rows = self.screen.get_queryset(request).select_related("mailbox", "raw")
        item = rows.filter(pk=pk).first()
        if item is None or not self.screen.has_view_permission(request):
            raise Http404
        return item

    def _message(self, request: HttpRequest, pk: UUID) -> ParsedMessage:
        item = self._item(request, pk)
        raw = _raw(item) if item.is_readable else None
        if raw is None:
            raise Http404
        return parse(raw)

    # -- bringing messages

    def bring(self, request: HttpRequest) -> HttpResponse:
        """Files into a mailbox, or, with an item in the address, the file that this item lacks."""
        mailboxes = mailboxes_to_bring_to(request.user)
        told = request.POST if request.method == "POST" else request.GET
        item = self._lacking(request, told.get("item"), mailboxes)
        mailbox = item.mailbox if item else self._mailbox(mailboxes, told.get("mailbox"))
        brought: list[Brought] = []
        if request.method == "POST":
            brought = self._bring(request, mailbox, item)
        elif not mailboxes.exists():
            self.screen.message_user(request, _nobody(request.user), messages.WARNING)
        return self._page(
            request,
            "quarantine_bring",
            title=__("Import .eml files"),
            mailboxes=mailboxes.order_by("name"),
            mailbox=mailbox,
            item=item,
            brought=[(one, *FATES[one.fate]) for one in brought],
            waits=bool(brought) and mailbox is not None and not _runs(mailbox),
            largest=MAX_SIZE,
        )

    def _bring(
        self, request: HttpRequest, mailbox: Mailbox | None, item: SyncItem | None
    ) -> list[Brought]:
        files = request.FILES.getlist("files")
        fault = ""
        if mailbox is None:
            fault = __("Choose the mailbox that the messages were for.")
        elif not files:
            fault = __("Choose at least one file.")
        elif item is not None and len(files) > 1:
            fault = __("Choose one file: the message of this item.")
        if fault or mailbox is None:
            self.screen.message_user(request, fault, messages.ERROR)
            return []
        brought = quarantine.bring(mailbox, _contents(files), now=timezone.now(), item=item)
        for one in brought:
            if one.item is not None and one.fate != Fate.STORED:
                self.screen.log_change(request, one.item, __("Brought as a file."))
        return brought

    def _lacking(
        self, request: HttpRequest, key: Any, mailboxes: "QuerySet[Mailbox]"
    ) -> SyncItem | None:
        if not key:
            return None
        item: SyncItem = self._item(request, _uuid(key) or UUID(int=0))
        if not mailboxes.filter(pk=item.mailbox_id).exists():
            raise PermissionDenied(__("Only who may retry this item and read its mailbox may."))
        return item

    def _mailbox(self, mailboxes: "QuerySet[Mailbox]", key: Any) -> Mailbox | None:
        only = list(mailboxes[:2])
        if len(only) == 1:
            return only[0]
        wanted = _uuid(key)
        return mailboxes.filter(pk=wanted).first() if wanted else None


# -- pieces of the list --------------------------------------------------------------------------


def _tabs(choice: Choice, rows: "QuerySet[SyncItem]") -> list[Tab]:
    counted = rows.filter(state__in=quarantine.FAILED, parent__isnull=True)
    if choice.mailbox is not None:
        counted = counted.filter(mailbox=choice.mailbox)
    counts = dict(counted.order_by().values_list("state").annotate(n=Count("pk")))
    names = {
        ItemState.QUARANTINED: _("Failed for good"),
        ItemState.RETRYING: _("Tried again by itself"),
    }
    return [
        Tab(
            name,
            counts.get(state, 0),
            choice.query(state=state, reason=None),
            state == choice.state,
        )
        for state, name in names.items()
    ]


def _reasons(choice: Choice, rows: "QuerySet[SyncItem]") -> list[Reason]:
    every = Choice(choice.state, choice.mailbox).of(rows)
    counts = every.order_by().values_list("reason").annotate(n=Count("pk")).order_by("-n", "reason")
    return [
        Reason(
            code,
            reason_words(code, for_good=choice.state == ItemState.QUARANTINED),
            number,
            choice.query(reason=None if code == choice.reason else code),
            code == choice.reason,
        )
        for code, number in counts
    ]


def _mailboxes(choice: Choice, rows: "QuerySet[SyncItem]") -> list[tuple[UUID, str, int, str]]:
    """Key, name, how many, address; of mailboxes that have such items."""
    counts = (
        rows.filter(state=choice.state, parent__isnull=True)
        .order_by()
        .values_list("mailbox", "mailbox__name")
        .annotate(n=Count("pk"))
        .order_by("mailbox__name")
    )
    return [
        (key, name, number, choice.query(mailbox=key, reason=None)) for key, name, number in counts
    ]


def _numbers(page: "Page[SyncItem]", choice: Choice) -> list[tuple[Any, str]]:
    """Pages to go to, and their addresses; "" where one is left out, or is."""
    return [
        (number, choice.query(page=number) if number not in ("…", page.number) else "")
        for number in page.paginator.get_elided_page_range(page.number)
    ]


# -- pieces of a message -------------------------------------------------------------------------


def _remote(request: HttpRequest) -> bool:
    return request.GET.get("remote") == "1"


def _raw(item: SyncItem) -> bytes | None:
    if item.raw is None:
        return None
    try:
        return blobs.read(item.raw)
    except blobs.BytesMissing:
        return None


def _look(raw: bytes, *, remote: bool) -> Looked:
    message = parse(raw)
    return Looked(
        message=message,
        header=_header_of(raw),
        files=message.attachments,
        blocked=_body_of(message, remote, {}).blocked_remote_count,
    )


def _header_of(raw: bytes) -> str:
    """The header as it stands in the bytes, for the eye."""
    text = raw[:HEADER_SHOWN].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    return text.decode("utf-8", "replace").replace("\0", "�")


def _body_of(message: ParsedMessage, remote: bool, pictures: dict[str, str]) -> Sanitised:
    if not message.html:
        return Sanitised(html_of(message.text), 0)
    return sanitise(message.html, pictures, allow_remote=remote)


def _pictures(message: ParsedMessage) -> dict[str, str]:
    found, room = [], MOST_PICTURE_BYTES
    for file in message.attachments:
        room -= len(file.content) if file.content_id else 0
        if file.content_id and room >= 0:
            found.append(Picture(file.content_id, file.content))
    return in_line(found)


# -- pieces of bringing --------------------------------------------------------------------------


def mailboxes_to_bring_to(user: Any) -> "QuerySet[Mailbox]":
    """Those whose items this user may retry, and whose mail he may read; and that are read at all."""
    reach = access.reach_of(user, SyncItem, PERMISSION)
    rows = Mailbox.objects.filter(
        access.content_readers(user),
        incoming_email_delivery_method=IncomingDeliveryMethod.SERVER_SIDE_SYNC,
        state_code=StateCode.ACTIVE,
    )
    return rows.filter(access.Asker(user, PERMISSION, reach).owned())


def _nobody(user: Any) -> str:
    if access.reach_of(user, SyncItem, PERMISSION) is None:
        return str(access.refusal(SyncItem, PERMISSION))
    return __(
        "There is no mailbox that you may bring messages to: it must be read here, and you must be "
        "its owner, or a member of its queue (R8.30)."
    )


def _runs(mailbox: Mailbox) -> bool:
    """Whether a cycle will come by itself, or when a person asks for one."""
    return mailbox.workloads.filter(operation=Operation.INCOMING, enabled=True).exists()


def _contents(files: "Sequence[UploadedFile[Any]]") -> Iterator[tuple[str, bytes]]:
    """One by one, and never more of one than tells that it is too large."""
    for file in files:
        yield file.name or "", file.read(MAX_SIZE + 1)
