"""What was done to synchronized pairs, as far as a reader may know it: what was written where, what was lost, whom it told."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet, prefetch_related_objects
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from serversync.act import undo
from serversync.act.choices import RevisionSide
from serversync.act.types import Table
from serversync.console.actseen import Reader, told_subject
from serversync.console.actwords import (
    VERB_LOOKS,
    FieldLine,
    changes,
    label,
    reasons_words,
    verb_words,
    words,
)
from serversync.models import SyncRevision

SIDES = {"store": _("here"), "server": _("on the server")}


@dataclass(frozen=True, slots=True)
class LostValue:
    """A value that lost a conflict (R6.53)."""

    label: str
    value: str
    kept: str
    side: Any


@dataclass(frozen=True, slots=True)
class Happened:
    """One revision, as far as the reader may know it."""

    revision: SyncRevision
    words: str
    looks: str
    side: str
    lines: Sequence[FieldLine]
    lost: Sequence[LostValue]
    reasons: Sequence[str]
    url: str
    undo_url: str


def happened(
    user: Any, revisions: "Iterable[SyncRevision] | QuerySet[SyncRevision]"
) -> list[Happened]:
    rows = list(revisions)
    prefetch_related_objects(rows, "link", "mailbox")
    reader = Reader(user, rows)
    found = SyncRevision.objects.filter(pk__in=[row.pk for row in rows])
    mine = set(access.visible_to(user, found, "change").values_list("pk", flat=True))
    return [
        told(row, may_know(reader, row), row.pk in mine and not reader.is_closed(row))
        for row in rows
    ]


def may_know(reader: Reader, revision: SyncRevision) -> bool:
    """As of its pair. A change tells only what was changed, so where the pair is forgotten, or what both sides
    were, nobody but the mailbox's user knows whether it was private (R6.36)."""
    link = revision.link
    if link is not None and link.base is not None:
        return reader.may_know(link, revision.before, revision.after)
    owner = link.owner_id if link is not None else revision.mailbox.regarding_user_id
    return bool(owner == reader.user.pk)


def subject_of(reader: Reader, revision: SyncRevision) -> str:
    """What it was about; of what is gone, as it was."""
    if not may_know(reader, revision):
        return reader.record_name(revision)
    named = revision.link.item_subject if revision.link else ""
    return named or told_subject(revision.before, revision.after) or __("(no subject)")


def told(revision: SyncRevision, known: bool, mine: bool) -> Happened:
    kind = Table(revision.object_type_code or Table.APPOINTMENT).kind
    write = {**(revision.after or {}), "verb": revision.verb}
    if revision.before is not None:
        write["before"] = revision.before
    shown = known and revision.side != RevisionSide.LINK
    can_undo = mine and not undo.why_not(revision, timezone.now())
    return Happened(
        revision=revision,
        words=verb_words(revision.verb),
        looks=VERB_LOOKS.get(revision.verb, "quiet"),
        side=str(revision.get_side_display()),
        lines=changes(kind, write) if shown else [],
        lost=[_lost(kind, one) for one in revision.lost] if known else [],
        reasons=reasons_words(revision.reasons, kind),
        url=reverse("admin:serversync_syncrevision_change", args=[revision.pk]),
        undo_url=reverse("admin:serversync_syncrevision_do", args=[revision.pk, "undo"])
        if can_undo
        else "",
    )


def _lost(kind: Any, told: Mapping[str, Any]) -> LostValue:
    name = str(told.get("name", ""))
    return LostValue(
        label(kind, name),
        words(kind, name, told.get("value")),
        words(kind, name, told.get("kept")),
        SIDES.get(str(told.get("side")), ""),
    )
