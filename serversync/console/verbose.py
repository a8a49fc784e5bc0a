"""Verbose logging of a mailbox: switched on and off, and read (R8.18).

For whoever may change the mailbox. Nothing of a message stands here, so it is no content (R8.30).
"""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as __

from mailboxes import access
from mailboxes.models import Mailbox
from mailboxes.screens import actor_of
from serversync import verbose
from serversync.models import VerboseLine, VerboseLogging

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite

SHOWN = 500


def urls(site: "ConsoleSite") -> list[Any]:
    page = Page(site)
    return [
        path("mailboxes/<uuid:pk>/conversation/", site.admin_view(page.show), name="verbose_log")
    ]


class Page:
    def __init__(self, site: "ConsoleSite") -> None:
        self.site = site

    def show(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """What is out of reach doesn't exist here."""
        rows = access.visible_to(request.user, Mailbox.objects.all(), "change")
        mailbox = rows.filter(pk=pk).first()
        if mailbox is None:
            raise Http404
        if request.method == "POST":
            self._switch(request, mailbox)
            return HttpResponseRedirect(request.path)
        logging = VerboseLogging.objects.filter(mailbox=mailbox).select_related("switched_on_by")
        row = logging.first()
        context = {
            **self.site.each_context(request),
            "title": str(mailbox),
            "opts": Mailbox._meta,
            "mailbox": mailbox,
            "row": row,
            "is_on": row is not None and row.until > timezone.now(),
            "lines": list(VerboseLine.objects.filter(mailbox=mailbox)[:SHOWN]),
            "shown": SHOWN,
        }
        return TemplateResponse(request, "console/verbose.html", context)

    def _switch(self, request: HttpRequest, mailbox: Mailbox) -> None:
        """Noted in the history of the mailbox: who, and what."""
        now = timezone.now()
        screen: Any = self.site._registry[Mailbox]
        if request.POST.get("deed") == "on":
            verbose.switch_on([mailbox.pk], by=actor_of(request), now=now)
            words = __("Verbose logging switched on for 24 hours.")
        else:
            verbose.switch_off([mailbox.pk], now=now)
            words = __("Verbose logging switched off.")
        screen.log_change(request, mailbox, words)
        screen.message_user(request, words)
