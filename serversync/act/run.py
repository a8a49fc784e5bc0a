"""What one cycle of appointments, contacts and tasks carries along, and how far its mailbox has come."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet

from activities import changes
from mailboxes.models import Mailbox, Organization, SystemUser
from mailboxes.protocols.items import ItemsServer
from serversync import marks
from serversync.act.choices import ActOutcome, ChangeType, LinkState
from serversync.act.directions import overrides
from serversync.act.fields import directions
from serversync.act.filters import Filters, filters_of
from serversync.act.types import ActSettings, Direction, Table
from serversync.context import Context
from serversync.cycle import Clock, CycleResult, Stopwatch
from serversync.leases import renew
from serversync.models import ActState, ExchangeSyncIdMapping, ItemFolderCursor

FILES = "attachments"
FOLDERS_EVERY = timedelta(days=1)  # how soon a new calendar below the main one is noticed (R6.5)


@dataclass
class ActRun:
    """One cycle of one mailbox.

    `folders`: cursor rows, in the order in which they are read. `pending`: pairs are noted already;
    `journal`: the store's journal has something new. `category`: what the tracking category is called in this
    mailbox, folded; "" where categories aren't used (R7.20). `approved`: links of which somebody approved something
    that wasn't carried out yet.
    """

    context: Context
    token: UUID
    clock: Clock
    state: ActState
    folders: list[ItemFolderCursor]
    pending: bool
    journal: bool
    settings: ActSettings
    category: str
    server: ItemsServer | None = None
    result: CycleResult = field(default_factory=CycleResult)
    approved: set[UUID] = field(default_factory=set)

    @property
    def mailbox(self) -> Mailbox:
        return self.context.mailbox

    @property
    def organization(self) -> Organization:
        return self.context.organization

    @property
    def user(self) -> SystemUser:
        user = self.mailbox.regarding_user
        assert user is not None  # eligibility checked it (R6.1)
        return user

    @property
    def is_first(self) -> bool:
        """Nothing was written yet, and nothing may be before it was shown (R6.51)."""
        return self.state.began_at is None

    def timed(self, step: str) -> Stopwatch:
        return Stopwatch(self.result.steps_ms, step)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction, begun by renewing the lease. Raises LeaseLost."""
        with transaction.atomic():
            renew(self.token, self.clock(), self.result.items)
            yield

    @property
    def connected(self) -> ItemsServer:
        assert self.server is not None
        return self.server

    @cached_property
    def linked(self) -> int:
        """How many pairs are linked now."""
        return self.links().filter(state=LinkState.LINKED).count()

    @cached_property
    def filters(self) -> Filters:
        """What acts for this user, as it is now."""
        return filters_of(self.user, self.clock())

    def directions(self, table: Table) -> Mapping[str, Direction]:
        """Field -> the way it goes for this user (R6.14). Files are no field: see `files`."""
        return self._directions[table]

    @cached_property
    def _directions(self) -> Mapping[Table, Mapping[str, Direction]]:
        """One statement, once a cycle: every pair asks."""
        chosen = overrides()
        ways = {table: directions(table, chosen, self.settings) for table in Table}
        return {
            table: {name: way for name, way in all_ways.items() if name != FILES}
            for table, all_ways in ways.items()
        }

    def links(self) -> QuerySet[ExchangeSyncIdMapping]:
        """Of this mailbox, under its account as it is now."""
        return ExchangeSyncIdMapping.objects.filter(
            mailbox=self.mailbox, generation=self.mailbox.account_generation
        )


def begin(context: Context, token: UUID, clock: Clock) -> ActRun:
    """One statement for a mailbox that has been read before."""
    mailbox = context.mailbox
    rows: list[Any] = list(
        ItemFolderCursor.objects.filter(mailbox=mailbox, generation=mailbox.account_generation)
        .select_related("mailbox__act_state")
        .annotate(
            noted=Exists(
                ExchangeSyncIdMapping.objects.filter(
                    is_due(clock()),
                    mailbox=OuterRef("mailbox"),
                    generation=OuterRef("generation"),
                )
            ),
            told=ExpressionWrapper(
                changes.waiting(F("mailbox__act_state__journal_cursor")), BooleanField()
            ),
        )
        .order_by("pk")
    )
    known = getattr(rows[0].mailbox, "act_state", None) if rows else None
    state = known or _state_of(mailbox)
    return ActRun(
        context=context,
        token=token,
        clock=clock,
        state=state,
        folders=rows,
        pending=bool(rows and rows[0].noted),
        journal=bool(not rows or rows[0].told),
        settings=settings_of(context.organization),
        category=_category_of(context),
    )


def is_due(now: datetime) -> Q:
    """Links on which something is noted, to be looked at now."""
    return is_noted() & (Q(next_attempt_at=None) | Q(next_attempt_at__lte=now))


def is_noted() -> Q:
    """Links on which something is noted, whenever it is looked at."""
    return ~Q(from_crm_change_type=ChangeType.NONE) | ~Q(to_crm_change_type=ChangeType.NONE)


def _state_of(mailbox: Mailbox) -> ActState:
    """Made at the first contact. Another account behind the mailbox (R1.46) begins anew, with the first
    look as well; links to the old one stay for history."""
    state, _made = ActState.objects.get_or_create(
        mailbox=mailbox, defaults={"generation": mailbox.account_generation}
    )
    if state.generation != mailbox.account_generation:
        state.delete()
        state = ActState.objects.create(mailbox=mailbox, generation=mailbox.account_generation)
    return state


def settings_of(organization: Organization) -> ActSettings:
    """The switches as they act (appendix C)."""
    acts = organization
    return ActSettings(
        update_past_meetings=acts.sss_update_past_meetings_in_non_draft_mode,
        drafts=acts.allow_save_as_draft_appointment,
        block_on_conflict=acts.effective("block_scheduling_conflicts"),
        track_from_non_organizer=acts.track_appointments_from_non_organizer,
        keep_organizer_if_empty=acts.use_crm_organizer_for_empty_exchange_organizer,
        transfer_organizer=not acts.effective("ask_before_transferring_meetings"),
        recreate_past_instances=acts.effective("recreate_past_instances"),
        attachments=acts.is_appointment_attachment_sync_enabled,
        propagate_cancellations=acts.sss_propagate_appointment_cancellations_to_exchange,
        distinct_logical_deletes=acts.effective(
            "distinct_physical_and_logical_deletes_for_exchange_sync"
        ),
        ask_before_cancelling=acts.effective("guard_act"),
        delete_tasks_from_server=acts.sss_task_deletion_sync_behavior_from_exchange,
        ignore_copies=acts.ignore_copied_items_in_sss_for_mailbox,
        all_addresses=not acts.is_contact_mailing_address_sync_enabled,
        max_attempts=acts.maximum_synchronization_attempts_for_act,
    )


def _category_of(context: Context) -> str:
    """Whoever reads mail of this mailbox learns what it is called (R7.22); without mail it is as we
    call it."""
    if not marks.is_used(context.mailbox, context.organization):
        return ""
    if context.layout is not None and context.layout.category_name:
        return context.layout.category_name.casefold()
    return marks.category(context.mailbox, context.organization).name.casefold()


def count(result: CycleResult, outcome: ActOutcome, number: int = 1) -> None:
    """Note what became of so many pairs."""
    result.had_mail = True
    result.by_state[outcome.value] += number
    if outcome == ActOutcome.FAILED:
        result.failed += number
    else:
        result.processed += number
