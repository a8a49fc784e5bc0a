"""Attempts to send, those of which nobody knows whether they left, and what servers taught about limits."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy

from activities.models import Email
from mailboxes import access
from mailboxes.screens import EMPTY, ReadOnlyScreen, actor_of, badge, link, moment
from serversync.choices import SubmissionState
from serversync.console.deeds import Deed, Deeds
from serversync.console.mailboxes.rows import MailboxFilter, OfMailbox
from serversync.console.navigation import in_doubt
from serversync.limits import lesson_of
from serversync.models import LearnedLimit, Submission
from serversync.outbox import decide_all
from serversync.pacing import grown, is_forgotten

if TYPE_CHECKING:
    from django.db.models import QuerySet

KINDS = {
    SubmissionState.ACCEPTED: "good",
    SubmissionState.PARTLY: "warn",
    SubmissionState.REFUSED: "bad",
    SubmissionState.UNKNOWN: "bad",
    SubmissionState.CLAIMED: "info",
    SubmissionState.HANDED_OVER: "warn",
    SubmissionState.RELEASED: "quiet",
}
EVERY = [
    "email_words", "mailbox_link", "attempt", "outcome", "claimed", "handed_over", "answer",
]  # fmt: skip
#: What is known of those of which nobody knows whether they left.
DOUBTFUL = [
    "email_words", "mailbox_link", "attempt", "handed_over", "server", "last_step", "answer",
    "sent_items",
]  # fmt: skip


class SubmissionConsole(Deeds, OfMailbox):
    """Of unknown ones people say what became of them, of one or of many at once (R5.17)."""

    list_display_links = ["attempt"]
    list_filter = ["state", ("mailbox", MailboxFilter)]
    list_select_related = ["mailbox", "email__activity", "decided_by", "email_server_profile"]
    ordering = ["-claimed_at"]
    exclude = ["claim_token"]
    actions = ["it_left", "it_did_not"]
    change_form_template = "admin/serversync/submission/change_form.html"
    deeds = (
        Deed("it_left", _("It left: mark as sent")),
        Deed("it_did_not", _("It did not leave: send again"), grave=True),
    )

    def get_list_display(self, request: HttpRequest) -> Any:
        doubtful = request.GET.get("state__exact") == SubmissionState.UNKNOWN
        return DOUBTFUL if doubtful else EVERY

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.GET.get("state__exact") == SubmissionState.UNKNOWN:
            title = __("Emails of which nobody knows whether they left")
            extra_context = {"title": title, **(extra_context or {})}
        return super().changelist_view(request, extra_context)

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        return self.deeds if obj.state == SubmissionState.UNKNOWN else []

    # -- what is known

    @admin.display(description=_("email"))
    def email_words(self, row: Submission) -> SafeString:
        url = reverse("admin:activities_email_change", args=[row.email_id])
        return link(url, row.email.to_recipients or row.email_id)

    @admin.display(description=_("outcome"), ordering="state")
    def outcome(self, row: Submission) -> SafeString:
        shown = badge(row.get_state_display(), KINDS[SubmissionState(row.state)])
        if row.decided_by is None:
            return shown
        said = __("as %(who)s said") % {"who": row.decided_by}
        return format_html('{} <span class="row-sub">{}</span>', shown, said)

    @admin.display(description=_("claimed"), ordering="claimed_at")
    def claimed(self, row: Submission) -> SafeString | str:
        return moment(row.claimed_at)

    @admin.display(description=_("handed over"), ordering="handed_over_at")
    def handed_over(self, row: Submission) -> SafeString | str:
        return moment(row.handed_over_at)

    @admin.display(description=_("server's answer"))
    def answer(self, row: Submission) -> str:
        return row.server_reply or row.error_code or EMPTY

    @admin.display(description=_("server"))
    def server(self, row: Submission) -> str:
        profile = row.email_server_profile
        if profile is None:
            return EMPTY
        place = profile.outgoing_server_location or profile.default_server_location
        return f"{profile} ({place})" if place else str(profile)

    @admin.display(description=_("last step"))
    def last_step(self, row: Submission) -> str:
        if row.server_reply:
            return __("All of it was handed over; then no answer came.")
        return __("It was being handed over; then the worker ended.")

    @admin.display(description=_("sent items"))
    def sent_items(self, row: Submission) -> SafeString | str:
        again = row.look_again_at
        if row.not_found_at is not None and again is not None:
            return format_html(
                __("not there at {}; looked for again at {}"),
                moment(row.not_found_at),
                moment(again),
            )
        if again is not None:
            return format_html(__("looked for at {}"), moment(again))
        return __("can't tell there; a person decides")

    # -- what became of it

    @admin.action(description=_("They left: mark as sent"))
    def it_left(self, request: HttpRequest, queryset: "QuerySet[Submission]") -> None:
        self._decide(request, self._mine(request, queryset), left=True)

    @admin.action(description=_("They did not leave: send again"))
    def it_did_not(
        self, request: HttpRequest, queryset: "QuerySet[Submission]"
    ) -> HttpResponse | None:
        chosen = self._mine(request, queryset)
        if ACTION_CHECKBOX_NAME in request.POST and "sure" not in request.POST and chosen:
            return self._ask(request, chosen)
        self._decide(request, chosen, left=False)
        return None

    def _mine(self, request: HttpRequest, queryset: "QuerySet[Submission]") -> "list[Submission]":
        """Of the chosen ones those in doubt whose emails the user may change; says if some aren't."""
        # Not a filter on `queryset`: that may be sliced, or carry the list's annotations.
        rows = Submission.objects.filter(pk__in=list(queryset.values_list("pk", flat=True)))
        changeable = access.visible_to(request.user, Email.objects.all(), "change").values("pk")
        mine = list(
            access.visible_to(request.user, rows, "view")
            .filter(state=SubmissionState.UNKNOWN, email__in=changeable)
            .select_related("email")
        )
        if left_out := rows.filter(state=SubmissionState.UNKNOWN).count() - len(mine):
            words = ngettext(
                "%(count)d email was left out: your permissions don't reach it.",
                "%(count)d emails were left out: your permissions don't reach them.",
                left_out,
            )
            self.message_user(request, words % {"count": left_out}, messages.ERROR)
        return mine

    def _ask(self, request: HttpRequest, chosen: "Sequence[Submission]") -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("They did not leave: send again"),
            "count": len(chosen),
            "chosen": [row.pk for row in chosen],
            "checkbox": ACTION_CHECKBOX_NAME,
            "back": in_doubt(),
        }
        return TemplateResponse(request, "console/send_again.html", context)

    def _decide(self, request: HttpRequest, chosen: "Sequence[Submission]", *, left: bool) -> None:
        keys = [row.pk for row in chosen]
        done = decide_all(keys, left=left, actor=actor_of(request), now=timezone.now())
        for row in chosen:
            if row.pk in done:
                self.log_change(request, row, __("It left.") if left else __("It did not leave."))
        if done:
            self.message_user(request, _noted(len(done), left), messages.SUCCESS)
        if late := len(chosen) - len(done):
            words = ngettext(
                "%(count)d email was decided or found meanwhile and stays as it is.",
                "%(count)d emails were decided or found meanwhile and stay as they are.",
                late,
            )
            self.message_user(request, words % {"count": late}, messages.WARNING)


