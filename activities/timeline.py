"""What happened with a record: one page of pointers, then each type of activity once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q
from django.utils.dateparse import parse_datetime

from activities.choices import ActivityType
from activities.models import ActivityParty, ActivityPointer, Email
from mailboxes import access

PAGE = 25


@dataclass(frozen=True, slots=True)
class Entry:
    """`detail`: the concrete activity, None for types that have no table of their own yet."""

    activity: ActivityPointer
    detail: Any


@dataclass(frozen=True, slots=True)
class Timeline:
    entries: list[Entry]
    older: datetime | None  # where the next page begins


def timeline_of(record: Model, reader: Any, before: str | None = None) -> Timeline:
    """Activities about the record or with it as a party, newest first, as far as `reader` may see."""
    kind = ContentType.objects.get_for_model(type(record))
    key = str(record.pk)
    parties = ActivityParty.objects.filter(party_type=kind, party_id=key).values("activity")
    pointers = access.visible_to(
        reader,
        ActivityPointer.objects.filter(
            Q(regarding_type=kind, regarding_id=key) | Q(pk__in=parties)
        ),
    )
    if before and (limit := _parsed(before)):
        pointers = pointers.filter(sort_date__lt=limit)
    page = list(pointers.order_by("-sort_date")[: PAGE + 1])
    more, page = len(page) > PAGE, page[:PAGE]
    emails = Email.objects.defer("description", "decision").in_bulk(
        [p.pk for p in page if p.activity_type_code == ActivityType.EMAIL]
    )
    return Timeline(
        [Entry(pointer, emails.get(pointer.pk)) for pointer in page],
        page[-1].sort_date if more else None,
    )


def _parsed(text: str) -> datetime | None:
    try:
        return parse_datetime(text)
    except ValueError:
        return None
