"""Old rows of the ledger as totals of their day, and back again.

    row ──left the server long ago──> one more in its day's total, and an identity
    identity ──its message is back──> row again, one less in the total

Only a row that nothing can ask for any more is folded, so that nothing is ever doubled or decided anew:

- Its message has left its folder, and the server said so, longer ago than the organization sets. What still
  lies there keeps its row: after a reset of keys everything is listed again and has to be recognised, a
  category on it is looked up by its key, and a recount holds it against its row. So POP3 rows stay: that
  listing tells nobody that something left for good.
- It has an identity. Should the message come back (moved in again, or out of a backup), it is recognised by
  it as every other is, and the row returns as it was. Without one only the key would know it.
- It belongs to no email: whoever opens one sees its copies, and unlinking or deleting works on their rows. One
  whose email was deleted here may be folded: it returns as what it was, and makes no second email.
- What was personal is gone from it already (R3.73), it has come to an end, it is neither wrapper nor
  original, and nothing is left to be done to its message.
- It is not noted as carrying the category: a row that came back without that note would be judged anew by it.
- No cycle has its mailbox: one that began before anything was folded doesn't look for it here.

Both directions move one item between a row and a total in one transaction, so the balance is what it was.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from mailboxes.choices import Operation, ServerType
from mailboxes.models import Mailbox, Organization
from serversync.choices import IMPORTED, ActionState, ItemState
from serversync.leases import is_free, is_running
from serversync.models import FoldedItem, ItemDay, ReplayChange, ServerAction, SyncItem, Workload

CHUNK = 500  # rows of one transaction
ENDED = (ItemState.TRACKED, ItemState.REJECTED, ItemState.DUPLICATE, ItemState.SKIPPED)
#: What a total and an identity are made of.
COLUMNS = (
    *("mailbox_id", "folder", "generation", "state", "reason", "sub_reason"),
    *("identity", "first_seen_at"),
)
KEY = "folded:"  # a returned row's, until it learns the one that its message has now

_READS = Q(operation=Operation.INCOMING)

Total = tuple[UUID, str, date, str, str]  # mailbox, folder, day, state, reason


def fold(now: datetime, organization: Organization) -> int:
    """Fold what may be folded; returns how many rows went."""
    days = organization.fold_items_after_days
    if not days:
        return 0
    done = 0
    while folded := _fold_some(foldable(now - timedelta(days=days)), now):
        done += folded
    return done


def foldable(before: datetime) -> "QuerySet[SyncItem]":
    """Rows that nothing can ask for any more; see above for why each condition is there."""
    children = SyncItem.objects.filter(parent=OuterRef("pk"))
    open_actions = ServerAction.objects.filter(item=OuterRef("pk"), state=ActionState.PENDING)
    replayed = ReplayChange.objects.filter(item=OuterRef("pk"))
    return (
        SyncItem.objects.filter(
            left_at__lt=before,
            decided_at__lt=before,
            first_seen_at__lt=before,
            state__in=ENDED,
            blanked=True,
            identity__isnull=False,
            email__isnull=True,
            raw__isnull=True,
            parent__isnull=True,
        )
        .filter(~Exists(children), ~Exists(open_actions), ~Exists(replayed))
        .exclude(folder=IMPORTED)
        .exclude(marked=True)
        .exclude(_over_pop3())
    )


def _over_pop3() -> Q:
    """Or over nothing that is known: then it may have been POP3."""
    kinds = "mailbox__email_server_profile__server_type"
    return Q(**{kinds: ServerType.POP3_SMTP}) | Q(mailbox__email_server_profile__isnull=True)


@transaction.atomic
def _fold_some(rows: "QuerySet[SyncItem]", now: datetime) -> int:
    read = Workload.objects.filter(is_running(now), _READS, mailbox=OuterRef("mailbox"))
    found = list(
        rows.filter(~Exists(read))
        .select_for_update(of=("self",), skip_locked=True)
        .only(*COLUMNS)
        .order_by("left_at", "pk")[:CHUNK]  # by the index of these rows
    )
    at_rest = _kept_at_rest({row.mailbox_id for row in found}, now)
    some = [row for row in found if row.mailbox_id in at_rest]
    if not some:
        return 0
    totals = _totals([_total_of(row) for row in some])
    FoldedItem.objects.bulk_create(
        [
            FoldedItem(
                total=totals[_total_of(row)],
                mailbox_id=row.mailbox_id,
                generation=row.generation,
                identity=row.identity,  # type: ignore[misc]  # the filter says it has one
                sub_reason=row.sub_reason,
                first_seen_at=row.first_seen_at,
            )
            for row in some
        ]
    )
    SyncItem.objects.filter(pk__in=[row.pk for row in some]).delete()
    return len(some)


def _kept_at_rest(mailboxes: Collection[UUID], now: datetime) -> set[UUID]:
    """Those that no cycle has; and none begins until the transaction ends, for a claim passes over what
    is locked."""
    rows = Workload.objects.filter(is_free(now), _READS, mailbox__in=mailboxes)
    locked = rows.select_for_update(of=("self",), skip_locked=True)
    return set(locked.values_list("mailbox_id", flat=True))


def _total_of(row: SyncItem) -> Total:
    """Days of the site's time zone: a reader's own would need its row."""
    day = row.first_seen_at.astimezone(timezone.get_default_timezone()).date()
    return (row.mailbox_id, row.folder, day, row.state, row.reason)


def _totals(keys: Sequence[Total]) -> dict[Total, ItemDay]:
    """The row of each total, with what is added counted in."""
    found: dict[Total, ItemDay] = {}
    for key, number in sorted(Counter(keys).items(), key=str):
        mailbox, folder, day, state, reason = key
        row, _made = ItemDay.objects.get_or_create(
            mailbox_id=mailbox, folder=folder, day=day, state=state, reason=reason
        )
        ItemDay.objects.filter(pk=row.pk).update(count=F("count") + number)
        found[key] = row
    return found


# -- and back ------------------------------------------------------------------------------------


def folded_for(mailbox: Mailbox, folder: str) -> Q:
    """What messages of a folder may be known by. Another account's may have lain in any folder."""
    here = Q(total__folder=folder) | ~Q(generation=mailbox.account_generation)
    return here & Q(mailbox=mailbox)


