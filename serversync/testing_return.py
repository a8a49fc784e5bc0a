"""Whether the message of Test & Enable came back to its mailbox (R2.14): that it was sent proves the way out,
only its return proves that mail arrives.

    sent ──> waiting ──its ledger row──> back, with the time that it took
                └──a quarter of an hour──┬──> lost     the inbox was read meanwhile, and it wasn't there
                                         └──> unseen   nobody has read the inbox since
    lost, unseen ──its ledger row, within a day──> back

Nobody waits for it: cycles put it into the ledger like any other message. Each minute somebody looks there, and
while it is awaited has the inbox read.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min

from mailboxes import alerts
from mailboxes.choices import Operation, TraceLevel
from mailboxes.eligibility import is_server_side
from mailboxes.models import Mailbox
from mailboxes.redirect import redirect_address
from serversync.choices import ProbeState
from serversync.models import SyncItem, Workload
from serversync.waking import wake_later

CODE = "TestMessageNotBack"
PATIENCE = timedelta(minutes=15)
MARGIN = timedelta(minutes=1)  # a cycle that ended sooner may have listed before it could arrive
LATE = timedelta(days=1)
PAGE = 200


#: What the outgoing workload notes where none is awaited.
NONE: dict[str, Any] = {
    "probe_state": ProbeState.NONE,
    "probe_message_id": "",
    "probe_sent_at": None,
    "probe_back_at": None,
}


def sent(mailbox: Mailbox, message_id: str, now: datetime) -> dict[str, Any]:
    """What the outgoing workload notes of a probe that left just now."""
    if not (message_id and _is_expected(mailbox)):
        return NONE
    return NONE | {
        "probe_state": ProbeState.WAITING,
        "probe_message_id": message_id[:320],
        "probe_sent_at": now,
    }


def _is_expected(mailbox: Mailbox) -> bool:
    """Does the inbox that it goes to get read here?"""
    if redirect_address() or not is_server_side(mailbox, Operation.INCOMING):
        return False
    rows = Workload.objects.filter(mailbox=mailbox, operation=Operation.INCOMING, enabled=True)
    return rows.exists()


def judge(
    sent_at: datetime, now: datetime, back_at: datetime | None, read_at: datetime | None
) -> ProbeState:
    """`read_at`: when the inbox was read last."""
    if back_at is not None:
        return ProbeState.BACK
    if now < sent_at + PATIENCE:
        return ProbeState.WAITING
    was_read = read_at is not None and read_at >= sent_at + MARGIN
    return ProbeState.LOST if was_read else ProbeState.UNSEEN


def settle(now: datetime) -> str:
    """Look for those that are awaited."""
    awaited = Workload.objects.filter(
        operation=Operation.OUTGOING,
        probe_state__in=[ProbeState.WAITING, ProbeState.LOST, ProbeState.UNSEEN],
        probe_sent_at__gt=now - LATE,
    ).select_related("mailbox")
    rows = list(awaited.order_by("probe_sent_at")[:PAGE])
    if not rows:
        return "no test message awaited"
    back, read = _came_back(rows), _read_at(rows)
    states = {row: _settle(row, back.get(row.pk), read.get(row.mailbox_id), now) for row in rows}
    waiting = [row.mailbox_id for row, state in states.items() if state == ProbeState.WAITING]
    wake_later(waiting, Operation.INCOMING, now)
    counted = Counter(states.values())
    return ", ".join(f"{count} test messages: {state}" for state, count in counted.items())


def _settle(
    row: Workload, back_at: datetime | None, read_at: datetime | None, now: datetime
) -> ProbeState:
    assert row.probe_sent_at is not None
    state = judge(row.probe_sent_at, now, back_at, read_at)
    if state == row.probe_state:
        return state
    # Unless another test has sent the next one meanwhile.
    this = Workload.objects.filter(
        pk=row.pk, probe_message_id=row.probe_message_id, probe_state=row.probe_state
    )
    if this.update(probe_state=state, probe_back_at=back_at):
        _tell(row, state, now)
    return state


def _tell(row: Workload, state: ProbeState, now: datetime) -> None:
    if state == ProbeState.LOST:
        minutes = int(PATIENCE.total_seconds() // 60)
        # Nobody tries it again by itself, so it is more than a warning.
        alerts.raise_alert(
            row.mailbox, CODE, now=now, level=TraceLevel.ERROR, parameters={"minutes": minutes}
        )
    else:
        alerts.clear_alerts(row.mailbox, [CODE], now=now)


def _came_back(rows: Sequence[Workload]) -> dict[Any, datetime]:
    """Workload -> when its probe was first seen. Nobody else knows its id before it arrives."""
    awaited = {(row.mailbox_id, row.probe_message_id): row.pk for row in rows}
    found = (
        SyncItem.objects.filter(
            mailbox__in={row.mailbox_id for row in rows},
            message_id__in={row.probe_message_id for row in rows},
        )
        .order_by()
        .values_list("mailbox_id", "message_id")
        .annotate(Min("first_seen_at"))
    )
    return {
        awaited[mailbox, message_id]: seen_at
        for mailbox, message_id, seen_at in found
        if (mailbox, message_id) in awaited
    }


def _read_at(rows: Sequence[Workload]) -> dict[Any, datetime | None]:
    incoming = Workload.objects.filter(
        operation=Operation.INCOMING, mailbox__in={row.mailbox_id for row in rows}
    )
    return dict(incoming.values_list("mailbox_id", "last_success_at"))


def seen_already(row: Workload) -> datetime | None:
    """For whoever looks at it before the next minute does."""
    if row.probe_state != ProbeState.WAITING:
        return row.probe_back_at
    return _came_back([row]).get(row.pk)


def delay_of(row: Workload) -> timedelta | None:
    """How long it was under way until it was seen here."""
    back_at = seen_already(row)
    if row.probe_sent_at is None or back_at is None:
        return None
    return max(back_at - row.probe_sent_at, timedelta())
