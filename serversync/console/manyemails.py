"""What the list of e-mails does to many of them at once: asked about with counts first, told with counts
after."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes import access
from mailboxes.screens import actor_of
from serversync.outbox import many

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from activities.admin import EmailListScreen as Base
else:
    Base = object


@dataclass(frozen=True, slots=True)
class Deed:
    """`status`: what it is done to. `log`: what the history of each says."""

    name: str
    status: EmailStatus
    perform: Callable[..., many.Tally]
    words: Any
    button: Any
    log: Any


TAKE_BACK = Deed(
    "take_back",
    EmailStatus.PENDING_SEND,
    many.take_back,
    _("They become drafts again, and nothing of them leaves until somebody sends them."),
    _("Take back"),
    _("Taken back before it was sent."),
)
SEND_AGAIN = Deed(
    "send_again",
    EmailStatus.FAILED,
    many.send_again,
    _("They are put into the send queue as they are, and count their attempts anew."),
    _("Send again"),
    _("Submitted for sending."),
)


class Many(Base):
    """Mix in before the screen of emails."""

    actions = ["take_back", "send_again"]

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # what is on its way is not deleted
        return actions

    @admin.action(description=_("Take back to drafts"), permissions=["change"])
    def take_back(self, request: HttpRequest, queryset: "QuerySet[Email]") -> HttpResponse | None:
        return self._many(request, queryset, TAKE_BACK)

    @admin.action(description=_("Send again what failed"), permissions=["change"])
    def send_again(self, request: HttpRequest, queryset: "QuerySet[Email]") -> HttpResponse | None:
        return self._many(request, queryset, SEND_AGAIN)

    def _many(
        self, request: HttpRequest, queryset: "QuerySet[Email]", deed: Deed
    ) -> HttpResponse | None:
        # Not a filter on `queryset`: that may be sliced, or carry the list's annotations.
        chosen = list(queryset.values_list("pk", flat=True)[: many.AT_ONCE + 1])
        more = len(chosen) > many.AT_ONCE
        keys = chosen[: many.AT_ONCE]
        rows = Email.objects.filter(pk__in=keys).defer("description", "decision", "references")
        allowed = list(access.visible_to(request.user, rows, "change").order_by("submitted_at"))
        beyond = len(keys) - len(allowed)
        if "sure" not in request.POST:
            return self._ask(request, deed, allowed, beyond, more)
        tally = deed.perform(allowed, actor=actor_of(request), now=timezone.now())
        for email in tally.done:
            self.log_change(request, email, str(deed.log))
        self._tell(request, tally, beyond)
        return None

    def _ask(
        self, request: HttpRequest, deed: Deed, allowed: list[Email], beyond: int, more: bool
    ) -> HttpResponse:
        tally = many.suitable(allowed, deed.status)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": deed.button,
            "name": deed.name,
            "deed": deed.button,
            "words": deed.words,
            "count": len(tally.done),
            "left": _reasons(tally.left, beyond),
            "most": many.AT_ONCE if more else 0,
            "chosen": [email.pk for email in allowed],
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "console/manyemails.html", context)

    def _tell(self, request: HttpRequest, tally: many.Tally, beyond: int) -> None:
        if done := len(tally.done):
            words = ngettext("Done: %(count)d email.", "Done: %(count)d emails.", done)
            self.message_user(request, words % {"count": done}, messages.SUCCESS)
        for reason, count in _reasons(tally.left, beyond):
            words = ngettext(
                "Not done: %(count)d email, because: %(reason)s",
                "Not done: %(count)d emails, because: %(reason)s",
                count,
            )
            self.message_user(request, words % {"count": count, "reason": reason}, messages.WARNING)


def _reasons(left: Counter[str], beyond: int) -> list[tuple[str, int]]:
    """Reason and how many, the most first."""
    counted = Counter(left)
    if beyond:
        counted[__("your permissions don't reach it")] += beyond
    return counted.most_common(20)