def _noted(count: int, left: bool) -> str:
    if left:
        words = ngettext("Noted: the email was sent.", "Noted: %(count)d emails were sent.", count)
    else:
        words = ngettext(
            "Noted: it did not leave, and is sent again with the next cycle.",
            "Noted: %(count)d emails did not leave, and are sent again with the next cycle.",
            count,
        )
    return words % {"count": count}


class LearnedLimitConsole(OfMailbox):
    """What servers taught by refusing (R5.14). Whoever knows better lets it be forgotten."""

    list_display = ["account", "holds", "learned", "silent", "refusals", "server_reply"]
    list_display_links = ["account"]
    list_select_related = ["mailbox", "email_server_profile"]
    search_fields = ["mailbox__name", "email_server_profile__name"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super(ReadOnlyScreen, self).has_delete_permission(request, obj)

    @admin.display(description=pgettext_lazy("sending", "account"))
    def account(self, row: LearnedLimit) -> str:
        return str(row.email_server_profile or row.mailbox)

    @admin.display(description=_("holds now"))
    def holds(self, row: LearnedLimit) -> str:
        lesson, now = lesson_of(row), timezone.now()
        if is_forgotten(lesson, now):
            return __("nothing any more")
        most = grown(lesson, now)
        if most is None:
            return __("only the silence")
        return f"{most} {row.get_counted_display()} {row.get_window_display()}"

    @admin.display(description=_("learned"), ordering="learned_at")
    def learned(self, row: LearnedLimit) -> SafeString | str:
        return moment(row.learned_at)

    @admin.display(description=_("silent until"), ordering="hold_until")
    def silent(self, row: LearnedLimit) -> SafeString | str:
        return moment(row.hold_until)
