"""Which meeting a message is about that was left to the calendar (R3.14): by the id that both carry, as far as the
reader may see either."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from mailboxes import access
from serversync.act.choices import LinkState
from serversync.act.records import Seen, one_within_sight, page_of, within_sight
from serversync.act.tables import MODELS
from serversync.act.types import Table
from serversync.models import ExchangeSyncIdMapping, SyncItem
from tracking.choices import SkipReason
from tracking.kept import FACTS

Link = ExchangeSyncIdMapping


@dataclass(frozen=True, slots=True)
class AboutMeeting:
    """`name`, `url`: of the record here, "" if there is none or it isn't the reader's to see; what is private has no
    name. `link_url`: of how it is synchronized in this mailbox, likewise."""

    name: str
    url: str
    link_url: str


def meeting_of(item: SyncItem, reader: Any) -> AboutMeeting | None:
    """None: there is none that the reader may see. At most six statements, and only for such messages."""
    uid = _uid(item)
    if not uid:
        return None
    link = _link(item, uid, reader)
    seen = _of_link(link, reader) or _of_uid(uid, reader)
    if link is None and seen is None:
        return None
    return AboutMeeting(
        name=seen.name if seen else "",
        url=page_of(seen.record) if seen else "",
        link_url=reverse("admin:serversync_exchangesyncidmapping_change", args=[link.pk])
        if link
        else "",
    )


def _uid(item: SyncItem) -> str:
    facts = item.trace.get(FACTS)
    told = facts.get("calendar_uid") if isinstance(facts, Mapping) else ""
    return told if item.reason == SkipReason.CALENDAR and isinstance(told, str) else ""


def _link(item: SyncItem, uid: str, reader: Any) -> Link | None:
    """Of this mailbox; the one that holds, if several did."""
    rows = Link.objects.filter(mailbox=item.mailbox_id, uid=uid)
    found = list(access.visible_to(reader, rows).order_by("-modified_on")[:20])
    return next((one for one in found if one.state == LinkState.LINKED), next(iter(found), None))


def _of_link(link: Link | None, reader: Any) -> Seen | None:
    return one_within_sight(link.object_type_code, link.object_id, reader) if link else None


def _of_uid(uid: str, reader: Any) -> Seen | None:
    """The meeting may be known here from another mailbox."""
    for table in (Table.APPOINTMENT, Table.RECURRING_APPOINTMENT):
        if found := next(iter(_with_uid(table, uid, reader)), None):
            return found
    return None


def _with_uid(table: Table, uid: str, reader: Any) -> list[Seen]:
    rows = MODELS[table]._default_manager.filter(global_object_id=uid[:300])
    keys = list(rows.values_list("pk", flat=True)[:20])
    return list(within_sight(table, keys, reader).values()) if keys else []
