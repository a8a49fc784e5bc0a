"""What is to be done on the server to a message, once what became of it is stored (R3.65-R3.71).

tracked, duplicate   delete (queue and forward mailboxes that ask for it), else the tracking category
rejected             delete, on request only
failed for good      the category of what failed, and into the Undeliverable folder (profile)
settled after that   that category off again
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from activities.choices import Direction
from mailboxes.models import Mailbox
from mailboxes.protocols.base import SENT, ActionKind
from serversync.choices import IMPORTED, ItemState
from serversync.cycle import Run
from serversync.models import ServerAction, SyncItem
from tracking.choices import SubReason
from tracking.promote import Plan, reading_of
from tracking.trace import UNTRACKED

#: The target of a move: the folder's key is looked up when it is done (R3.70).
UNDELIVERABLE = "Undeliverable"


@dataclass(frozen=True, slots=True)
class Deed:
    kind: ActionKind
    argument: str = ""


def after(
    run: Run,
    row: SyncItem,
    children: Sequence[SyncItem],
    plans: Iterable[Plan],
    *,
    failures: int = 0,
) -> list[Deed]:
    """What the outcome of one item asks for. `failures`: how often it had failed before."""
    if _is_deleted(run.mailbox, row, children):
        return [Deed(ActionKind.DELETE)]
    if row.state == ItemState.QUARANTINED:
        return _of_failure(run)
    return _healed(run, row, failures) + _marks(run, row, plans)


def _healed(run: Run, row: SyncItem, failures: int) -> list[Deed]:
    """What was in quarantine, and is settled now, is no longer undeliverable."""
    layout = run.context.layout
    if failures < run.organization.promotion_attempts or row.left_at is not None:
        return []
    if row.state in (ItemState.RETRYING, ItemState.GONE) or not category_name(run):
        return []
    if layout is None or not layout.undeliverable_category_name:
        return []
    return [Deed(ActionKind.UNMARK, layout.undeliverable_category_name)]


def _marks(run: Run, row: SyncItem, plans: Iterable[Plan]) -> list[Deed]:
    if category := category_name(run):
        counts = row.state == ItemState.TRACKED or (
            row.state == ItemState.DUPLICATE and _is_direct(run.mailbox, plans)
        )
        if counts and not row.marked:
            return [Deed(ActionKind.MARK, category)]
    return []


def _is_deleted(mailbox: Mailbox, row: SyncItem, children: Sequence[SyncItem]) -> bool:
    """R3.66: only what was stored or was there already; rejected mail on request only."""
    if not mailbox.process_and_delete_emails or mailbox.serves_user:
        return False
    deletable = {ItemState.TRACKED, ItemState.DUPLICATE}
    if mailbox.delete_rejected_emails:
        deletable.add(ItemState.REJECTED)
    states = {ItemState(one.state) for one in (row, *children)}
    if children:
        states.discard(ItemState.SKIPPED)  # the wrapper itself
    return bool(states) and states <= deletable


def _of_failure(run: Run) -> list[Deed]:
    """R3.70, R3.71, R7.25. The mark goes first, for a move may change the key."""
    wanted = []
    layout, profile = run.context.layout, run.mailbox.email_server_profile
    if layout is not None and layout.undeliverable_category_name and category_name(run):
        wanted.append(Deed(ActionKind.MARK, layout.undeliverable_category_name))
    if profile is not None and profile.move_undelivered_emails and profile.kind.is_exchange:
        wanted.append(Deed(ActionKind.MOVE, UNDELIVERABLE))
    return wanted


def category_name(run: Run) -> str:
    """What the tracking category is called in this mailbox; "" where categories aren't used."""
    layout = run.context.layout
    if layout is None or not run.organization.effective("track_categorized_items"):
        return ""
    return layout.category_name


def _is_direct(mailbox: Mailbox, plans: Iterable[Plan]) -> bool:
    """Is the party of this mailbox a resolved recipient: no list, alias or Bcc copy (R7.24)?"""
    party = reading_of(mailbox)
    decisions = [plan.decision for plan in plans if plan.decision]
    return any(
        (match.kind, match.id) == party
        for decision in decisions
        for recipient in decision.recipients
        for match in recipient.matches
    )


def _has_direction(run: Run, copy: SyncItem, plans: Iterable[Plan]) -> bool:
    """What was sent and what was received are two activities, so the one says nothing of copies of the
    other; unless mail between users is tracked once only (R3.40)."""
    if run.organization.effective("ignore_internal_email"):
        return True
    direction = Direction.OUTGOING if copy.folder == SENT else Direction.INCOMING
    return any(
        plan.new_email is not None and plan.new_email.fields["direction_code"] == direction
        for plan in plans
    )


def rows(
    mailbox: Mailbox, item: SyncItem, wanted: Iterable[Deed], now: datetime
) -> list[ServerAction]:
    """As rows, not yet stored."""
    return [
        ServerAction(
            mailbox=mailbox,
            item=item,
            folder=item.folder,
            generation=item.generation,
            source_key=item.source_key,
            kind=deed.kind,
            argument=deed.argument,
            created_on=now,
            next_attempt_at=now,
        )
        for deed in wanted
    ]


def elsewhere(run: Run, tracked: Mapping[str, Sequence[Plan]], now: datetime) -> list[ServerAction]:
    """Marks for the copies of what was just tracked that other mailboxes had turned down (R7.24).
    `tracked`: Message-ID -> its plans. One statement; the marked copies are then judged again there."""
    ids = [message_id for message_id in tracked if message_id]
    if not ids or not category_name(run):
        return []
    copies = (
        SyncItem.objects.filter(
            message_id__in=ids, state=ItemState.REJECTED, left_at__isnull=True, parent=None
        )
        .exclude(mailbox=run.mailbox)
        .exclude(folder=IMPORTED)
        .exclude(reason=UNTRACKED, sub_reason=SubReason.MANUAL)
        .select_related("mailbox__layout")
    )
    made: list[ServerAction] = []
    seen: set[UUID] = set()
    for copy in copies:
        layout = getattr(copy.mailbox, "layout", None)
        if (
            layout is None
            or not layout.category_name
            or copy.generation != copy.mailbox.account_generation
            or copy.pk in seen
            or not _has_direction(run, copy, tracked[copy.message_id])
            or not _is_direct(copy.mailbox, tracked[copy.message_id])
        ):
            continue
        seen.add(copy.pk)
        made += rows(copy.mailbox, copy, [Deed(ActionKind.MARK, layout.category_name)], now)
    return made
