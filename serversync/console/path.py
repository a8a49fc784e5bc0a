"""The picture of a message's path on the pages of items and emails, with links to what it speaks of.

The stations are pure decisions of `tracking.path` and `serversync.sendpath`; here are the rows that they
are made of, and who may see what. Nothing is linked that the reader can't open (R8.30).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes import access
from mailboxes.protocols.base import SENT
from mailboxes.screens import link
from serversync import sendpath
from serversync.actions import FILE_SENT
from serversync.attempts import answers
from serversync.choices import ActionState, ItemState
from serversync.console.foldernames import (
    EVERYWHERE,
    Names,
    folder_name,
    folder_names,
    folder_of,
)
from serversync.models import ServerAction, Submission, SyncItem
from tracking.models import HookRun
from tracking.path import Since, path_of
from tracking.stations import Phase, Ref, Station
from tracking.stored import map_of, text

Links = Mapping[str, Sequence[SafeString]]


@dataclass(frozen=True, slots=True)
class Stop:
    """A station, and what it leads to."""

    station: Station
    links: Sequence[SafeString]

    @property
    def folds(self) -> bool:
        return bool(self.station.details)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A phase as the template takes it."""

    phase: Phase
    stops: Sequence[Stop]


def drawn(phases: Sequence[Phase], reader: Any, more: Links | None = None) -> list[Drawn]:
    """`more`: further links of a station, by its key."""
    refs = {ref for phase in phases for one in phase.stations for ref in one.refs}
    seen = _links_to(refs, reader)
    return [
        Drawn(phase, [Stop(one, _links_of(one, seen, more or {})) for one in phase.stations])
        for phase in phases
    ]


def _links_of(one: Station, seen: Mapping[Ref, SafeString], more: Links) -> list[SafeString]:
    known = [seen[ref] for ref in dict.fromkeys(one.refs) if ref in seen]
    return [*known, *more.get(one.key, ())]


