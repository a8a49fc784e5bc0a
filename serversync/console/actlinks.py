"""Synchronized pairs: which record belongs to which item of which mailbox, how they stand, and what was done to them (R6.50).

Seen by whoever sees the mailbox; what they hold is for who may read it (R8.30).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.private import may_read
from mailboxes import access
from mailboxes.causes import Cause, cause_of
from mailboxes.screens import EMPTY, actor_of, badge, moment
from serversync.act import byhand, store, undo
from serversync.act.byhand import Refused
from serversync.act.choices import LinkState
from serversync.act.records import keys_in, one_within_sight, page_of, table_of
from serversync.act.stored import side_data
from serversync.act.types import Table
from serversync.console.actcard import STANDINGS
from serversync.console.acthappened import Happened, happened
from serversync.console.actpage import PageOfMailbox
from serversync.console.actseen import HIDDEN, reader_of
from serversync.console.actwords import FieldLine, lines
from serversync.console.deeds import Deed, Deeds
from serversync.console.mailboxes.rows import MailboxFilter
from serversync.errortexts import shown_error
from serversync.models import ExchangeSyncIdMapping, SyncRevision

Link = ExchangeSyncIdMapping
LATEST = 30
STATE_LOOKS = {LinkState.NOTED: "info", LinkState.LINKED: "good", LinkState.UNLINKED: "quiet"}


# -- the list --------------------------------------------------------------------------------------


class StandingFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(name, words) for name, (words, _condition) in STANDINGS.items()]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        if self.value() in STANDINGS:
            return queryset.filter(STANDINGS[str(self.value())][1])
        return queryset


class LinkConsole(Deeds, PageOfMailbox):
    change_form_template = "console/act/link.html"
    list_display = [
        "subject_words", "state_badge", "object_type_code", "mailbox_link", "trouble", "retries",
        "equal",
    ]  # fmt: skip
    list_display_links = ["subject_words"]
    list_filter = [StandingFilter, "object_type_code", "question", ("mailbox", MailboxFilter)]
    # No subjects: a hit would tell what those say who are hidden.
    search_fields = ["mailbox__name", "mailbox__email_address", "=exchange_entry_id"]
    search_help_text = _("Mailbox, key of the record or of the item")
    list_select_related = ["mailbox"]
    ordering = ["-modified_on"]
    actions = ["look_again", "unlink", "link_again"]

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        """Also by the key of a record, which no substring is asked of."""
        if keys := keys_in([search_term.strip()]):
            return queryset.filter(Q(object_id__in=keys) | Q(pk__in=keys)), False
        return super().get_search_results(request, queryset, search_term)

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """What they hold isn't found out by asking letter by letter."""
        if lookup.split("__")[0] in ("item_subject", "base", "question_about", "sending"):
            return False
        return super().lookup_allowed(lookup, value, request)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        answer = super().changelist_view(request, extra_context)
        if (found := (getattr(answer, "context_data", None) or {}).get("cl")) is not None:
            found.result_list = list(found.result_list)
            reader = reader_of(request.user, found.result_list)
            for link in found.result_list:
                server = (link.question_about or {}).get("server")
                link.subject_shown = reader.subject(link, server)
        return answer

    @admin.display(description=_("subject"))
    def subject_words(self, link: Any) -> SafeString:
        words = getattr(link, "subject_shown", HIDDEN)
        return format_html('<span class="one-line row-title">{}</span>', words)

    @admin.display(description=_("state"), ordering="state")
    def state_badge(self, link: Link) -> SafeString:
        return standing_badge(link)

    @admin.display(description=_("error"), ordering="last_sync_error_code")
    def trouble(self, link: Link) -> SafeString | str:
        code = link.last_sync_error_code
        return (
            format_html('<span title="{}">{}</span>', code, cause_of(code).meaning)
            if code
            else EMPTY
        )

    @admin.display(description=_("equal since"), ordering="synced_on")
    def equal(self, link: Link) -> SafeString | str:
        return moment(link.synced_on)

    # -- what is done

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        if not access.may(request.user, "change", obj):
            return []
        if obj.state == LinkState.UNLINKED:
            return [Deed("link_again", _("Link again"), main=True)]
        return [
            Deed("look_again", _("Look again now"), main=True),
            Deed("unlink", _("Unlink"), grave=True),
        ]

    @admin.action(description=_("Look again now"))
    def look_again(self, request: HttpRequest, queryset: "QuerySet[Link]") -> None:
        self._do(
            request,
            queryset,
            byhand.look_again,
            __("%(count)d looked at by the next cycle, which was asked to run now."),
        )

    @admin.action(description=_("Unlink"))
    def unlink(self, request: HttpRequest, queryset: "QuerySet[Link]") -> None:
        words = __("%(count)d unlinked. Both copies stay, and go their own ways.")
        self._do(request, queryset, byhand.unlink, words)

    @admin.action(description=_("Link again"))
    def link_again(self, request: HttpRequest, queryset: "QuerySet[Link]") -> None:
        words = __("%(count)d linked again. The next cycle makes both equal.")
        self._do(request, queryset, byhand.link_again, words)

    def _do(
        self,
        request: HttpRequest,
        queryset: "QuerySet[Link]",
        deed: Callable[..., int],
        words: str,
    ) -> None:
        chosen = list(queryset[:200])
        try:
            done = deed(queryset, actor=actor_of(request), now=timezone.now())
        except (Refused, PermissionDenied) as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        told = words % {"count": done}
        for link in chosen if done else ():
            self.log_change(request, link, told)
        self.message_user(request, told, messages.SUCCESS if done else messages.WARNING)

    # -- its page

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        link: Link = kw["obj"]
        answer = super().render_change_form(request, context, *args, **kw)
        answer.context_data |= page_of_link(request, link)
        return answer


