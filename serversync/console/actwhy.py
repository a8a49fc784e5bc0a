"""Why a record is in somebody's Exchange, or why not (R6.2, R6.7, R6.10)."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as __
from django.views.decorators.http import require_safe

from mailboxes import access
from mailboxes.models import Mailbox
from serversync.act.explaining import Explanation, Said, explain, mailboxes_for
from serversync.act.records import keys_in, one_within_sight, page_of
from serversync.act.tables import MODELS
from serversync.console.acthappened import happened
from serversync.console.actseen import HIDDEN

if TYPE_CHECKING:
    from serversync.console.site import ConsoleSite


def urls(site: "ConsoleSite") -> list[Any]:
    def view(request: HttpRequest, code: int, key: UUID) -> HttpResponse:
        return page(request, code, key, site.each_context(request))

    return [path("why/<int:code>/<uuid:key>/", site.admin_view(require_safe(view)), name="act_why")]


def page(request: HttpRequest, code: int, key: UUID, context: dict[str, Any]) -> HttpResponse:
    """Of a record within sight, and a mailbox within sight; else there is no such page."""
    if code not in {table.value for table in MODELS}:
        raise Http404
    seen = one_within_sight(code, key, request.user)
    if seen is None:
        raise Http404
    mailboxes = mailboxes_for(request.user)
    mailbox = _chosen(request, mailboxes)
    found = explain(seen.record, mailbox, timezone.now(), request.user) if mailbox else None
    return TemplateResponse(
        request,
        "console/act/why.html",
        {
            **context,
            "title": __("Why is it in Exchange, or why not?"),
            "name": HIDDEN if seen.is_private else seen.name,
            "kind": seen.record._meta.verbose_name,
            "url": page_of(seen.record),
            "mailboxes": mailboxes[:200],
            "chosen": mailbox,
            "found": found,
            "filters": _filters(found, request.user),
            "link_is_seen": _is_seen(found, request.user),
            "last": happened(request.user, [found.last]) if found and found.last else [],
        },
    )


def _chosen(request: HttpRequest, mailboxes: Any) -> Mailbox | None:
    """The one that was asked for, else the reader's own, else the first."""
    if wanted := keys_in([request.GET.get("mailbox")]):
        found: Mailbox | None = mailboxes.filter(pk__in=wanted).first()
        if found is None:
            raise Http404
        return found
    own: Mailbox | None = mailboxes.filter(regarding_user=request.user.pk).first()
    return own or mailboxes.first()


def _filters(found: Explanation | None, user: Any) -> list[tuple[Said, bool]]:
    """What each says; what it chooses is for who may see that filter."""
    said = found.filters if found else ()
    return [(one, access.may(user, "view", one.query)) for one in said]


def _is_seen(found: Explanation | None, user: Any) -> bool:
    return bool(found and found.link and access.may(user, "view", found.link))
