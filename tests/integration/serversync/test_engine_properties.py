"""Whatever people, servers and bad luck do in whatever order: nothing lost, nothing doubled, everything
explained.

Hypothesis draws a course of events in one or two mailboxes: mail comes, people move, delete and mark it,
folders and rules change, servers start over, cycles break in the middle. Then the line is quiet for a
while, and what must hold is looked at. ENGINE_EXAMPLES=2000 draws that many, at random; without it, the
same few each time.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from unittest import mock
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, reset_queries, transaction
from django.db.models import QuerySet
from hypothesis import HealthCheck, Phase, example, given, note, settings
from hypothesis import strategies as st

from activities.models import Contact, Email
from mailboxes.choices import FilteringMethod, ServerType
from mailboxes.models import EmailServerProfile, SystemUser
from mailboxes.protocols.base import INBOX, SENT
from mailboxes.protocols.errors import (
    ConnectionLost,
    MessageUnreadable,
    ServerBusy,
    ServerError,
    SocketTimedOut,
)
from serversync import byhand, listing, pages, quarantine, receive
from serversync.choices import IMPORTED, ActionState, ItemState
from serversync.marks import HOLDS
from serversync.models import MailboxLayout, ServerAction, SyncItem
from serversync.quarantine import Fate
from tests.fakebox import Folder, Stored
from tests.fakes import FakeIncomingServer
from tests.integration.serversync.cycles import (
    NOW,
    START,
    Account,
    message,
    organization,
    profile,
    user_mailbox,
)
from tests.statements import counting
from tracking import promote
from tracking.choices import FolderState, SkipReason
from tracking.models import MailboxTrackingFolder
from tracking.trace import UNTRACKED

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

EXAMPLES = int(os.environ.get("ENGINE_EXAMPLES", "0"))
PROFILE = settings(
    max_examples=EXAMPLES or 40,
    derandomize=not EXAMPLES,
    database=None,
    phases=[
        Phase.explicit,
        Phase.generate,
    ],  # a course takes half a second, and shrinking takes hundreds of them
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

NAMES = ("ada", "ben")
KINDS = (("exchange",), ("imap",), ("exchange", "exchange"), ("exchange", "imap"))
FILTERS = (FilteringMethod.ALL, FilteringMethod.NONE, FilteringMethod.RESPONSES)
TRACKED = ("INBOX/A", "INBOX/B")
PLACES = (INBOX, *TRACKED, SENT, "INBOX/Plain")
ERRORS = (ConnectionLost, SocketTimedOut, ServerBusy)
FAULTS = ("list_new", "fetch", "message", "identify", "marked", "apply", "ensure_category")

#: What happens, and how often: each with three numbers, which choose whom and what it concerns.
EVENTS = Counter(
    cycle=8, deliver=6, move=5, mark=3, unmark=2, copy=2, rule=2, rule_off=1, delete=2, touch=1,
    later=3, fault=3, broken_write=2, killed=2, poison=1, unreadable=1, reset=1, reset_states=1,
    silent=1, silent_keys=1, old=1, burst=3, rename_folder=1, move_folder=1, remove_folder=1, record=1,
    filtering=1, retry=1, quiet=1, bring=2, dismiss=1, track=2, untrack=1,
)  # fmt: skip
number = st.integers(0, 9)
course = st.lists(
    st.tuples(st.sampled_from(sorted(EVENTS.elements())), number, number, number),
    min_size=10,
    max_size=25,
)


class Killed(BaseException):
    """The worker is gone in the middle of a cycle."""


class World:
    """Mailboxes, what happens in them, and what must hold when nothing happens any more."""

    def __init__(self, kinds: tuple[str, ...], filtering: FilteringMethod) -> None:
        self.filtering: FilteringMethod | None = filtering  # None: it was another one meanwhile
        self.accounts = [
            self._account(name, kind, filtering) for name, kind in zip(NAMES, kinds, strict=False)
        ]
        self.mails = 0
        self.records = 0
        self.poisoned = False
        self.forgetful: set[int] = set()  # accounts whose server started over without a word
        self.stirred: set[str] = set()  # Message-IDs and folders that something happened to
        self.regarding: dict[str, tuple[int | None, str]] = {}
        #: How many rows the messages of a folder can account for.
        self.presences: Counter[tuple[int, str]] = Counter()
        for account in self.accounts:
            for path in (*TRACKED, "INBOX/Plain", SENT, "Elsewhere"):
                account.box.add_folder(path)

    def _account(self, name: str, kind: str, filtering: FilteringMethod) -> Account:
        server = ServerType.EXCHANGE_SERVER if kind == "exchange" else ServerType.IMAP_SMTP
        used = EmailServerProfile.objects.filter(server_type=server).first()
        account = Account(
            user_mailbox(
                name, filtering, email_server_profile=used or profile(name=kind, server_type=server)
            ),
            exchange=kind == "exchange",
        )
        account.box.now = account.now
        return account

    # -- what happens

    def happen(self, event: str, one: int, two: int, three: int) -> None:
        account = self.accounts[one % len(self.accounts)]
        getattr(self, f"on_{event}")(account, two, three)

    def on_deliver(self, account: Account, two: int, three: int) -> None:
        self.mails += 1
        to = ("ada@example.com", "ben@example.com", "ada@example.com, ben@example.com")[three % 3]
        more = {}
        if three > 5 and self.mails > 1:
            more["In_Reply_To"] = f"<{1 + three % (self.mails - 1)}@customer.example>"
        folder = PLACES[two % len(PLACES)]
        mime = message(
            message_id="" if three == 4 else f"{self.mails}@customer.example",
            sender=f"{self._name(account)}@example.com"
            if folder == SENT
            else "cleo@customer.example",
            to="cleo@customer.example" if folder == SENT else to,
            subject=f"Number {self.mails}" + (" poison" if three == 7 else ""),
            **more,
        )
        self._put(account, mime, folder)
        if two == 9:  # the same to everybody, as mail to several is
            for other in self.accounts:
                if other is not account:
                    self._put(other, mime, INBOX)

    def on_burst(self, account: Account, two: int, three: int) -> None:
        """More at once than a cycle takes."""
        for number in range(3 + three):
            self.on_deliver(account, two if number % 3 else 0, number % 4)

    def on_old(self, account: Account, two: int, three: int) -> None:
        """Mail from before the start."""
        for number in range(1 + three):
            self.mails += 1
            mime = message(message_id=f"{self.mails}@customer.example")
            place = PLACES[two % len(PLACES)]
            self._put(account, mime, place, START - timedelta(days=10 - number))

    def on_copy(self, account: Account, two: int, three: int) -> None:
        if found := self._some(account, two):
            self._put(account, found[1].mime, PLACES[three % len(PLACES)])

    def on_move(self, account: Account, two: int, three: int) -> None:
        found = self._some(account, two)
        target = self._folder(account, PLACES[three % len(PLACES)])
        if found and target and target is not found[0]:
            account.box.move(found[1].remote_id, found[0].id, target.id)
            self._came(account, target, found[1])

    def on_delete(self, account: Account, two: int, three: int) -> None:
        if found := self._some(account, two):
            account.box.remove(found[1].remote_id, found[0].id)
            self._stir(found[1])

    def on_touch(self, account: Account, two: int, three: int) -> None:
        if found := self._some(account, two):
            account.box.touch(found[1].remote_id, found[0].id)

    def on_mark(self, account: Account, two: int, three: int) -> None:
        name = self._category(account)
        if name and (found := self._some(account, two)):
            account.box.mark(found[1].remote_id, name, found[0].id)

    def on_unmark(self, account: Account, two: int, three: int) -> None:
        name = self._category(account)
        if name and (found := self._some(account, two)):
            account.box.unmark(found[1].remote_id, name, found[0].id)

    def on_rule(self, account: Account, two: int, three: int) -> None:
        folder = self._folder(account, TRACKED[two % len(TRACKED)])
        if folder is None:
            return
        key = self._key(account, folder)
        rules = MailboxTrackingFolder.objects.filter(mailbox=account.mailbox)
        if rules.filter(exchange_folder_id=key).exists():
            return
        rule = MailboxTrackingFolder(
            mailbox=account.mailbox, exchange_folder_id=key, exchange_folder_name=folder.name
        )
        if three > 6:
            rule.track_from = START
        if three % 3:
            rule.regarding = self._record()
        rule.save()
        self.stirred |= {self._id(each) for each in folder.messages}

    def on_rule_off(self, account: Account, two: int, three: int) -> None:
        if rule := self._rule(account, two):
            rule.delete()

    def on_record(self, account: Account, two: int, three: int) -> None:
        if rule := self._rule(account, two):
            rule.regarding = self._record()
            rule.save()
            if folder := self._of_key(account, rule.exchange_folder_id):
                self.stirred |= {self._id(each) for each in folder.messages}

    def on_rename_folder(self, account: Account, two: int, three: int) -> None:
        if folder := self._folder(account, TRACKED[two % len(TRACKED)]):
            self._move_folder(account, folder, lambda: setattr(folder, "name", f"{folder.name}x"))

    def on_move_folder(self, account: Account, two: int, three: int) -> None:
        folder = self._folder(account, TRACKED[two % len(TRACKED)])
        parent = ("", "Elsewhere", INBOX, "INBOX/Plain", INBOX)[three % 5]
        above = account.box.folder(parent).id if parent else ""
        if folder and above != folder.parent:
            self._move_folder(account, folder, lambda: setattr(folder, "parent", above))

    def _move_folder(self, account: Account, folder: Folder, change) -> None:
        change()
        if not account.exchange:  # another name is another folder
            for each in folder.messages:
                self._came(account, folder, each)

    def on_remove_folder(self, account: Account, two: int, three: int) -> None:
        if three < 3 and (folder := self._folder(account, TRACKED[two % len(TRACKED)])):
            for each in folder.messages:
                self._stir(each)
            account.box.remove_folder(folder.id)

    def on_filtering(self, account: Account, two: int, three: int) -> None:
        settings_ = account.mailbox.regarding_user.settings
        settings_.incoming_email_filtering_method = FILTERS[two % len(FILTERS)]
        settings_.save()
        self.filtering = None

    def on_reset(self, account: Account, two: int, three: int) -> None:
        self._new_keys(account)
        account.box.reset_keys()

    def on_reset_states(self, account: Account, two: int, three: int) -> None:
        if account.exchange:
            account.box.reset_keys(new_keys=False)

    def on_silent(self, account: Account, two: int, three: int) -> None:
        if account.exchange:
            account.box.restart_silently()
            self.forgetful.add(id(account))

    def on_silent_keys(self, account: Account, two: int, three: int) -> None:
        if account.exchange:
            self._new_keys(account)
            account.box.restart_silently(new_keys=True)
            self.forgetful.add(id(account))

    def on_later(self, account: Account, two: int, three: int) -> None:
        self._later(minutes=(1, 2, 5, 16, 61)[two % 5])

    def on_retry(self, account: Account, two: int, three: int) -> None:
        with mock.patch.object(quarantine.waking, "wake"):
            quarantine.retry(SyncItem.objects.filter(mailbox=account.mailbox), now=account.now)

    def on_bring(self, account: Account, two: int, three: int) -> None:
        """A file: of a message that lies in this mailbox or another, or never was anywhere."""
        found = self._some(self.accounts[three % len(self.accounts)], two)
        if found is None or two > 7:
            raw = message(message_id=f"file{two}@customer.example", to="ada@example.com")
        else:
            raw = found[1].mime
            self._stir(found[1])
        (brought,) = quarantine.bring(account.mailbox, [("x.eml", raw)], now=account.now)
        if brought.fate == Fate.NEW:
            self.presences[id(account), IMPORTED] += 1

    def on_dismiss(self, account: Account, two: int, three: int) -> None:
        quarantine.dismiss(SyncItem.objects.filter(mailbox=account.mailbox), now=account.now)

    def on_track(self, account: Account, two: int, three: int) -> None:
        """A person tracks some of what was turned down."""
        record = self._record() if three > 6 else None
        rows = self._chosen(account, two, three)
        keys = byhand.track(rows, actor=self._person(account), now=account.now, record=record)
        self._stir_rows(keys)

    def on_untrack(self, account: Account, two: int, three: int) -> None:
        """A person unlinks some copies, or deletes an email."""
        rows = self._chosen(account, two, three)
        self._stir_rows(list(rows.values_list("pk", flat=True)))
        if three % 2:
            byhand.unlink(rows, actor=self._person(account), now=account.now)
        elif email := Email.objects.filter(sync_items__in=rows).order_by("message_id").first():
            self._stir_rows(list(email.sync_items.values_list("pk", flat=True)))
            root = SystemUser.objects.filter(is_superuser=True).first()
            root = root or SystemUser.objects.create_superuser("root")
            byhand.delete(email, actor=root, now=account.now)

    def _chosen(self, account: Account, two: int, three: int) -> "QuerySet[SyncItem]":
        rows = SyncItem.objects.filter(mailbox=account.mailbox).order_by("first_seen_at", "pk")
        keys = list(rows.values_list("pk", flat=True))
        return SyncItem.objects.filter(pk__in=keys[two % 4 :: 1 + three % 4])

    def _person(self, account: Account) -> SystemUser:
        """Whose mailbox it is; anew each time, for rights are remembered."""
        user = SystemUser.objects.get(pk=account.mailbox.regarding_user_id)
        user.user_permissions.add(Permission.objects.get(codename="track_syncitem"))
        return user

    def _stir_rows(self, keys: list[UUID]) -> None:
        rows = SyncItem.objects.filter(pk__in=keys)
        self.stirred |= set(rows.values_list("message_id", flat=True))

    def on_quiet(self, account: Account, two: int, three: int) -> None:
        self.quiet()

    # -- cycles, and what goes wrong in them

    def on_cycle(self, account: Account, two: int, three: int) -> None:
        account.receive()

    def on_fault(self, account: Account, two: int, three: int) -> None:
        """The server fails at some call."""

        def prepare(server: FakeIncomingServer) -> None:
            method, error = FAULTS[two % len(FAULTS)], ERRORS[three % len(ERRORS)]
            after = three // len(ERRORS)
            called = server._raise_planned

            def raise_planned(point: str) -> None:
                nonlocal after
                if point == method:
                    after -= 1
                    if after < 0:
                        raise error("as planned")
                called(point)

            server._raise_planned = raise_planned  # type: ignore[method-assign]

        self._troubled(account, prepare)

    def on_unreadable(self, account: Account, two: int, three: int) -> None:
        """One message can't be had this time."""
        if found := self._some(account, two):
            key = found[1].remote_id
            # Under a new key it can't be recognised, then.
            self.presences[id(account), self._key(account, found[0])] += 1
            self._troubled(
                account, lambda server: server.fail_message(key, MessageUnreadable("no"))
            )

    def on_broken_write(self, account: Account, two: int, three: int) -> None:
        """The database refuses the end of a transaction, once or more."""
        self._broken(account, two, ValueError, three)

    def on_killed(self, account: Account, two: int, three: int) -> None:
        self._broken(account, two, Killed, three // 2)

    def _broken(self, account: Account, two: int, error: type[BaseException], when: int) -> None:
        where, method = (pages, "save_cursor") if two % 2 else (pages.PageWriter, "_actions")
        works = getattr(where, method)
        calls = 0

        def breaks(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls in (when, when + 1, when + 3):
                raise error("in the middle")
            return works(*arguments)

        with mock.patch.object(where, method, breaks):
            self._troubled(account)

    def on_poison(self, account: Account, two: int, three: int) -> None:
        self.poisoned = True
        self._troubled(account)
        self.poisoned = False

    def _troubled(self, account: Account, prepare=lambda server: None) -> None:
        account.prepare = prepare
        try:
            account.receive()
        except (ServerError, Killed, ValueError) as error:
            note(f"broken: {error!r}")
        finally:
            account.prepare = lambda server: None

    def decide(self, reading, unit, page):
        if self.poisoned and "poison" in unit.message.subject:
            raise RuntimeError("poison")
        return self._decide(reading, unit, page)

    _decide = staticmethod(promote.judge)

    # -- quiet

    def quiet(self) -> None:
        """Nothing happens any more but cycles; then everything must be in its place."""
        for minutes in (0, 61, 16, *[16] * 5):
            self._later(minutes=minutes)
            done = self._actions_done()
            for account in self.accounts:
                self._run_dry(account)
            waiting = SyncItem.objects.filter(state=ItemState.RETRYING)
            # A mark that one mailbox asked of another is found there by the check after it (R7.24).
            if minutes == 16 and done == self._actions_done() and not waiting.exists():
                break
        connection.check_constraints()
        for account in self.accounts:
            self._look_at_rows(account)
            for folder in self._read_folders(account):
                self._look_at_folder(account, *folder)
            self._look_at_marks(account)
        self._look_at_emails()
        self._look_at_records()
        self._look_at_idle(0, ())
        self._look_at_idle(16, ("foldercursor", "mailboxlayout"))

    def _actions_done(self) -> int:
        return sum(len(account.box.actions) for account in self.accounts)

    def _run_dry(self, account: Account) -> None:
        for _cycle in range(80):
            result = account.receive()
            if not (result.more or result.soon or result.by_state):
                return
        raise AssertionError(f"no end: {result}")

    def _look_at_rows(self, account: Account) -> None:
        rows = SyncItem.objects.filter(mailbox=account.mailbox).select_related("email")
        per_folder: Counter[str] = Counter()
        for row in rows:
            per_folder[row.folder] += 1
            assert row.state != ItemState.RETRYING, row.last_error
            assert row.reason or row.state == ItemState.TRACKED, row.state
            holds = row.state in HOLDS
            assert (row.email is not None) is holds, (row.state, row.reason)
            if row.email is not None:
                assert row.email.message_id == row.message_id
                assert row.trace or row.state == ItemState.TRACKED
            if row.state == ItemState.QUARANTINED:
                assert row.attempts >= 5
            if row.left_at is None and row.state == ItemState.REJECTED and self.filtering == 0:
                assert row.reason == UNTRACKED, row.reason
        for folder, count in per_folder.items():
            assert count <= self.presences[id(account), folder], f"doubled in {folder}"

    def _look_at_folder(self, account: Account, key: str, folder: Folder, way: str) -> None:
        rows = SyncItem.objects.filter(mailbox=account.mailbox, folder=key)
        here = {row.source_key: row for row in rows if row.left_at is None}
        there = {each.remote_id: each for each in folder.messages}
        wanted = {key for key, each in there.items() if each.received_at >= START}
        assert wanted <= set(here), f"lost in {key}: {wanted - set(here)}"
        if id(account) not in self.forgetful:
            assert set(here) <= set(there), f"not there in {key}: {set(here) - set(there)}"
        name = self._category(account)
        for remote_id, each in there.items():
            row = here.get(remote_id)
            if row is None or row.reason == SkipReason.BEFORE_START:
                continue
            chosen = way == "folder" or name in each.keywords
            if chosen and row.state != ItemState.QUARANTINED:
                is_untracked = row.reason == UNTRACKED and name not in each.keywords
                assert row.state in HOLDS or is_untracked, (key, row.state, row.reason)
            if row.state in HOLDS and row.identity:  # else new keys make it a new item
                assert bool(row.marked) is (name in each.keywords), (key, row.marked)

    def _look_at_marks(self, account: Account) -> None:
        actions = ServerAction.objects.filter(mailbox=account.mailbox)
        assert not actions.filter(state=ActionState.PENDING, attempts=0).exists()

    def _look_at_idle(self, minutes: int, allowed: tuple[str, ...]) -> None:
        """A poll that finds nothing new fetches nothing, writes nothing and does nothing."""
        self._later(minutes=minutes)
        for account in self.accounts:
            done = len(account.box.actions)
            reset_queries()  # which are kept for a whole test, up to a limit
            with counting() as counted:
                result = account.receive()
            writes = [
                sql
                for verb in ("INSERT", "UPDATE", "DELETE")
                for sql in counted.of(verb)
                if not any(table in sql for table in ("_workload", *allowed))
            ]
            assert not writes, writes
            assert not account.servers[-1].calls["fetch"]
            assert not (result.by_state or result.more)
            assert len(account.box.actions) == done

    def _look_at_emails(self) -> None:
        tracked = Counter(
            SyncItem.objects.filter(state=ItemState.TRACKED).values_list("email", flat=True)
        )
        assert all(count == 1 for count in tracked.values())
        seen: set[tuple[str, int]] = set()
        for email in Email.objects.all():
            key = (email.message_id, email.direction_code)
            assert email.is_message_id_reused or not email.message_id or key not in seen
            seen.add(key)

    def _look_at_records(self) -> None:
        """R7.10, R7.11, of messages that are in one place only."""
        places: dict[str, list[tuple[Account, Folder]]] = {}
        for account in self.accounts:
            for folder in account.box.folders():
                for each in folder.messages:
                    places.setdefault(self._id(each), []).append((account, folder))
        known = {}
        forgetful = {each.mailbox.pk for each in self.accounts if id(each) in self.forgetful}
        for email in Email.objects.select_related("activity").exclude(message_id=""):
            key = email.message_id
            now = (email.activity.regarding_type_id, email.activity.regarding_id)
            known[key] = now
            rule = None
            if len(places.get(key, ())) == 1:
                ((account, folder),) = places[key]
                rule = self._active_rules(account).get(self._key(account, folder))
            rows = SyncItem.objects.filter(email=email)
            readers = {row.mailbox_id for row in rows}
            if len(readers) > 1 or readers & forgetful:
                continue  # whichever folder was first keeps it; or nobody said that it left
            if rule is not None and rule.regarding_id:
                row = rows.filter(folder=rule.exchange_folder_id, left_at=None).first()
                if row is not None:
                    assert now == (rule.regarding_type_id, rule.regarding_id), key
            elif key in self.regarding and key not in self.stirred:
                assert now == self.regarding[key], f"{key} has lost its record"
        self.regarding, self.stirred = known, set()

    # -- helpers

    def _name(self, account: Account) -> str:
        return NAMES[self.accounts.index(account)]

    def _put(
        self, account: Account, mime: bytes, path: str, received_at: datetime | None = None
    ) -> None:
        folder = self._folder(account, path)
        if folder is not None:
            account.box.deliver(mime, folder.id, received_at or account.now)
            self._came(account, folder, folder.messages[-1])

    def _came(self, account: Account, folder: Folder, stored: Stored) -> None:
        self.presences[id(account), self._key(account, folder)] += 1
        self._stir(stored)

    def _stir(self, stored: Stored) -> None:
        self.stirred.add(self._id(stored))

    def _id(self, stored: Stored) -> str:
        header = next(
            (line for line in stored.mime.split(b"\r\n") if line.startswith(b"Message-ID")), b""
        )
        return header.partition(b"<")[2].rstrip(b">").decode()

    def _new_keys(self, account: Account) -> None:
        """Without a Message-ID a message can't be recognised under its new key, nor if it was never read."""
        unread = SyncItem.objects.filter(mailbox=account.mailbox, identity=None)
        for row in unread:
            self.presences[id(account), row.folder] += 1

    def _some(self, account: Account, choice: int) -> tuple[Folder, Stored] | None:
        every = [(folder, each) for folder in account.box.folders() for each in folder.messages]
        return every[choice % len(every)] if every else None

    def _folder(self, account: Account, path: str) -> Folder | None:
        """By its first name, wherever it is now."""
        name = path.rpartition("/")[2]
        return next((f for f in account.box.folders() if f.name.rstrip("x") == name), None)

    def _key(self, account: Account, folder: Folder) -> str:
        return folder.id if account.exchange else account.box.path(folder.id)

    def _of_key(self, account: Account, key: str) -> Folder | None:
        return next((f for f in account.box.folders() if self._key(account, f) == key), None)

    def _rule(self, account: Account, choice: int) -> MailboxTrackingFolder | None:
        rules = list(MailboxTrackingFolder.objects.filter(mailbox=account.mailbox))
        return rules[choice % len(rules)] if rules else None

    def _active_rules(self, account: Account) -> dict[str, MailboxTrackingFolder]:
        rules = MailboxTrackingFolder.objects.filter(
            mailbox=account.mailbox, state=FolderState.ACTIVE
        )
        return {rule.exchange_folder_id: rule for rule in rules}

    def _read_folders(self, account: Account) -> Iterator[tuple[str, Folder, str]]:
        for folder in account.box.folders():
            key = self._key(account, folder)
            if key in (INBOX, SENT):
                yield key, folder, "inbox" if key == INBOX else "sent"
            elif key in self._active_rules(account):
                yield key, folder, "folder"

    def _category(self, account: Account) -> str:
        layout = MailboxLayout.objects.filter(mailbox=account.mailbox).first()
        return layout.category_name if layout else ""

    def _record(self) -> Contact:
        self.records += 1
        owner = SystemUser.objects.filter(domain_name="owner").first()
        return Contact.objects.create(last_name=f"Contact {self.records}", owning_user=owner)

    def _later(self, minutes: int) -> None:
        for account in self.accounts:
            account.later(minutes=minutes)
            account.box.now = account.now


@contextmanager
def forgotten() -> Iterator[None]:
    """What an example leaves in the database goes with it."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def small() -> Iterator[None]:
    """Limits so small that every course meets them."""
    assert START < NOW
    organization(
        name="Works",
        track_categorized_items=True,
        allow_folder_tracking_for_imap=True,
        allow_category_tracking_for_imap=True,
        auto_track_sent_folder_items=True,
        messages_per_page=2,
        messages_per_cycle=4,
    )
    with ExitStack() as stack:
        for module, name, value in (
            (listing, "LISTING", 3),
            (listing, "PARAMETERS", 2),
            (receive, "ONBOARDED_PER_CYCLE", 3),
            (quarantine.waking, "wake", lambda *_, **__: 0),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield


@pytest.mark.timeout(0 if EXAMPLES else 120)
@pytest.mark.usefixtures("small")
@PROFILE
@example(  # nothing left of a cycle for a folder
    kinds=("exchange",),
    filtering=FilteringMethod.RESPONSES,
    events=[("rule", 0, 0, 5), ("burst", 0, 1, 0), ("burst", 0, 1, 4)],
)
@example(  # gone while the keys were reset
    kinds=("exchange",),
    filtering=FilteringMethod.RESPONSES,
    events=[("deliver", 0, 0, 4), ("cycle", 0, 0, 0), ("reset", 0, 0, 0), ("delete", 0, 0, 0)],
)
@example(  # marked in another mailbox, because it was in the first
    kinds=("exchange", "exchange"),
    filtering=FilteringMethod.RESPONSES,
    events=[("cycle", 1, 5, 8), ("deliver", 5, 9, 8), ("mark", 5, 2, 6)],
)
@example(  # marked while it waited for another try
    kinds=("exchange",),
    filtering=FilteringMethod.NONE,
    events=[
        *[("cycle", 0, 0, 0), ("deliver", 0, 3, 7), ("mark", 0, 0, 0), ("copy", 0, 0, 8)],
        *[("later", 0, 1, 0), ("poison", 0, 0, 0)],
    ],
)
@given(kinds=st.sampled_from(KINDS), filtering=st.sampled_from(FILTERS), events=course)
def test_nothing_lost_nothing_doubled_everything_explained(
    kinds: tuple[str, ...], filtering: FilteringMethod, events: list[tuple[str, int, int, int]]
) -> None:
    go_through(kinds, filtering, events)


def go_through(
    kinds: tuple[str, ...], filtering: FilteringMethod, events: list[tuple[str, int, int, int]]
) -> None:
    with forgotten():
        world = World(kinds, filtering)
        with mock.patch.object(promote, "judge", world.decide):
            for event in events:
                world.happen(*event)
            world.quiet()