def standing_badge(link: Link) -> SafeString:
    """What matters most about it now."""
    if link.last_sync_error_code:
        return badge(_("failing"), "bad")
    if link.question and not link.user_decision:
        return badge(_("asking"), "warn")
    if link.batch_id:
        return badge(_("waiting for approval"), "warn")
    return badge(link.get_state_display(), STATE_LOOKS[LinkState(link.state)])


# -- one pair --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordShown:
    """The record, as far as the reader sees it. `is_there`: there is one at all. `is_open`: and what it is about."""

    name: str
    url: str
    is_there: bool
    is_open: bool = False


def page_of_link(request: HttpRequest, link: Link) -> dict[str, Any]:
    server = (link.question_about or {}).get("server")
    reader = reader_of(request.user, [link])
    known = reader.may_know(link, server)
    subject = reader.subject(link, server)
    record = _record(link, request.user)
    history = SyncRevision.objects.filter(Q(link=link) | _of_record(link))
    return {
        "title": subject,
        "link": link,
        "looks": standing_badge(link),
        "is_known": known,
        "record": record,
        "fields": fields_of_link(link, is_open=record.is_open) if known else [],
        "cause": _cause(link, known),
        "error": _error(link, known),
        "history": happened(request.user, history.order_by("-made_on", "-pk")[:LATEST]),
        "history_url": reverse("admin:serversync_syncrevision_changelist")
        + f"?link__id__exact={link.pk}",
        "batch": link.batch,
        "why_url": why_url(link),
    }


def why_url(link: Link) -> str:
    if link.object_id is None or link.object_type_code is None:
        return ""
    place = reverse("admin:act_why", args=[link.object_type_code, link.object_id])
    return f"{place}?mailbox={link.mailbox_id}"


def _of_record(link: Link) -> Q:
    """Also what became of it under a link that was forgotten."""
    if link.object_id is None:
        return Q(pk__in=[])
    return Q(link__isnull=True, mailbox=link.mailbox_id, object_id=link.object_id)


def _record(link: Link, user: Any) -> RecordShown:
    seen = one_within_sight(link.object_type_code, link.object_id, user)
    if seen is None:
        return RecordShown("", "", link.object_id is not None)
    if seen.is_private:
        return RecordShown(HIDDEN, page_of(seen.record), True)
    return RecordShown(seen.name, page_of(seen.record), True, is_open=True)


def fields_of_link(link: Link, *, is_open: bool) -> list[FieldLine]:
    """Record, and the item as it is known: as it was asked about, else as both sides were last. Whoever knows
    the item need not see the record any more: `is_open`."""
    table = Table(link.object_type_code or Table.APPOINTMENT)
    told: Mapping[str, Any] | None = (link.question_about or {}).get("server") or link.base
    here = store.sides(table, [link.object_id]) if link.object_id and is_open else {}
    side = here.get(link.object_id) if link.object_id else None
    return lines(table.kind, side_data(side) if side else None, told)


def _cause(link: Link, known: bool = False) -> Cause | None:
    code = link.last_sync_error_code
    return cause_of(code, _error(link, known)) if code else None


def _error(link: Link, known: bool) -> str:
    return shown_error(link.last_sync_error_code, link.last_sync_error, may_read=known)


# -- on a record's page ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Synchronized:
    """One mailbox that has the record."""

    link: Link
    looks: SafeString
    cause: Cause | None


def panel_of_record(record: Any, user: Any) -> dict[str, Any]:
    """With which mailboxes it is synchronized, as far as the reader sees those, and its latest history."""
    rows = access.visible_to(user, Link.objects.filter(object_id=record.pk))
    found = list(rows.select_related("mailbox").order_by("mailbox__name", "-modified_on"))
    return {
        "synchronized": [Synchronized(link, standing_badge(link), _cause(link)) for link in found],
        "history": record_history(record, user),
        "undo_url": _undo_url(record, user),
        "why_url": reverse("admin:act_why", args=[table_of(record), record.pk]),
    }


def _undo_url(record: Any, user: Any) -> str:
    """Of the last thing that the synchronization did to it, if this reader may undo that."""
    newest = undo.newest_of(record.pk)
    if newest is None or undo.why_not(newest, timezone.now()):
        return ""
    if not (access.may(user, "change", newest) and may_read(user, record)):
        return ""
    return reverse("admin:serversync_syncrevision_do", args=[newest.pk, "undo"])


def record_history(record: Any, user: Any) -> list[Happened]:
    rows = access.visible_to(user, SyncRevision.objects.filter(object_id=record.pk))
    return happened(user, rows.order_by("-made_on", "-pk")[:10])
