"""Appointments, contacts and tasks of one mailbox, for its page: how many pairs stand how, and how far it has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from serversync.act.choices import BatchState, LinkState, RevisionSide
from serversync.act.types import Verb
from serversync.models import ExchangeSyncIdMapping, SyncRevision

Link = ExchangeSyncIdMapping

#: How a pair stands, as one asks for it; the same in the filter, on the mailbox and in the badge.
STANDINGS: dict[str, tuple[Any, Q]] = {
    "linked": (_("linked"), Q(state=LinkState.LINKED)),
    "noted": (_("to be looked at"), ~Q(from_crm_change_type=0) | ~Q(to_crm_change_type=0)),
    "failing": (_("failing"), ~Q(last_sync_error_code="")),
    "asking": (_("asking"), ~Q(question="") & Q(user_decision=0)),
    "parked": (_("waiting for approval"), Q(batch__isnull=False)),
    "unlinked": (_("unlinked"), Q(state=LinkState.UNLINKED)),
}


@dataclass(frozen=True, slots=True)
class Card:
    """Appointments, contacts and tasks of one mailbox."""

    counts: Sequence[tuple[Any, int, str, str]]
    state: Any
    folders: Sequence[Any]
    batch: Any
    url: str
    deleted: int
    deleted_url: str


LOOKS = {"failing": "is-bad", "asking": "is-warn", "parked": "is-warn"}


def card_of(mailbox: Any) -> Card | None:
    """None where they are not synchronized and never were."""
    links = Link.objects.filter(mailbox=mailbox, generation=mailbox.account_generation)
    state = getattr(mailbox, "act_state", None)
    if state is None and not links.exists():
        return None
    page = reverse("admin:serversync_exchangesyncidmapping_changelist")
    url = f"{page}?mailbox__id__exact={mailbox.pk}"
    deleted = SyncRevision.objects.filter(
        mailbox=mailbox, side=RevisionSide.STORE, verb=Verb.DELETE.value, undone_on=None
    )
    numbers = links.aggregate(
        **{name: _count(condition) for name, (_words, condition) in STANDINGS.items()}
    )
    return Card(
        counts=[
            (words, numbers[name], f"{url}&standing={name}", LOOKS.get(name, ""))
            for name, (words, _condition) in STANDINGS.items()
        ],
        state=state,
        folders=list(
            mailbox.item_cursors.filter(generation=mailbox.account_generation).order_by("pk")
        ),
        batch=mailbox.parked_batches.filter(state=BatchState.WAITING).first(),
        url=url,
        deleted=deleted.count(),
        deleted_url=reverse("admin:serversync_syncrevision_changelist")
        + f"?mailbox__id__exact={mailbox.pk}&side__exact={RevisionSide.STORE}&verb=delete",
    )


def _count(condition: Q) -> Count:
    return Count("pk", filter=condition)
