"""Why is this record in that user's Exchange, or why not? What the filters say, who may read it, how its pair stands, and what
was decided last. For a page and for `manage.py explain_record`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from django.utils.translation import gettext_lazy as _

from activities.private import may_read
from mailboxes import access
from mailboxes.choices import Operation, StateCode
from mailboxes.eligibility import Verdict, eligible, facts_of
from mailboxes.models import Mailbox, Organization, SystemUser
from serversync.act.choices import LinkState
from serversync.act.filters.finding import viewer_of, which_match
from serversync.act.records import table_of
from serversync.act.types import Table
from serversync.models import (
    ExchangeSyncIdMapping,
    SavedQuery,
    SyncRevision,
    UserQuery,
    Workload,
)
from serversync.models.filters import Query, QueryType


class Because(Enum):
    """The answer: its words, the rule, how it looks."""

    NO_USER = (
        _("This mailbox belongs to no user, so it has no calendar, contacts and tasks here."),
        "R6.1",
        "quiet",
    )
    OCCURRENCE = (_("This occurrence of a series goes with the series."), "R6.8", "info")
    NOT_RUNNING = (
        _("Appointments, contacts and tasks of this mailbox aren't synchronized now."),
        "R6.1",
        "bad",
    )
    ASKS = (_("Somebody has to answer a question about it first."), "R8.17", "warn")
    PARKED = (_("It waits for somebody's approval."), "R6.46", "warn")
    FAILED = (_("It failed, again and again, and waits for a change."), "R6.54", "bad")
    RETRIED = (_("It failed, and is tried again by itself."), "R6.54", "warn")
    UNLINKED = (
        _("It was unlinked by a decision, and isn't linked again by itself."),
        "R6.49",
        "quiet",
    )
    LINKED = (_("It is there: both are linked."), "R6.4", "good")
    NOT_READABLE = (_("The mailbox's user may not read this record."), "R6.7", "quiet")
    NO_FILTER = (_("The user has no active filter for this kind of record."), "R6.10", "quiet")
    NO_MATCH = (_("None of the user's filters matches it."), "R6.2", "quiet")
    NOT_ASKED = (
        _("It is private, so only its owner is told what the filters say."),
        "R6.36",
        "quiet",
    )
    SOON = (_("A filter matches it; the next cycle takes it up."), "R6.13", "info")

    @property
    def words(self) -> Any:
        return self.value[0]

    @property
    def rule(self) -> str:
        return str(self.value[1])

    @property
    def looks(self) -> str:
        return str(self.value[2])


@dataclass(frozen=True, slots=True)
class Said:
    """What one filter says. `matches`: None where it isn't asked, for nobody learns by a filter what is private."""

    query: Query
    matches: bool | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`link`: None if the pair was never noted. `last`: the newest thing that was done to it."""

    mailbox: Mailbox
    because: Because
    verdict: Verdict | None
    is_readable: bool
    filters: Sequence[Said]
    link: ExchangeSyncIdMapping | None
    last: SyncRevision | None


def explain(record: Any, mailbox: Mailbox, now: datetime, reader: Any = None) -> Explanation:
    """`record`: of one of the tables that take part. Raises ValueError for any other. `reader`: who asks; None
    is the server's own command."""
    table = table_of(record)
    if table is None:
        raise ValueError(f"{type(record).__name__} is not synchronized")
    user = mailbox.regarding_user
    verdict = _verdict(mailbox, now)
    link = _link(record, table, mailbox)
    readable = user is not None and _may_read(user, record)
    asked = readable and (reader is None or may_read(reader, record))
    said = _filters(record, table, user, now, asked=asked) if user else []
    because = _because(record, user, verdict, link, readable, said)
    return Explanation(mailbox, because, verdict, readable, said, link, _last(record, mailbox))


def _may_read(user: SystemUser, record: Any) -> bool:
    """As a cycle asks it: of what is private, the user has to be owner or organizer."""
    return access.may(user, "view", record) and may_read(user, record)


def mailboxes_for(user: Any) -> Any:
    """Mailboxes within sight whose users synchronize."""
    rows = Mailbox.objects.filter(regarding_user__isnull=False)
    return access.visible_to(user, rows).select_related("regarding_user").order_by("name")


def _verdict(mailbox: Mailbox, now: datetime) -> Verdict | None:
    row = Workload.objects.filter(mailbox=mailbox, operation=Operation.ACT).first()
    if row is None:
        return None
    return eligible(facts_of(mailbox, row, Organization.objects.current()), now)


def _link(record: Any, table: Table, mailbox: Mailbox) -> ExchangeSyncIdMapping | None:
    rows = ExchangeSyncIdMapping.objects.filter(
        mailbox=mailbox,
        generation=mailbox.account_generation,
        object_type_code=table,
        object_id=record.pk,
    )
    return rows.first()


def _last(record: Any, mailbox: Mailbox) -> SyncRevision | None:
    rows = SyncRevision.objects.filter(mailbox=mailbox, object_id=record.pk)
    return rows.order_by("-made_on", "-pk").first()


def _filters(
    record: Any, table: Table, user: SystemUser, now: datetime, *, asked: bool
) -> list[Said]:
    """Of all of them in one statement."""
    own = UserQuery.objects.filter(owning_user=user)
    for_all = SavedQuery.objects.filter(query_type=QueryType.FILTER)
    queries: list[Query] = [
        query
        for rows in (own, for_all)
        for query in rows.filter(returned_type_code=table, state_code=StateCode.ACTIVE)
    ]
    if not asked:
        return [Said(query, None) for query in queries]
    several = [query.conditions for query in queries]
    found = which_match(table, several, viewer_of(user, now), record.pk)
    return [Said(query, number in found) for number, query in enumerate(queries)]


def _because(
    record: Any,
    user: SystemUser | None,
    verdict: Verdict | None,
    link: ExchangeSyncIdMapping | None,
    readable: bool,
    said: Sequence[Said],
) -> Because:
    if user is None:
        return Because.NO_USER
    if getattr(record, "series_id", None):
        return Because.OCCURRENCE
    if verdict is None or (not verdict.ok and verdict.permanent) or _is_off(verdict):
        return Because.NOT_RUNNING
    if link is not None and (standing := _standing(link)) is not None:
        return standing
    if not readable:
        return Because.NOT_READABLE
    if not said:
        return Because.NO_FILTER
    if any(one.matches is None for one in said):
        return Because.NOT_ASKED
    return Because.SOON if any(one.matches for one in said) else Because.NO_MATCH


def _is_off(verdict: Verdict) -> bool:
    return verdict.code == "DeliveryMethodNotServerSide"


def _standing(link: ExchangeSyncIdMapping) -> Because | None:
    if link.question and not link.user_decision:
        return Because.ASKS
    if link.batch_id:
        return Because.PARKED
    if link.last_sync_error_code:
        return Because.RETRIED if link.is_pending else Because.FAILED
    if link.state == LinkState.UNLINKED:
        return Because.UNLINKED
    return Because.LINKED if link.state == LinkState.LINKED else None
