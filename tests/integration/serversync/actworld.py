"""Two users who synchronize, everything that may happen to them, and what must hold in the end.

Whatever is made has an origin, told in its body, which nobody edits; whatever is edited gets a word that is used
once. So the end can be looked through: each origin once on each side, each word somewhere.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import time, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError

from activities import recyclebin, scheduling
from activities.choices import (
    ActivityType,
    AppointmentStatus,
    ParticipationType,
    PatternType,
    TaskStatus,
)
from activities.models import (
    ActivityPointer,
    Appointment,
    Contact,
    DeletedRecord,
    RecurringAppointmentMaster,
    Task,
)
from activities.scheduling import ActivityChange
from mailboxes.models import Organization, SystemUser
from mailboxes.protocols.errors import ConnectionLost, ServerBusy, ServerError, SocketTimedOut
from mailboxes.protocols.items import CALENDAR, ItemKind, TaskProgress, Tell, When
from mailboxes.recurrence import Pattern, Recurrence, Weekday
from serversync import marks
from serversync.act import answers, batches, byhand, reconcile
from serversync.act import store as act_store
from serversync.act.choices import ActOutcome, ChangeType, DecisionAnswer, LinkState
from serversync.act.fields import directions
from serversync.act.merging import same
from serversync.act.pending import side_of_item
from serversync.act.run import settings_of
from serversync.act.types import Direction, ItemFacts, Lifecycle, LinkFacts, Pair, Table
from serversync.models import (
    ActState,
    ExchangeSyncIdMapping,
    ParkedBatch,
    ParkedChange,
    SyncRevision,
)
from tests.factories.activities import (
    ContactFactory,
    RecurringAppointmentMasterFactory,
    TaskFactory,
)
from tests.fakeitems import FakeItemsAccount, FakeItemsServer, Fate, StoredItem
from tests.integration.serversync.acts import ActAccount, act_account, meeting, people
from tests.integration.serversync.breaking import Breaker, BreakingServer, Killed
from tests.integration.serversync.cycles import NOW
from tests.integration.serversync.test_act_cycle import appointment, takes_part

Link = ExchangeSyncIdMapping
NAMES = ("ada", "ben")
ERRORS = (ConnectionLost, SocketTimedOut, ServerBusy)
METHODS = ("folders", "changes", "fetch", "find", "find_uids", "find_addresses", "create", "update",
           "delete", "marker", "set_marker")  # fmt: skip
WRITES = ("create", "update", "delete")
KINDS = (ItemKind.TASK, ItemKind.APPOINTMENT, ItemKind.SERIES, ItemKind.CONTACT)
TEXTS = {
    ItemKind.TASK: ("subject",),
    ItemKind.APPOINTMENT: ("subject", "location"),
    ItemKind.SERIES: ("subject", "location"),
    ItemKind.CONTACT: ("job_title", "department"),
}
#: What a cycle says it did although it changed nothing.
SAID = frozenset({ActOutcome.FAILED, ActOutcome.ASKED, ActOutcome.PARKED})
MODELS = {Table.APPOINTMENT: Appointment, Table.RECURRING_APPOINTMENT: RecurringAppointmentMaster}


@dataclass
class Fault:
    """What goes wrong in the next cycle of an account."""

    fates: list[tuple[str, list[Fate | None]]] = field(default_factory=list)
    errors: list[tuple[str, list[BaseException | None]]] = field(default_factory=list)
    kill_at: int = 0
    during: dict[int, Callable[[], None]] = field(default_factory=dict)


class World:
    """`made`: origins with the number of copies that people made. `words`: each that was ever written, and
    False once a person wrote over it. `warranted`: origin of a meeting -> how often a person changed it here."""

    def __init__(self) -> None:
        self.now = NOW
        site: dict[str, FakeItemsAccount] = {}
        self.accounts = [act_account(name, site=site) for name in NAMES]
        self.folders = [account.account.add_folder("Projects") for account in self.accounts]
        self.root = SystemUser.objects.create_superuser("root")
        self.faults: dict[int, Fault] = {}
        self.made: Counter[str] = Counter()
        self.words: dict[str, bool] = {}
        self.warranted: Counter[str] = Counter()
        self.deleted_by_people: set[str] = set()
        self.kills = 0
        self.breaker = Breaker()
        self.log: list[str] = []
        for account in self.accounts:
            account.prepare = lambda server: None
            account.connect = self._connecting(account)
        self._move_clock(0)

    # -- the clock, the line

    def _move_clock(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for account in self.accounts:
            account.now = account.account.now = self.now

    def _connecting(self, account: ActAccount) -> Callable[..., FakeItemsServer]:
        def connect(*_: object, **__: object) -> FakeItemsServer:
            fault = self._fault(account)
            server = BreakingServer(account.account, self.breaker, self._meanwhile(account))
            for method, fates in fault.fates:
                server.fate(method, *fates)
            for method, errors in fault.errors:
                server.fail(method, *errors)
            account.servers.append(server)
            return server

        return connect

    def _meanwhile(self, account: ActAccount) -> Callable[[str], None]:
        """Between two requests, when nothing is locked."""
        plans, calls = dict(self._fault(account).during), Counter()

        def during(_method: str) -> None:
            calls["all"] += 1
            if (plan := plans.pop(calls["all"], None)) is not None:
                self._move_clock(1)
                with self.breaker_off():
                    plan()

        return during

    @contextmanager
    def breaker_off(self) -> Iterator[None]:
        at, self.breaker.at = self.breaker.at, 0
        yield
        self.breaker.at = at

    def _fault(self, account: ActAccount) -> Fault:
        return self.faults.setdefault(self.accounts.index(account), Fault())

    # -- what happens

    def happen(self, event: str, one: int, two: int, three: int) -> None:
        self._move_clock(7)
        account = self.accounts[one % len(self.accounts)]
        self.log.append(f"{event} {one} {two} {three}")
        getattr(self, f"on_{event}")(account, two, three)

    def on_cycle(self, account: ActAccount, two: int = 0, three: int = 0) -> None:
        self._run(account)
        self._move_clock(60 * 6)  # whoever comes after a dead worker waits for the lease

    def _run(self, account: ActAccount, *, kill_at: int = 0) -> Counter[str]:
        self.breaker = Breaker(kill_at or self._fault(account).kill_at)
        before = self.now
        try:
            with self.breaker.watching():
                return Counter(account.cycle().by_state)
        except ServerError as error:
            self.log.append(f"  {type(error).__name__}")
            return Counter({"error": 1})
        except Killed as killed:
            self.kills += 1
            self.log.append(f"  killed before {killed}")
            return Counter({"error": 1})
        finally:
            self.now = max(self.now, before)
            self.faults.pop(self.accounts.index(account), None)

    def on_later(self, account: ActAccount, two: int, three: int) -> None:
        self._move_clock(60 * (1, 5, 16, 61, 24 * 60)[two % 5])

    # -- on the server

    @contextmanager
    def _person(self, account: ActAccount) -> Iterator[FakeItemsAccount]:
        """What the server mails on his behalf is none of ours."""
        sent = [len(each.account.mails) for each in self.accounts]
        yield account.account
        for each, number in zip(self.accounts, sent, strict=True):
            del each.account.mails[number:]

    def on_item(self, account: ActAccount, two: int, three: int) -> None:
        kind = KINDS[two % len(KINDS)]
        fields: dict[str, Any] = {"body": self._origin("item")}
        if three % 3:
            fields["categories"] = self._category(account)
        if kind is ItemKind.CONTACT:
            fields |= {"surname": f"Item{three}", "email1": f"person{three}@customer.example"}
        else:
            fields["subject"] = self._word()
        if kind in (ItemKind.APPOINTMENT, ItemKind.SERIES):
            fields["when"] = meeting(7 + three)
        if kind is ItemKind.SERIES:
            fields["recurrence"] = _weekly(fields["when"])
        with self._person(account) as box:
            box.add(kind, **fields)

    def on_invite(self, account: ActAccount, two: int, three: int) -> None:
        """A meeting with the other one, made there; he gets it, too."""
        other = self._other(account)
        categories = {"categories": self._category(account)} if two % 2 else {}
        with self._person(account) as box:
            made = box.add(
                ItemKind.APPOINTMENT,
                subject=self._word(),
                body=self._origin("item"),
                when=meeting(7 + three),
                required=people(other.account.address),
                **categories,
            )
            item = box.items[made]
            box.tell(item, Tell.ALL, (), item.attendees)

    def on_edit(self, account: ActAccount, two: int, three: int) -> None:
        if item := self._item(account, two):
            name = TEXTS[item.kind][three % len(TEXTS[item.kind])]
            self._overwrite(item.fields.get(name))
            with self._person(account) as box:
                box.edit(item.id, **{name: self._word()})

    def on_reschedule(self, account: ActAccount, two: int, three: int) -> None:
        item = self._item(account, two)
        if item and item.kind is ItemKind.APPOINTMENT and account.account.is_organizer(item):
            with self._person(account) as box:
                box.edit(item.id, when=meeting(7 + three))

    def on_touch(self, account: ActAccount, two: int, three: int) -> None:
        if item := self._item(account, two):
            account.account.touch(item.id)

    def on_finish_item(self, account: ActAccount, two: int, three: int) -> None:
        item = self._item(account, two)
        if item and item.kind is ItemKind.TASK:
            status = (TaskProgress.COMPLETED, TaskProgress.IN_PROGRESS)[three % 2]
            account.account.edit(item.id, status=status)

    def on_remove(self, account: ActAccount, two: int, three: int) -> None:
        if item := self._item(account, two):
            self.deleted_by_people.add(_origin_of(item.fields))
            with self._person(account) as box:
                box.remove(item.id)

    def on_move(self, account: ActAccount, two: int, three: int) -> None:
        item = self._item(account, two)
        if item and item.kind in (ItemKind.APPOINTMENT, ItemKind.SERIES):
            below = self.folders[self.accounts.index(account)]
            account.account.move(item.id, CALENDAR if item.folder == below else below)

    def on_copy(self, account: ActAccount, two: int, three: int) -> None:
        if item := self._item(account, two):
            self.made[_origin_of(item.fields)] += 1
            account.account.copy(item.id)

    def on_mark(self, account: ActAccount, two: int, three: int) -> None:
        if item := self._item(account, two):
            account.account.edit(item.id, categories=self._category(account))

    def on_unmark(self, account: ActAccount, two: int, three: int) -> None:
        if item := self._item(account, two):
            account.account.edit(item.id, categories=frozenset())

    def on_occurrence(self, account: ActAccount, two: int, three: int) -> None:
        item = self._item(account, two)
        if not (item and item.kind is ItemKind.SERIES and account.account.is_organizer(item)):
            return
        when = item.fields["when"]
        original = when.start + timedelta(weeks=1 + three % 3)
        with self._person(account) as box:
            if three > 6 or item.exceptions.get(original, True) is None:
                box.delete_occurrence(item.id, original)
            else:
                self._overwrite((item.exceptions.get(original) or {}).get("subject"))
                box.edit_occurrence(item.id, original, subject=self._word())

    # -- in the store

    def on_record(self, account: ActAccount, two: int, three: int) -> None:
        getattr(self, f"_make_{('contact', 'task', 'meeting', 'series')[two % 4]}")(account, three)

    def _make_contact(self, account: ActAccount, three: int) -> None:
        ContactFactory(
            owning_user=account.user,
            last_name=f"Record{self.made.total()}",
            email_address1=f"person{three}@customer.example",
            description=self._origin("record"),
            modified_on=self.now,
        )

    def _make_task(self, account: ActAccount, three: int) -> None:
        TaskFactory(
            activity__owning_user=account.user,
            activity__subject=self._word(),
            description=self._origin("record"),
        )

    def _make_meeting(self, account: ActAccount, three: int) -> None:
        made = appointment(account, description=self._origin("record"), location=self._word())
        when = meeting(7 + three)
        Appointment.objects.filter(pk=made.pk).update(
            scheduled_start=when.start, scheduled_end=when.end
        )
        self._invite(account, made, three)

    def _make_series(self, account: ActAccount, three: int) -> None:
        made = RecurringAppointmentMasterFactory(
            activity__owning_user=account.user,
            activity__subject=self._word(),
            description=self._origin("record"),
            recurrence_pattern_type=PatternType.DAILY,
            pattern_start_date=(self.now + timedelta(days=7)).date(),
            pattern_end_type=2,
            occurrences=8,
            start_time=time(9, 0),
            duration=60,
        )
        takes_part(made, ParticipationType.ORGANIZER, account.user, account.mailbox.email_address)
        self._invite(account, made, three)

    def _invite(self, account: ActAccount, made: Any, three: int) -> None:
        role = ParticipationType.REQUIRED_ATTENDEE
        if three % 3 == 1:
            other = self._other(account)
            takes_part(made, role, other.user, other.mailbox.email_address)
        if three % 3:
            cleo = Contact.objects.get_or_create(
                last_name="Cleo",
                defaults={"email_address1": "cleo@customer.example", "owning_user": self.root},
            )[0]
            takes_part(made, role, cleo, cleo.email_address1)

    def on_write(self, account: ActAccount, two: int, three: int) -> None:
        record = self._record(account, two)
        if isinstance(record, Contact):
            name = ("job_title", "department")[three % 2]
            self._overwrite(getattr(record, name))
            Contact.objects.filter(pk=record.pk).update(
                **{name: self._word(), "modified_on": self.now}
            )
        elif record is not None:
            self._warrant(record)
            if three % 2 and not isinstance(record, Task):
                self._overwrite(record.location)
                self._change(record, fields={"location": self._word()})
            else:
                self._overwrite(record.activity.subject)
                self._change(record, pointer={"subject": self._word()})

    def on_move_record(self, account: ActAccount, two: int, three: int) -> None:
        record = self._record(account, two)
        if isinstance(record, Appointment) and record.series_id is None:
            self._warrant(record)
            when = meeting(7 + three)
            self._change(record, fields={"scheduled_start": when.start, "scheduled_end": when.end})

    def _change(self, record: Any, **what: Any) -> None:
        kind = ActivityType(record.activity.activity_type_code)
        change = ActivityChange(id=record.pk, kind=kind, by_server=True, **what)
        try:
            scheduling.update([change], now=self.now).or_raise()
        except ValidationError as refused:
            self.log.append(f"  {refused}")

    def on_status(self, account: ActAccount, two: int, three: int) -> None:
        record = self._record(account, two)
        if record is None or isinstance(record, Contact):
            return
        self._warrant(record)
        kind = ActivityType(record.activity.activity_type_code)
        of_task = (TaskStatus.COMPLETED, TaskStatus.IN_PROGRESS, TaskStatus.CANCELED)
        of_meeting = (
            AppointmentStatus.COMPLETED,
            AppointmentStatus.BUSY,
            AppointmentStatus.CANCELED,
            AppointmentStatus.TENTATIVE,
        )
        chosen = of_task if kind is ActivityType.TASK else of_meeting
        status = chosen[three % len(chosen)]
        scheduling.set_status([record.pk], kind, status, now=self.now)

    def on_delete(self, account: ActAccount, two: int, three: int) -> None:
        record = self._record(account, two)
        if record is None:
            return
        self.deleted_by_people.add(record.description)
        if isinstance(record, Contact):
            recyclebin.delete(Contact, [record.pk], now=self.now)
        else:
            self._warrant(record)
            scheduling.delete([record.pk], now=self.now)

    def on_own(self, account: ActAccount, two: int, three: int) -> None:
        record = self._record(account, two)
        other = self._other(account)
        if isinstance(record, Contact):
            Contact.objects.filter(pk=record.pk).update(
                owning_user=other.user, modified_on=self.now
            )
        elif isinstance(record, Task):
            self._change(record, pointer={"owning_user_id": other.user.pk})

    def on_exception(self, account: ActAccount, two: int, three: int) -> None:
        rows = list(RecurringAppointmentMaster.objects.order_by("pk"))
        if not rows:
            return
        series = rows[two % len(rows)]
        free = list(series.ordinary(self.now, self.now + timedelta(days=60)))
        if not free:
            return
        self._warrant(series)
        original = free[three % len(free)]
        if three > 6:
            scheduling.delete_occurrences({series.pk: [original]}, now=self.now)
            return
        whole = scheduling.locked([series.pk])[series.pk]
        new = scheduling.exception_of(whole, original, pointer={"subject": self._word()})
        scheduling.create([new], now=self.now)

    # -- people who decide

    def on_answer(self, account: ActAccount, two: int, three: int) -> None:
        asked = Link.objects.filter(mailbox=account.mailbox).exclude(question="")
        given = (DecisionAnswer.YES, DecisionAnswer.NO)[three % 2]
        self._person_does(
            lambda: answers.answer(asked, given, actor=self.root, now=self.now), asked.exists()
        )

    def on_batch(self, account: ActAccount, two: int, three: int) -> None:
        batch = ParkedBatch.objects.filter(mailbox=account.mailbox, state="waiting").first()
        if batch is None:
            return
        keys = list(ParkedChange.objects.filter(batch=batch).values_list("pk", flat=True))
        only = keys[: 1 + three % len(keys)] if keys and three > 6 else None
        deed = (batches.approve, batches.approve, batches.drop)[two % 3]
        self._person_does(lambda: deed(batch, actor=self.root, now=self.now, only=only))

    def on_unlink(self, account: ActAccount, two: int, three: int) -> None:
        self._on_link(account, two, byhand.unlink)

    def on_link_again(self, account: ActAccount, two: int, three: int) -> None:
        self._on_link(account, two, byhand.link_again)

    def on_look_again(self, account: ActAccount, two: int, three: int) -> None:
        self._on_link(account, two, byhand.look_again)

    def on_look_at_all(self, account: ActAccount, two: int, three: int) -> None:
        ActState.objects.filter(mailbox=account.mailbox).update(look_again_at=self.now)

    def _on_link(self, account: ActAccount, two: int, deed: Callable[..., Any]) -> None:
        if links := account.links:
            row = Link.objects.filter(pk=links[two % len(links)].pk)
            self._person_does(lambda: deed(row, actor=self.root, now=self.now))

    def _person_does(self, deed: Callable[[], Any], may: bool = True) -> None:
        try:
            if may:
                deed()
        except (byhand.Refused, PermissionDenied) as refused:
            self.log.append(f"  {refused}")

    # -- bad luck

    def on_fate(self, account: ActAccount, two: int, three: int) -> None:
        fate = (Fate.LOST_AFTER, Fate.LOST_BEFORE, Fate.STALE, Fate.REFUSED)[three % 4]
        method = WRITES[two % 3]
        self._fault(account).fates.append((method, [*[None] * (two // 3), fate]))

    def on_error(self, account: ActAccount, two: int, three: int) -> None:
        error = ERRORS[three % 3]("by chance")
        method = METHODS[(two * 10 + three) % len(METHODS)]
        self._fault(account).errors.append((method, [*[None] * (three // 4), error]))

    def on_kill(self, account: ActAccount, two: int, three: int) -> None:
        self._fault(account).kill_at = 1 + 10 * two + three

    def on_forget(self, account: ActAccount, two: int, three: int) -> None:
        account.account.forget_cursors(silently=bool(three % 2))

    def on_skew(self, account: ActAccount, two: int, three: int) -> None:
        account.account.clock_behind = timedelta(minutes=(0, 1, -1, 10, -10)[two % 5])

    def on_meanwhile(self, account: ActAccount, two: int, three: int) -> None:
        """Somebody does something while the cycle is at it."""
        events = (
            "edit",
            "write",
            "remove",
            "delete",
            "unlink",
            "answer",
            "batch",
            "status",
            "mark",
        )
        chosen = events[two % len(events)]
        deed = getattr(self, f"on_{chosen}")
        self._fault(account).during[4 + three] = lambda: deed(account, three, two)

    # -- the end

    def quiet(self) -> None:
        """Nothing happens any more; what failed too often is tried again. Until two rounds did nothing."""
        self.faults.clear()
        for account in self.accounts:
            account.account.clock_behind = timedelta()
        still, rounds = 0, 0
        while still < 2:
            rounds += 1
            assert rounds < 14, self._told("it never comes to rest")
            self._move_clock(16 * 60)
            Link.objects.exclude(retries=0).update(
                retries=0,
                next_attempt_at=None,
                from_crm_change_type=ChangeType.AGAIN,
                to_crm_change_type=ChangeType.AGAIN,
            )
            done = sum((self._run(account) for account in self.accounts), Counter())
            self.log.append(f"  quiet: {dict(done)}")
            still = 0 if set(done) - SAID else still + 1

    def check(self) -> None:
        self._check_pairs()
        self._check_that_nothing_is_left()
        self._check_once()
        self._check_mails()
        self._check_words()
        self._check_bin()

    def _told(self, what: object) -> str:
        return "\n".join([str(what), *self.log])

    def _check_pairs(self) -> None:
        """Both sides of each linked pair agree."""
        for account in self.accounts:
            settings = settings_of(self._organization())
            for link in account.links:
                waits = link.question or link.batch_id or link.last_sync_error_code
                if link.state != LinkState.LINKED or waits:
                    continue
                item = account.account.items.get(link.exchange_entry_id)
                side = act_store.sides(Table(link.object_type_code), [link.object_id])
                assert item and side, self._told(("half a pair", link.pk, bool(item), bool(side)))
                facts = act_store.record_facts(
                    Table(link.object_type_code), [link.object_id], account.user, self.now
                )[link.object_id]
                self._compare(account, link, item, side[link.object_id], facts, settings)

    def _organization(self) -> Organization:
        return Organization.objects.current()

    def _compare(
        self,
        account: ActAccount,
        link: Link,
        item: StoredItem,
        side: Any,
        facts: Any,
        settings: Any,
    ) -> None:
        table = Table(link.object_type_code)
        organizes = account.account.is_organizer(item)
        closed = facts.lifecycle in (Lifecycle.COMPLETED, Lifecycle.CANCELED)
        called_off = item.fields.get("is_cancelled")
        if not facts.writable or (table.is_meeting and (closed or called_off)):
            return
        if table.is_meeting and not (organizes and facts.organizes):
            return
        server = side_of_item(FakeItemsServer(account.account)._shown(item, item.kind))
        pair = Pair(
            table=table,
            link=LinkFacts(linked=True),
            base=None,
            store=side,
            server=server,
            record=facts,
            item=ItemFacts(organizes=organizes),
            directions=directions(table, {}, settings),
            settings=settings,
        )
        shown = reconcile.prepared(pair, self.now)
        for name, way in pair.directions.items():
            if way is not Direction.BOTH or name in ("is_cancelled", "attachments"):
                continue
            mine, theirs = shown.store.fields.get(name), shown.server.fields.get(name)
            assert same(mine, theirs), self._told((account.user, name, mine, theirs, link.pk))

    def _check_that_nothing_is_left(self) -> None:
        """Everything read anew on both sides, there is nothing to write."""
        revisions = SyncRevision.objects.count()
        ticks = [account.account.tick for account in self.accounts]
        Link.objects.filter(batch=None, state=LinkState.LINKED).update(
            from_crm_change_type=ChangeType.AGAIN,
            to_crm_change_type=ChangeType.AGAIN,
            next_attempt_at=None,
        )
        ActState.objects.update(look_again_at=self.now)
        self._move_clock(60)
        for account in self.accounts:
            done = self._run(account)
            while account.cycle().more:
                pass
            assert not set(done) - SAID, self._told((str(account.user), dict(done)))
        assert [account.account.tick for account in self.accounts] == ticks, self._told("written")
        assert SyncRevision.objects.count() == revisions, self._told("revised")

    def _check_once(self) -> None:
        """No origin twice, on either side, but by a person's copies."""
        records = Counter(
            origin
            for model in (Contact, Task, Appointment, RecurringAppointmentMaster)
            for origin in _masters(model).values_list("description", flat=True)
        )
        for origin, number in records.items():
            assert number <= 1 + self.made[origin], self._told((f"{number} records", origin))
        for account in self.accounts:
            items = Counter(_origin_of(item.fields) for item in account.account.items.values())
            for origin, number in items.items():
                assert number <= 1 + self.made[origin], self._told((f"{number} items", origin))

    def _check_mails(self) -> None:
        """Nobody is invited twice, and told no more often than something changed."""
        for account in self.accounts:
            told: Counter[Any] = Counter()
            updates: Counter[str] = Counter()
            for mail in account.account.mails:
                for one in mail.recipients:
                    key = (mail.uid, one, mail.original)
                    told[key] += {"invitation": 1, "cancellation": -1}.get(mail.what, 0)
                    assert told[key] <= 1, self._told(("invited twice", mail))
                if mail.what == "update":
                    updates[mail.uid] += 1
            for uid, number in updates.items():
                origin = self._origin_of_uid(account, uid)
                assert number <= self.warranted[origin], self._told(("told too often", uid, number))

    def _origin_of_uid(self, account: ActAccount, uid: str) -> str:
        box = account.account
        every = [*box.items.values(), *box.deleted.values()]
        return next((_origin_of(item.fields) for item in every if item.uid == uid), "")

    def _check_words(self) -> None:
        """What somebody wrote is there, or in history; unless a person wrote over it."""
        there = self._everything()
        lost = [word for word, counts in self.words.items() if counts and f'"{word}"' not in there]
        assert not lost, self._told(("lost", lost))

    def _everything(self) -> str:
        said: list[Any] = []
        for account in self.accounts:
            box = account.account
            said.append(box.replaced)
            for item in [*box.items.values(), *box.deleted.values()]:
                said += [
                    item.fields.values(),
                    *[own.values() for own in item.exceptions.values() if own],
                ]
        for model in (Contact, ActivityPointer, Appointment, RecurringAppointmentMaster):
            said += model.objects.values_list()
        flat = json.dumps([[str(each) for each in row] for row in said])
        for rows in (
            SyncRevision.objects.values_list("before", "after", "lost"),
            DeletedRecord.objects.values_list("rows"),
        ):
            flat += json.dumps(list(rows), default=str)
        return flat

    def _check_bin(self) -> None:
        """What is gone was deleted by a person, or lies in the bin and history says so."""
        items = {
            _origin_of(item.fields)
            for account in self.accounts
            for item in [*account.account.items.values(), *account.account.deleted.values()]
        }
        records = {
            origin
            for model in (Contact, Task, Appointment, RecurringAppointmentMaster)
            for origin in model.objects.values_list("description", flat=True)
        }
        there = self._everything()
        binned = json.dumps(list(DeletedRecord.objects.values_list("rows")), default=str)
        revised = {
            str(key)
            for key in SyncRevision.objects.filter(verb="delete").values_list(
                "deleted__record_id", flat=True
            )
        }
        gave_way = json.dumps(list(SyncRevision.objects.values_list("lost", flat=True)))
        for origin in self.made:
            if f'"{origin}"' in gave_way:
                continue  # to the other side's words, when the two were found to be one
            if origin.startswith("record") and origin not in records:
                assert f'"{origin}"' in binned, self._told(("gone", origin))
                if origin not in self.deleted_by_people:
                    assert revised, self._told(("deleted by nobody", origin))
            if origin.startswith("item"):
                assert origin in items or f'"{origin}"' in there, self._told(("gone", origin))
        for account in self.accounts:
            self._check_deleted_items(account)

    def _check_deleted_items(self, account: ActAccount) -> None:
        for item in account.account.deleted.values():
            origin = _origin_of(item.fields)
            by_us = SyncRevision.objects.filter(
                mailbox=account.mailbox, verb__in=("delete", "cancel"), side="server"
            ).exists()
            assert by_us or origin in self.deleted_by_people, self._told(("removed", origin))

    # -- helpers

    def _word(self) -> str:
        word = f"w{len(self.words)}"
        self.words[word] = True
        return word

    def _overwrite(self, value: object) -> None:
        if value in self.words:
            self.words[str(value)] = False

    def _origin(self, side: str) -> str:
        origin = f"{side}-{len(self.made)}"
        self.made[origin] = 0
        return origin

    def _warrant(self, record: Any) -> None:
        master = getattr(record, "series", None) or record
        self.warranted[master.description] += 1

    def _other(self, account: ActAccount) -> ActAccount:
        return self.accounts[1 - self.accounts.index(account)]

    def _category(self, account: ActAccount) -> frozenset[str]:
        return frozenset({marks.category(account.mailbox, self._organization()).name})

    def _item(self, account: ActAccount, choice: int) -> StoredItem | None:
        every = [item for item in account.account.items.values() if item.kind is not None]
        return every[choice % len(every)] if every else None

    def _record(self, account: ActAccount, choice: int) -> Any:
        """One of his; contacts and activities in the order in which they were made."""
        mine = [
            *Contact.objects.filter(owning_user=account.user).order_by("pk"),
            *(
                row
                for model in (Task, Appointment, RecurringAppointmentMaster)
                for row in _masters(model)
                .filter(activity__owning_user=account.user)
                .select_related("activity")
                .order_by("pk")
            ),
        ]
        return mine[choice % len(mine)] if mine else None


def _masters(model: Any) -> Any:
    return model.objects.filter(series=None) if model is Appointment else model.objects.all()


def _origin_of(fields: Any) -> str:
    return str(fields.get("body") or "")


def _weekly(when: When) -> Recurrence:
    return Recurrence(
        pattern=Pattern.WEEKLY,
        start=when.start.date(),
        days=frozenset({Weekday(when.start.weekday())}),
        count=6,
    )