@transaction.atomic
def unfold(mailbox: Mailbox, folder: str, keys: Mapping[UUID, Sequence[str]], now: datetime) -> int:
    """Rows again of what was folded, for messages that are listed in a folder (their identity, and their
    keys): at most as many as there are messages. They count as having left, until somebody gives them a
    key."""
    folded = list(
        FoldedItem.objects.filter(folded_for(mailbox, folder), identity__in=list(keys))
        .select_for_update(of=("self",))
        .select_related("total")
        .order_by("first_seen_at", "pk")
    )
    wanted = Counter({identity: len(listed) for identity, listed in keys.items()})
    back = []
    for each in folded:
        if wanted[each.identity] > 0:
            wanted[each.identity] -= 1
            back.append(each)
    SyncItem.objects.bulk_create([_row(each, now) for each in back])
    for total, number in Counter(each.total_id for each in back).items():
        ItemDay.objects.filter(pk=total).update(count=F("count") - number)
    FoldedItem.objects.filter(pk__in=[each.pk for each in back]).delete()
    ItemDay.objects.filter(mailbox=mailbox, count=0).delete()
    return len(back)


def _row(folded: FoldedItem, now: datetime) -> SyncItem:
    total = folded.total
    return SyncItem(
        mailbox_id=folded.mailbox_id,
        folder=total.folder,
        generation=folded.generation,
        source_key=f"{KEY}{folded.pk}",
        identity=folded.identity,
        first_seen_at=folded.first_seen_at,
        decided_at=folded.first_seen_at,
        state=total.state,
        reason=total.reason,
        sub_reason=folded.sub_reason,
        left_at=now,
        blanked=True,
    )
