"""What happened with a record: one page of pointers, then each type of activity once."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q
from django.urls import NoReverseMatch, reverse
from django.utils.dateparse import parse_datetime

from activities.choices import ParticipationType
from activities.kinds import CONCRETE
from activities.models import ActivityParty, ActivityPointer, Email
from activities.private import HIDDEN, hidden_among
from mailboxes import access

PAGE = 25

FROM = (ParticipationType.SENDER, ParticipationType.ORGANIZER, ParticipationType.RESOURCE)
FOR = (
    *(ParticipationType.TO, ParticipationType.CC),
    *(ParticipationType.REQUIRED_ATTENDEE, ParticipationType.OPTIONAL_ATTENDEE),
    ParticipationType.CUSTOMER,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """`detail`: the concrete activity, or None where it is missing."""

    activity: ActivityPointer
    detail: Any
    sender: str = ""
    recipients: str = ""
    hidden: bool = False  # private, and not the reader's (R6.36)

    @property
    def subject(self) -> str:
        return str(HIDDEN) if self.hidden else self.activity.subject

    @property
    def url(self) -> str:
        """Of its page; empty where the site has none."""
        if self.detail is None:
            return ""
        try:
            meta = self.detail._meta
            return reverse(
                f"admin:{meta.app_label}_{meta.model_name}_change", args=[self.activity.pk]
            )
        except NoReverseMatch:
            return ""


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
    return Timeline(_entries(page, reader), page[-1].sort_date if more else None)


def _entries(page: Sequence[ActivityPointer], reader: Any) -> list[Entry]:
    details = details_of(page)
    hidden = hidden_among(details.values(), reader)
    others = {key for key, one in details.items() if not isinstance(one, Email)}
    people = _people_of(others - hidden)
    return [
        _entry(pointer, details.get(pointer.pk), people, hidden=pointer.pk in hidden)
        for pointer in page
    ]


def _entry(
    pointer: ActivityPointer, detail: Any, people: Mapping[UUID, tuple[str, str]], *, hidden: bool
) -> Entry:
    """An email says itself who it is from, and for whom."""
    if isinstance(detail, Email):
        sender, recipients = detail.sender, detail.to_recipients
    else:
        sender, recipients = people.get(pointer.pk, ("", ""))
    return Entry(pointer, detail, sender, recipients, hidden)


def _people_of(activities: Collection[UUID]) -> dict[UUID, tuple[str, str]]:
    """Activity -> who it is from, and for whom, in words."""
    if not activities:
        return {}
    rows = ActivityParty.objects.filter(
        activity__in=activities, participation_type_mask__in=[*FROM, *FOR]
    )
    said: dict[UUID, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for row in rows:
        words = row.address_used or row.unresolved_party_name
        said[row.activity_id][row.participation_type_mask in FOR].append(words)
    return {key: ("; ".join(one), "; ".join(others)) for key, (one, others) in said.items()}


def details_of(pointers: Sequence[ActivityPointer]) -> dict[Any, Any]:
    """Key -> the concrete activity, without its body: one statement for each type that is there."""
    found: dict[Any, Any] = {}
    for kind in sorted({pointer.activity_type_code for pointer in pointers}):
        keys = [pointer.pk for pointer in pointers if pointer.activity_type_code == kind]
        found |= CONCRETE[kind]._default_manager.defer(*_long(CONCRETE[kind])).in_bulk(keys)
    return found


def _long(model: type[Model]) -> tuple[str, ...]:
    return ("description", "decision") if model is Email else ("description",)


def _parsed(text: str) -> datetime | None:
    try:
        return parse_datetime(text)
    except ValueError:
        return None
