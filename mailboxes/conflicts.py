"""Addresses that several records share, and how bad that is (R10.8). Counted by the database, for an index
of any size.
"""

from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Case, Count, F, IntegerChoices, IntegerField, Max, Min, Q, Value, When
from django.db.models.query import QuerySet
from django.utils.translation import gettext_lazy as _

from mailboxes.addresses import address_key
from mailboxes.models import EmailSearch, Queue, SystemUser
from mailboxes.search import enabled_models

#: With more records than these an address is nobody's (R3.34).
MOST_RECORDS = 100


class Severity(IntegerChoices):
    """What the records are that share an address; the worst first."""

    PARTY_AND_RECORD = 1, _("A user or queue, and a record")
    PARTIES = 2, _("Several users or queues")
    TOO_MANY = 3, _("More than 100 records")
    ONE_TYPE = 4, _("Several records of one type")
    SEVERAL_TYPES = 5, _("Records of several types")


@dataclass(frozen=True, slots=True)
class Shared:
    """One address, and how many records have it."""

    address: str
    records: int
    severity: Severity


def shared_addresses(severity: Severity | None = None, words: str = "") -> "QuerySet[Any, Any]":
    """Rows with email_address, records and severity, the worst first. `words`: a part of the address."""
    kinds = ContentType.objects.get_for_models(*enabled_models())
    own = [kind.pk for model, kind in kinds.items() if model in (SystemUser, Queue)]
    index = EmailSearch.objects.filter(parent_type__in=kinds.values())
    if words:
        index = index.filter(email_address__contains=address_key(words))
    rows = (
        index.order_by()
        .values("email_address")
        .annotate(
            records=Count("pk"),
            parties=Count("pk", filter=Q(parent_type__in=own)),
            first_kind=Min("parent_type"),
            last_kind=Max("parent_type"),
        )
        .filter(records__gt=1)
        .annotate(severity=_severity())
    )
    return rows if severity is None else rows.filter(severity=severity)


def _severity() -> Case:
    return Case(
        When(Q(parties__gt=0, records__gt=F("parties")), then=Value(Severity.PARTY_AND_RECORD)),
        When(parties__gt=1, then=Value(Severity.PARTIES)),
        When(records__gt=MOST_RECORDS, then=Value(Severity.TOO_MANY)),
        When(first_kind=F("last_kind"), then=Value(Severity.ONE_TYPE)),
        default=Value(Severity.SEVERAL_TYPES),
        output_field=IntegerField(),
    )


def counts(words: str = "") -> dict[Severity, int]:
    """How many addresses of each severity. One statement."""
    wanted = {s.name: Count("severity", filter=Q(severity=s.value)) for s in Severity}
    found = shared_addresses(words=words).aggregate(**wanted)
    return {severity: found[severity.name] for severity in Severity}


def portion(
    start: int, end: int, severity: Severity | None = None, words: str = ""
) -> list[Shared]:
    """A page of them. One statement."""
    rows = shared_addresses(severity, words).order_by("severity", "-records", "email_address")
    return [
        Shared(row["email_address"], row["records"], Severity(row["severity"]))
        for row in rows[start:end]
    ]
