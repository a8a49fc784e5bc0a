"""My mailbox: to its owner, in words, how it is, what runs next, what became of the last items, what to do."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from mailboxes import access
from mailboxes.choices import Operation, Reach
from mailboxes.eligibility import is_server_side
from mailboxes.models import Mailbox, Queue
from serversync.console.health import KIND, Health, organization_of, with_health
from serversync.console.mailboxes.page import Panel, panel_of

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

MOST = 20  # mailboxes on one page; queues of one person are few


@dataclass(frozen=True, slots=True)
class Own:
    """One mailbox of the reader's. `may_synchronize`: the button is there."""

    mailbox: Any
    panel: Panel
    may_synchronize: bool
    do: str

    @property
    def channels(self) -> list[Any]:
        return [channel for channel in self.panel.channels if channel.used]


def urls(site: "ConsoleSite") -> list[Any]:
    def page(request: HttpRequest) -> HttpResponse:
        return show(site, request)

    return [path("my-mailbox/", site.admin_view(page), name="my_mailbox")]


def show(site: "ConsoleSite", request: HttpRequest) -> HttpResponse:
    """One of them in full; of the others the state."""
    boxes = list(own_mailboxes(request)[:MOST])
    wanted = request.GET.get("box", "")
    chosen = next((box for box in boxes if str(box.pk) == wanted), boxes[0] if boxes else None)
    context = {
        **site.each_context(request),
        "title": _("My mailbox"),
        "boxes": [(box, Health(box.health), KIND[Health(box.health)]) for box in boxes],
        "own": _own(request, chosen, timezone.now()) if chosen else None,
    }
    return TemplateResponse(request, "console/my_mailbox.html", context)


def own_mailboxes(request: HttpRequest) -> Any:
    """The reader's own first, then those of queues that the reader is a member of."""
    queues = Queue.members.through.objects.filter(systemuser=request.user.pk).values("queue")
    mine = Mailbox.objects.filter(Q(regarding_user=request.user.pk) | Q(regarding_queue__in=queues))
    return (
        with_health(mine, organization_of(request))
        .select_related("email_server_profile", "regarding_user", "regarding_queue")
        .prefetch_related("workloads")
        .order_by(F("regarding_queue__name").asc(nulls_first=True), "name")
    )


def lands_here(user: Any) -> bool:
    """Whether the overview of all mailboxes is not this person's business."""
    reach = access.reach_of(user, Mailbox, "view")
    return reach is None or reach == Reach.OWN


def _own(request: HttpRequest, mailbox: Any, now: datetime) -> Own:
    runs = any(is_server_side(mailbox, operation) for operation in Operation)
    return Own(
        mailbox=mailbox,
        panel=panel_of(request, mailbox, now),
        may_synchronize=runs and access.may(request.user, "synchronize_mailbox", mailbox),
        do=reverse("admin:mailboxes_mailbox_do", args=[mailbox.pk, "synchronize"]),
    )