def _links_to(refs: Iterable[Ref], reader: Any) -> dict[Ref, SafeString]:
    """What the reader may see of them; one statement for each kind of record."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for ref in refs:
        wanted[ref.kind].add(ref.id)
    return {ref: url for kind, keys in wanted.items() for ref, url in _of_kind(kind, keys, reader)}


def _of_kind(kind: str, keys: set[str], reader: Any) -> Iterable[tuple[Ref, SafeString]]:
    try:
        model = apps.get_model(kind)
        page = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        reverse(page, args=["0"])
        rows = list(access.visible_to(reader, model._default_manager.filter(pk__in=keys), "view"))
    except (LookupError, NoReverseMatch, ValueError, ValidationError):
        return []  # of another version, or of no screen
    return [
        (Ref(kind, str(row.pk)), link(reverse(page, args=[row.pk]), _words(row))) for row in rows
    ]


def _words(row: Model) -> str:
    return __("open the email") if isinstance(row, Email) else str(row)


# -- items ---------------------------------------------------------------------------------------


def path_of_item(
    item: SyncItem,
    data: Mapping[str, Any],
    folder: str,
    reader: Any,
    *,
    others: Sequence[SyncItem],
    email: Email | None,
) -> list[Drawn]:
    """`data`: the decision as this reader may see it; `others` and `email`: what is within his reach of
    the other copies, and of what was made of it."""
    phases = path_of({**_facts(item), **data}, folder=folder, since=Since(copies=len(others)))
    more = {"copies": item_links(others)}
    more["forward"] = [_family_link(one, item) for one in _family(item)]
    if email is not None and not data.get("duplicate_of"):
        url = reverse("admin:activities_email_change", args=[email.pk])
        more["outcome"] = [link(url, __("open the email"))]
    return drawn(phases, reader, more)


def _facts(item: SyncItem) -> dict[str, Any]:
    """What the row knows, where nothing else was stored."""
    received = item.received_at
    facts = {
        "outcome": item.state,
        "reason": item.reason,
        "sub_reason": item.sub_reason,
        "size": item.size,
        "received": received.isoformat() if received else "",
        "blanked": item.blanked,
    }
    return {key: value for key, value in facts.items() if value}


def _family(item: SyncItem) -> list[SyncItem]:
    """The forward that an original came in, or the originals of a forward."""
    return [item.parent] if item.parent is not None else list(item.children.defer("trace"))


def _family_link(one: SyncItem, item: SyncItem) -> SafeString:
    words = __("its wrapper") if one.pk == item.parent_id else one.get_state_display()
    return link(reverse("admin:serversync_syncitem_change", args=[one.pk]), words)


def item_links(items: Sequence[SyncItem]) -> list[SafeString]:
    """Where each copy lies and what became of it; nothing of what it says. Folders of a mailbox are asked
    for once."""
    names: dict[UUID, Names] = {}
    for item in items:
        if item.folder not in EVERYWHERE and item.mailbox_id not in names:
            names[item.mailbox_id] = folder_names(item.mailbox)
    return [_item_link(item, names.get(item.mailbox_id, EVERYWHERE)) for item in items]


def _item_link(item: SyncItem, names: Names) -> SafeString:
    url = reverse("admin:serversync_syncitem_change", args=[item.pk])
    words = f"{item.mailbox}, {folder_name(item.folder, names)}"
    return format_html('<a href="{}">{}</a>: {}', url, words, item.get_state_display().lower())


# -- emails --------------------------------------------------------------------------------------


def path_of_email(
    email: Email,
    reader: Any,
    items: Sequence[SyncItem],
    submissions: Iterable[Submission],
    now: datetime,
    *,
    filed: str = "",
    came_back: int = 0,
    why: str = "",
) -> list[Drawn]:
    """`items`: its copies on servers, as far as the reader may see them; `filed`: the record it is under
    now, in words; `why`: why it waits, if it does."""
    if email.decision:
        return _received(email, reader, items, filed)
    if email.is_incoming:
        return []  # made by other code of the site: nothing was decided
    attempts = tuple(map(_attempt, sorted(submissions, key=lambda row: row.claimed_at)))
    phases = sendpath.path_of(_sending(email, items, attempts, now, came_back=came_back, why=why))
    return drawn(phases, reader, {"copy": item_links(items)})


def _received(email: Email, reader: Any, items: Sequence[SyncItem], filed: str) -> list[Drawn]:
    first = [item for item in items if item.state == ItemState.TRACKED]
    others = [item for item in items if item.state != ItemState.TRACKED]
    runs = HookRun.objects.filter(email=email).values_list("hook", "state", "last_error")
    since = Since(
        filed=filed if _is_refiled(email) else "",
        hooks=tuple(runs.order_by("created_on")),
        copies=len(others),
    )
    folder = folder_of(first[0]) if first else ""
    more = {
        "arrived": item_links(first),
        "copies": item_links(others),
    }
    # A server that doesn't say when it took a message leaves that to the message.
    received = email.received_on.isoformat() if email.received_on else ""
    data = {"received": received, **email.decision}
    return drawn(path_of(data, folder=folder, since=since), reader, more)


def _is_refiled(email: Email) -> bool:
    """Whether it is under another record than the one that the decision gave it."""
    pointer, regarding = email.activity, map_of(email.decision, "regarding")
    if pointer.regarding_type is None or not pointer.regarding_id:
        return False
    model = pointer.regarding_type.model_class()
    kind = model._meta.label_lower if model is not None else ""
    return (kind, pointer.regarding_id) != (text(regarding, "kind"), text(regarding, "id"))


def _sending(
    email: Email,
    items: Sequence[SyncItem],
    attempts: tuple[sendpath.Attempt, ...],
    now: datetime,
    *,
    came_back: int,
    why: str,
) -> sendpath.Sending:
    return sendpath.Sending(
        status=email.status_code,
        now=now,
        written_at=email.activity.created_on,
        written_by=_name(email.activity.created_by),
        is_automatic=email.is_workflow_created,
        submitted_at=email.submitted_at,
        submitted_by=_name(email.submitted_by),
        mailbox=_name(email.sender_mailbox),
        not_before=email.delayed_email_send_time,
        postponed_until=email.postpone_email_processing_until,
        why=why,
        error_code=email.last_error_code,
        attempts=attempts,
        copies=tuple(str(item.mailbox) for item in items if item.folder == SENT),
        copy_waits=_copy_waits(email),
        came_back=came_back,
    )


def _copy_waits(email: Email) -> bool:
    """Whether a copy is still to be put into sent items; asked of what is pending alone."""
    if email.status != EmailStatus.SENT or email.sender_mailbox_id is None:
        return False
    pending = ServerAction.objects.filter(
        mailbox=email.sender_mailbox_id, state=ActionState.PENDING, kind=FILE_SENT
    )
    return pending.filter(argument=str(email.pk)).exists()


def _name(record: Model | None) -> str:
    return str(record) if record is not None else ""


def _attempt(row: Submission) -> sendpath.Attempt:
    refused = [one for one in row.recipients if not one.get("accepted")]
    return sendpath.Attempt(
        number=row.attempt,
        state=row.state,
        claimed_at=row.claimed_at,
        handed_over_at=row.handed_over_at,
        finished_at=row.finished_at,
        reply=row.server_reply,
        code=row.error_code,
        permanent=row.permanent,
        copy_filed=row.copy_filed,
        look_again_at=row.look_again_at,
        refused=tuple(answers(refused)),
    )
