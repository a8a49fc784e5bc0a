"""Questions that a cycle asks a person, and what he answers (R8.17).

    asked ──answer──> yes or no ──cycle──> done, or left alone for good

A question keeps nothing but its own pair waiting (R10.23).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mailboxes import access, alerts
from mailboxes.alerts import Alert
from mailboxes.models import Mailbox, Organization, SystemUser
from serversync.act.byhand import ALERTS, Links, Refused, clear_alerts, note_again, reached
from serversync.act.choices import DecisionAnswer, LinkState, SyncQuestion
from serversync.act.stored import side_data
from serversync.act.types import Side
from serversync.models import ExchangeSyncIdMapping

ANSWERED = frozenset({DecisionAnswer.YES, DecisionAnswer.NO})


def announce(
    mailbox: Mailbox,
    links: Iterable[ExchangeSyncIdMapping],
    now: datetime,
    organization: Organization,
) -> None:
    """Tell the mailbox's owner, once for each pair, as long as it is asked."""
    wanted = [Alert(ALERTS[SyncQuestion(link.question)], str(link.pk)) for link in links]
    alerts.raise_all(mailbox, wanted, now=now, organization=organization)


def shown(server: Side | None) -> dict[str, Any]:
    """For `question_about`: the item as it was when it was asked about, for a page reaches no server."""
    return {} if server is None else {"server": side_data(server)}


def open_questions(user: Any) -> "QuerySet[ExchangeSyncIdMapping]":
    """What waits for an answer, of what the user may see."""
    asked = ExchangeSyncIdMapping.objects.exclude(question="").filter(
        user_decision=DecisionAnswer.NONE
    )
    return access.visible_to(user, asked)


@transaction.atomic
def answer(links: Links, decision: DecisionAnswer, *, actor: SystemUser, now: datetime) -> int:
    """The same for all of them; returns for how many. A later answer overrules one that no cycle has taken
    up yet. Raises Refused, PermissionDenied."""
    if decision not in ANSWERED:
        raise ValueError(f"{decision!r} is no answer")
    rows = [link for link in reached(links, actor) if link.question]
    if not rows:
        raise Refused(_("That isn't asked any more."))
    keys = [link.pk for link in rows]
    ExchangeSyncIdMapping.objects.filter(pk__in=keys).update(user_decision=decision)
    clear_alerts(rows, now)
    note_again(_others(rows), now)
    return note_again(rows, now)


def _others(rows: Iterable[ExchangeSyncIdMapping]) -> list[ExchangeSyncIdMapping]:
    """Pairs whose records look like the same item: they waited for this answer, too."""
    found: list[ExchangeSyncIdMapping] = []
    for row in rows:
        keys = set(row.question_about.get("candidates", ())) - {str(row.object_id)}
        if keys:
            alike = ExchangeSyncIdMapping.objects.filter(
                mailbox=row.mailbox_id, object_type_code=row.object_type_code, object_id__in=keys
            )
            found += alike.filter(state=LinkState.NOTED, question="", batch=None)
    return found
