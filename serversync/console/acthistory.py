"""History of synchronized pairs, and undoing it (R6.53, R6.47)."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.screens import actor_of, badge, moment
from serversync.act import undo
from serversync.act.byhand import Refused
from serversync.act.types import Table
from serversync.console.acthappened import may_know, subject_of, told
from serversync.console.actpage import PageOfMailbox
from serversync.console.actseen import HIDDEN, Reader
from serversync.console.actwords import VERB_LOOKS, VERBS, part_label, verb_words
from serversync.console.deeds import Deed, Deeds
from serversync.console.mailboxes.rows import MailboxFilter
from serversync.models import SyncRevision


class VerbFilter(admin.SimpleListFilter):
    """In words, and without looking through all rows for those that occur."""

    title = _("what")
    parameter_name = "verb"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return list(VERBS.items())

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        return queryset.filter(verb=self.value()) if self.value() else queryset


class RevisionConsole(Deeds, PageOfMailbox):
    change_form_template = "console/act/revision.html"
    list_display = [
        "made", "what", "subject_words", "side", "object_type_code", "mailbox_link", "undone",
    ]  # fmt: skip
    list_display_links = ["made"]
    list_filter = ["side", VerbFilter, "object_type_code", ("mailbox", MailboxFilter)]
    list_select_related = ["mailbox", "link"]
    search_fields = ["=object_id", "mailbox__name", "mailbox__email_address"]
    search_help_text = _("Key of the record, or mailbox")
    ordering = ["-made_on", "-pk"]

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        if lookup.split("__")[0] in ("before", "after", "lost", "told"):
            return False
        return super().lookup_allowed(lookup, value, request)

    @admin.display(description=_("made"), ordering="made_on")
    def made(self, row: SyncRevision) -> SafeString | str:
        return moment(row.made_on)

    @admin.display(description=_("what"), ordering="verb")
    def what(self, row: SyncRevision) -> SafeString:
        return badge(verb_words(row.verb), VERB_LOOKS.get(row.verb, "quiet"))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        answer = super().changelist_view(request, extra_context)
        if (found := (getattr(answer, "context_data", None) or {}).get("cl")) is not None:
            found.result_list = list(found.result_list)
            reader = Reader(request.user, found.result_list)
            for row in found.result_list:
                row.subject_shown = subject_of(reader, row)
        return answer

    @admin.display(description=_("subject"))
    def subject_words(self, row: Any) -> SafeString:
        words = getattr(row, "subject_shown", HIDDEN)
        return format_html('<span class="one-line">{}</span>', words)

    @admin.display(description=_("undone"), ordering="undone_on")
    def undone(self, row: SyncRevision) -> SafeString | str:
        return moment(row.undone_on)

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        if not access.may(request.user, "change", obj) or undo.why_not(obj, timezone.now()):
            return []
        if Reader(request.user, [obj]).is_closed(obj):
            return []
        return [Deed("undo", _("Undo it"), grave=True)]

    def undo(self, request: HttpRequest, queryset: "QuerySet[SyncRevision]") -> None:
        revision = queryset.get()
        try:
            done = undo.undo(revision, actor=actor_of(request), now=timezone.now())
        except (Refused, PermissionDenied) as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        words = __("Undone here. The next cycle puts the server right, too.")
        self.log_change(request, revision, words)
        self.message_user(request, words, messages.SUCCESS)
        if done.kept:
            kind = Table(revision.object_type_code or Table.APPOINTMENT).kind
            names = ", ".join(part_label(kind, name) for name in done.kept)
            words = __("Somebody has changed these since, so they stay: %(names)s")
            self.message_user(request, words % {"names": names}, messages.WARNING)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        revision: SyncRevision = kw["obj"]
        answer = super().render_change_form(request, context, *args, **kw)
        reader = Reader(request.user, [revision])
        known = may_know(reader, revision)
        mine = access.may(request.user, "change", revision)
        answer.context_data |= {
            "title": _title(revision),
            "one": told(revision, known, mine),
            "subject": subject_of(reader, revision),
            "is_known": known,
            "why_not": undo.why_not(revision, timezone.now()),
        }
        return answer


def _title(revision: SyncRevision) -> str:
    kind = revision.get_object_type_code_display() or __("Item")
    return f"{kind}: {verb_words(revision.verb)}"
