"""What every adapter of calendar, contacts and tasks promises, as tests to be inherited."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import pytest

from mailboxes.protocols.errors import FolderMissing, ServerError
from mailboxes.protocols.items import (
    CALENDAR,
    CONTACTS,
    FIELDS,
    MAIN_FOLDERS,
    TASKS,
    Address,
    Change,
    Changed,
    Deletion,
    Draft,
    Importance,
    ItemFile,
    ItemKind,
    ItemsServer,
    Marker,
    Outcome,
    Person,
    Sensitivity,
    ServerItem,
    ShowAs,
    TaskProgress,
    Tell,
    When,
    WrittenItem,
)
from mailboxes.recurrence import Pattern, Recurrence, Weekday

MONDAY = datetime(2031, 3, 3, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MEETING: Mapping[str, Any] = {
    "subject": "Plan the move",
    "body": "Bring the list.\nBe on time.",
    "location": "Room 4",
    "when": When(MONDAY, MONDAY + HOUR, zone="Europe/Berlin"),
    "show_as": ShowAs.OUT_OF_OFFICE,
    "importance": Importance.HIGH,
    "categories": frozenset({"Red", "Blue"}),
    "reminder": 30,
}
BEN, CLEO = Person("ben@example.org", "Ben"), Person("cleo@example.org", "Cleo")
INVITING = MEETING | {"required": (BEN,), "optional": (CLEO,)}
WEEKLY = Recurrence(
    pattern=Pattern.WEEKLY,
    start=date(2031, 3, 3),
    days=frozenset({Weekday.MONDAY}),
    count=6,
)
SERIES = MEETING | {"recurrence": WEEKLY}
PERSON: Mapping[str, Any] = {
    "given_name": "Ada",
    "surname": "Example",
    "display_name": "Ada Example",
    "company_name": "Example Ltd",
    "business_phone": "+49 30 1",
    "mobile_phone": "+49 170 1",
    "email1": "ada@example.com",
    "email2": "ada@example.org",
    "business_address": Address("Way 1", "Berlin", "", "10115", "Germany"),
    "birthday": date(1980, 12, 10),
    "body": "Met in Kiel.",
}
TO_DO: Mapping[str, Any] = {
    "subject": "Write the report",
    "body": "Two pages.",
    "start": date(2031, 3, 3),
    "due": date(2031, 3, 5),
    "importance": Importance.LOW,
    "percent_complete": 25,
    "status": TaskProgress.IN_PROGRESS,
}
SAMPLES = {
    ItemKind.APPOINTMENT: (CALENDAR, MEETING),
    ItemKind.SERIES: (CALENDAR, SERIES),
    ItemKind.CONTACT: (CONTACTS, PERSON),
    ItemKind.TASK: (TASKS, TO_DO),
}


class ItemsAccount(Protocol):
    """What the contract needs to know about a server under test. `password` must appear in no text."""

    password: str
    address: str

    def server(self) -> ItemsServer: ...

    def mails(self) -> int:
        """How many mails the server has sent by itself, one for each recipient."""

    def copy(self, id: str) -> str:
        """As if a person had copied it within its folder."""

    def move(self, id: str, folder: str) -> str:
        """As if a person had moved it; the new id."""

    def add_folder(self, name: str) -> str:
        """Below the main calendar; its id."""

    def add_other(self) -> None:
        """Something in the contacts that isn't synchronized."""

    def deleted(self) -> int:
        """How many items lie in the deleted items."""

    def forget_cursors(self) -> None:
        """No cursor means anything any more, and the server says so."""


def draft(kind: ItemKind, link: str = "", tell: Tell = Tell.NOBODY, **fields: Any) -> Draft:
    folder, sample = SAMPLES[kind]
    return Draft(folder, kind, {**sample, **fields}, link, tell)


def made(server: ItemsServer, kind: ItemKind, link: str = "", **fields: Any) -> WrittenItem:
    (written,) = server.create([draft(kind, link, **fields)])
    assert written.outcome is Outcome.DONE, written
    return written


def whole(server: ItemsServer, identifier: str) -> ServerItem:
    (fetched,) = server.fetch([identifier])
    assert fetched.item is not None, fetched
    return fetched.item


def change(written: WrittenItem, kind: ItemKind, **fields: Any) -> Change:
    return Change(written.id, written.version, kind, fields)


def everything(server: ItemsServer, folder: str, limit: int = 100) -> list[Changed]:
    cursor, items, more = "", [], True
    while more:
        page = server.changes(folder, cursor, limit)
        items += page.items
        cursor, more = page.cursor, page.more
    return items


def cursor_of(server: ItemsServer, folder: str) -> str:
    page = server.changes(folder, "", 500)
    assert not page.more
    return page.cursor


KINDS = pytest.mark.parametrize("kind", list(ItemKind))


class ItemsContract:
    @pytest.fixture
    def account(self) -> ItemsAccount:
        raise NotImplementedError

    @pytest.fixture
    def server(self, account):
        server = account.server().open()
        yield server
        server.close()

    # -- folders and changes

    def test_the_main_folders_are_there_and_what_is_below_the_calendar(self, account, server):
        below = account.add_folder("Travel")
        folders = {each.folder: each for each in server.folders()}
        assert {*MAIN_FOLDERS, below} <= set(folders)
        assert (folders[below].holds, folders[below].name) == (CALENDAR, "Travel")

    def test_an_unknown_folder_is_missing(self, server):
        with pytest.raises(FolderMissing):
            server.changes("no-such-folder", "", 10)

    @KINDS
    def test_what_is_new_comes_once_with_its_marks(self, server, kind):
        folder, _ = SAMPLES[kind]
        before = cursor_of(server, folder)
        written = made(server, kind, link="link-1")
        page = server.changes(folder, before, 10)
        (item,) = page.items
        assert (item.id, item.version, item.kind) == (written.id, written.version, kind)
        assert item.link == "link-1"
        assert item.uid == written.uid
        assert server.changes(folder, page.cursor, 10).items == ()

    def test_categories_and_sensitivity_are_listed(self, server):
        made(server, ItemKind.APPOINTMENT, sensitivity=Sensitivity.PRIVATE)
        (item,) = everything(server, CALENDAR)
        assert item.categories == {"Red", "Blue"}
        assert item.sensitivity is Sensitivity.PRIVATE

    def test_pages_tell_everything_once(self, server):
        server.create([draft(ItemKind.TASK, subject=f"number {number}") for number in range(7)])
        page = server.changes(TASKS, "", 3)
        assert page.more and len(page.items) == 3
        found = everything(server, TASKS, limit=3)
        assert len({each.id for each in found}) == len(found) == 7

    def test_the_same_cursor_tells_the_same_again(self, server):
        before = cursor_of(server, TASKS)
        written = made(server, ItemKind.TASK)
        for _ in range(2):
            assert [each.id for each in server.changes(TASKS, before, 10).items] == [written.id]

    def test_what_was_deleted_or_moved_is_gone(self, account, server):
        kept, moved, deleted = (made(server, ItemKind.APPOINTMENT) for _ in range(3))
        below = account.add_folder("Travel")
        cursor = cursor_of(server, CALENDAR)
        new_id = account.move(moved.id, below)
        server.delete([Deletion(deleted.id, deleted.version)])
        page = server.changes(CALENDAR, cursor, 10)
        assert set(page.gone) == {moved.id, deleted.id}
        assert [each.id for each in everything(server, below)] == [new_id]
        assert [each.id for each in everything(server, CALENDAR)] == [kept.id]

    def test_a_forgotten_cursor_begins_anew(self, account, server):
        written = made(server, ItemKind.TASK)
        before = cursor_of(server, TASKS)
        account.forget_cursors()
        page = server.changes(TASKS, before, 10)
        assert page.reset
        assert [each.id for each in page.items] == [written.id]

    def test_other_things_have_no_kind(self, account, server):
        account.add_other()
        (item,) = everything(server, CONTACTS)
        assert item.kind is None

    # -- reading

    @KINDS
    def test_what_was_written_is_read(self, server, kind):
        _, sample = SAMPLES[kind]
        item = whole(server, made(server, kind, link="link-1").id)
        assert item.kind is kind
        assert item.link == "link-1"
        assert {name: item.fields[name] for name in sample} == sample

    @KINDS
    def test_a_whole_item_has_every_field(self, server, kind):
        item = whole(server, made(server, kind).id)
        assert set(item.fields) == set(FIELDS[kind])

    def test_an_all_day_appointment_is_days(self, server):
        midnight = datetime(2031, 3, 29, tzinfo=UTC)
        when = When(midnight, midnight + timedelta(days=2), all_day=True, zone="Europe/Berlin")
        item = whole(server, made(server, ItemKind.APPOINTMENT, when=when).id)
        assert item.fields["when"] == when

    def test_items_come_in_the_order_asked_for_and_the_missing_one_alone_is_missing(self, server):
        ids = [made(server, ItemKind.TASK, subject=str(number)).id for number in range(3)]
        server.delete([Deletion(ids[1], kind=ItemKind.TASK)])
        fetched = list(server.fetch([ids[2], ids[1], ids[0]]))
        assert [each.id for each in fetched] == [ids[2], ids[1], ids[0]]
        assert fetched[1].item is None
        assert fetched[1].error is None
        assert fetched[0].item is not None and fetched[2].item is not None

    def test_an_appointment_without_others_is_no_meeting(self, account, server):
        item = whole(server, made(server, ItemKind.APPOINTMENT).id)
        assert (item.is_meeting, item.is_organizer) == (False, True)

    def test_the_organizer_of_a_meeting_is_the_user(self, account, server):
        fields = {"required": (BEN,), "optional": (CLEO,)}
        item = whole(server, made(server, ItemKind.APPOINTMENT, **fields).id)
        assert (item.is_meeting, item.is_organizer) == (True, True)
        assert item.fields["organizer"] == Person(account.address)
        assert (item.fields["required"], item.fields["optional"]) == ((BEN,), (CLEO,))

    # -- links and uids

    def test_items_are_found_by_their_links_copies_included(self, account, server):
        first = made(server, ItemKind.APPOINTMENT, link="link-1")
        made(server, ItemKind.APPOINTMENT, link="link-2")
        copied = account.copy(first.id)
        found = server.find(CALENDAR, ["link-1", "link-3"])
        assert {(each.link, each.id) for each in found} == {
            ("link-1", first.id),
            ("link-1", copied),
        }

    def test_what_is_moved_keeps_link_and_uid(self, account, server):
        written = made(server, ItemKind.APPOINTMENT, link="link-1")
        below = account.add_folder("Travel")
        moved = account.move(written.id, below)
        (listed,) = everything(server, below)
        assert (listed.id, listed.link, listed.uid) == (moved, "link-1", written.uid)
        (found,) = server.find(below, ["link-1"])
        assert (found.id, found.folder_id) == (moved, below)
        assert server.find(CALENDAR, ["link-1"]) == []

    def test_a_link_can_be_taken_off_and_put_on(self, server):
        written = made(server, ItemKind.TASK, link="link-1")
        for link in ("", "link-2"):
            order = Change(written.id, written.version, ItemKind.TASK, {}, link=link)
            (written,) = server.update([order])
            assert written.outcome is Outcome.DONE
            assert whole(server, written.id).link == link
        assert server.find(TASKS, ["link-1"]) == []

    def test_a_meeting_is_found_by_its_uid(self, server):
        (written,) = server.create(
            [Draft(CALENDAR, ItemKind.APPOINTMENT, MEETING, "", uid="one-uid@example.com")]
        )
        assert written.uid == "one-uid@example.com"
        (found,) = server.find_uids(CALENDAR, ["one-uid@example.com", "another"])
        assert (found.id, found.uid) == (written.id, "one-uid@example.com")

    def test_contacts_are_found_by_any_of_their_addresses(self, server):
        first = made(server, ItemKind.CONTACT, link="link-1")
        second = made(server, ItemKind.CONTACT, email1="Ben@Example.org", email2="")
        found = server.find_addresses(
            CONTACTS, ["ada@example.com", "ada@example.org", "ben@example.org"]
        )
        assert {(each.address, each.id, each.link) for each in found} == {
            ("ada@example.com", first.id, "link-1"),
            ("ada@example.org", first.id, "link-1"),
            ("ben@example.org", second.id, ""),
        }
        assert server.find_addresses(CONTACTS, ["nobody@example.org"]) == []

    # -- writing

    @KINDS
    def test_only_what_is_named_changes(self, server, kind):
        name = "display_name" if kind is ItemKind.CONTACT else "subject"
        written = made(server, kind)
        before = whole(server, written.id).fields
        (after,) = server.update([change(written, kind, **{name: "Another"})])
        assert after.outcome is Outcome.DONE
        assert after.version != written.version
        assert whole(server, after.id).fields == {**before, name: "Another"}

    @pytest.mark.parametrize(
        ("kind", "emptied"),
        [
            (ItemKind.APPOINTMENT, {"location": "", "body": "", "categories": frozenset()}),
            (ItemKind.APPOINTMENT, {"reminder": None}),
            (ItemKind.TASK, {"due": None, "start": None, "body": ""}),
            (ItemKind.CONTACT, {"email2": "", "mobile_phone": "", "birthday": None}),
            (ItemKind.CONTACT, {"business_address": None, "company_name": ""}),
        ],
    )
    def test_an_empty_value_empties_the_field(self, server, kind, emptied):
        written = made(server, kind)
        (after,) = server.update([change(written, kind, **emptied)])
        fields = whole(server, after.id).fields
        assert {name: fields[name] for name in emptied} == emptied

    def test_a_task_is_completed_and_opened_again(self, server):
        written = made(server, ItemKind.TASK)
        done = {
            "percent_complete": 100,
            "completed": date(2026, 1, 7),
            "status": TaskProgress.COMPLETED,
        }
        (written,) = server.update([change(written, ItemKind.TASK, **done)])
        fields = whole(server, written.id).fields
        assert {name: fields[name] for name in done} == done
        again = {"percent_complete": 50, "completed": None, "status": TaskProgress.WAITING}
        (written,) = server.update([change(written, ItemKind.TASK, **again)])
        fields = whole(server, written.id).fields
        assert {name: fields[name] for name in again} == again

    def test_a_stale_version_is_refused(self, server):
        written = made(server, ItemKind.TASK)
        server.update([change(written, ItemKind.TASK, subject="First")])
        (second,) = server.update([change(written, ItemKind.TASK, subject="Second")])
        assert second.outcome is Outcome.STALE
        assert whole(server, written.id).fields["subject"] == "First"

    def test_one_that_is_gone_leaves_the_others_alone(self, server):
        first, gone, last = (made(server, ItemKind.TASK) for _ in range(3))
        server.delete([Deletion(gone.id, kind=ItemKind.TASK)])
        orders = [change(each, ItemKind.TASK, subject="New") for each in (first, gone, last)]
        outcomes = [each.outcome for each in server.update(orders)]
        assert outcomes == [Outcome.DONE, Outcome.GONE, Outcome.DONE]

    def test_an_empty_order_is_nothing(self, server):
        assert (server.create([]), server.update([]), server.delete([])) == ([], [], [])

    @KINDS
    def test_deleting_moves_into_the_deleted_items(self, account, server, kind):
        written = made(server, kind)
        before = account.deleted()
        orders = [Deletion(written.id, written.version, kind)]
        assert [each.outcome for each in server.delete(orders)] == [Outcome.DONE]
        assert account.deleted() == before + 1
        assert [each.outcome for each in server.delete(orders)] == [Outcome.DONE]

    # -- whom a write tells

    def test_silence_is_silent(self, account, server):
        written = made(server, ItemKind.APPOINTMENT, **INVITING)
        (written,) = server.update([change(written, ItemKind.APPOINTMENT, location="Room 5")])
        server.delete([Deletion(written.id, written.version)])
        assert account.mails() == 0

    def test_inviting_mails_each_attendee_once(self, account, server):
        (written,) = server.create([draft(ItemKind.APPOINTMENT, tell=Tell.ALL, **INVITING)])
        assert written.outcome is Outcome.DONE
        assert account.mails() == 2

    def test_only_who_is_added_is_told_where_that_is_asked_for(self, account, server):
        written = made(server, ItemKind.APPOINTMENT, required=(BEN,))
        order = Change(
            written.id,
            written.version,
            ItemKind.APPOINTMENT,
            {"required": (BEN, CLEO)},
            Tell.CHANGED,
        )
        server.update([order])
        assert account.mails() == 1

    @pytest.mark.parametrize(
        ("tell", "mails"), [(Tell.NOBODY, 0), (Tell.CHANGED, 2), (Tell.ALL, 3)]
    )
    def test_who_is_told_of_a_change(self, account, server, tell, mails):
        """Ben stays, Cleo goes, Dora comes."""
        (written,) = server.create([draft(ItemKind.APPOINTMENT, tell=Tell.ALL, **INVITING)])
        invited, version = account.mails(), whole(server, written.id).version
        fields = {"location": "Hall", "optional": (Person("dora@example.org", "Dora"),)}
        order = Change(written.id, version, ItemKind.APPOINTMENT, fields, tell)
        assert [each.outcome for each in server.update([order])] == [Outcome.DONE]
        assert account.mails() - invited == mails

    def test_calling_off_tells_all(self, account, server):
        (written,) = server.create([draft(ItemKind.APPOINTMENT, tell=Tell.ALL, **INVITING)])
        invited = account.mails()
        version = whole(server, written.id).version  # inviting may write it once more
        (called_off,) = server.delete([Deletion(written.id, version, tell=Tell.ALL)])
        assert called_off.outcome is Outcome.DONE
        assert account.mails() == invited + 2

    # -- series

    def test_one_occurrence_changes_alone(self, server):
        written = made(server, ItemKind.SERIES)
        third = MONDAY + timedelta(days=14)
        order = Change(
            written.id,
            written.version,
            ItemKind.SERIES,
            {"subject": "Elsewhere"},
            original=third,
        )
        (after,) = server.update([order])
        assert after.outcome is Outcome.DONE
        item = whole(server, written.id)
        assert item.fields["subject"] == "Plan the move"
        (exception,) = item.occurrences
        assert exception.original == third
        assert exception.fields is not None
        assert exception.fields["subject"] == "Elsewhere"
        assert exception.fields["when"] == When(third, third + HOUR, zone="Europe/Berlin")

    def test_one_occurrence_is_deleted_alone(self, server):
        written = made(server, ItemKind.SERIES)
        third = MONDAY + timedelta(days=14)
        order = Deletion(written.id, written.version, ItemKind.SERIES, original=third)
        (after,) = server.delete([order])
        assert after.outcome is Outcome.DONE
        item = whole(server, written.id)
        assert [(each.original, each.fields) for each in item.occurrences] == [(third, None)]

    def test_several_occurrences_change_at_once_and_one_by_one(self, server):
        written = made(server, ItemKind.SERIES)
        days = [MONDAY + timedelta(days=7 * week) for week in range(4)]
        orders = [
            Change(written.id, "", ItemKind.SERIES, {"location": "Hall"}, original=day)
            for day in days[:3]
        ]
        dropped = Deletion(written.id, "", ItemKind.SERIES, original=days[3])
        answers = server.update(orders[:2]) + server.update(orders[2:]) + server.delete([dropped])
        assert [each.outcome for each in answers] == [Outcome.DONE] * 4
        changed = [each.original for each in whole(server, written.id).occurrences]
        assert changed == days

    def test_a_changed_occurrence_changes_again_where_it_was_moved_to(self, server):
        written = made(server, ItemKind.SERIES)
        third, moved = MONDAY + timedelta(days=14), MONDAY + timedelta(days=15)
        when = When(moved, moved + HOUR, zone="Europe/Berlin")
        for fields in ({"when": when}, {"subject": "Elsewhere"}):
            order = Change(written.id, "", ItemKind.SERIES, fields, original=third)
            assert [each.outcome for each in server.update([order])] == [Outcome.DONE]
        (exception,) = whole(server, written.id).occurrences
        assert exception.original == third
        assert exception.fields is not None
        assert (exception.fields["when"], exception.fields["subject"]) == (when, "Elsewhere")

    def test_an_occurrence_that_was_deleted_is_not_there_and_the_series_is_not_gone(self, server):
        written = made(server, ItemKind.SERIES)
        third = MONDAY + timedelta(days=14)
        deletion = Deletion(written.id, "", ItemKind.SERIES, original=third)
        order = Change(written.id, "", ItemKind.SERIES, {"subject": "x"}, original=third)
        assert [each.outcome for each in server.delete([deletion])] == [Outcome.DONE]
        assert [each.outcome for each in server.update([order])] == [Outcome.REFUSED]
        assert [each.outcome for each in server.delete([deletion])] == [Outcome.DONE]
        server.delete([Deletion(written.id, kind=ItemKind.SERIES)])
        assert [each.outcome for each in server.update([order])] == [Outcome.GONE]

    def test_an_occurrence_of_a_series_that_changed_meanwhile_is_stale(self, server):
        written = made(server, ItemKind.SERIES)
        server.update([change(written, ItemKind.SERIES, location="Hall")])
        third = MONDAY + timedelta(days=14)
        order = replace(change(written, ItemKind.SERIES, subject="x"), original=third)
        assert [each.outcome for each in server.update([order])] == [Outcome.STALE]
        assert whole(server, written.id).occurrences == ()

    def test_a_new_pattern_forgets_what_was_special(self, server):
        written = made(server, ItemKind.SERIES)
        server.update([Change(written.id, "", ItemKind.SERIES, {"subject": "x"}, original=MONDAY)])
        version = whole(server, written.id).version
        daily = replace(WEEKLY, pattern=Pattern.DAILY, days=frozenset())
        order = Change(written.id, version, ItemKind.SERIES, {"recurrence": daily})
        assert [each.outcome for each in server.update([order])] == [Outcome.DONE]
        item = whole(server, written.id)
        assert (item.fields["recurrence"], item.occurrences) == (daily, ())

    def test_an_occurrence_may_have_others_to_meet(self, account, server):
        fields = {"required": (BEN,)}
        (written,) = server.create([draft(ItemKind.SERIES, tell=Tell.ALL, **fields)])
        invited = account.mails()
        order = Change(
            written.id, "", ItemKind.SERIES, {"required": (BEN, CLEO)}, Tell.CHANGED, MONDAY
        )
        assert [each.outcome for each in server.update([order])] == [Outcome.DONE]
        assert account.mails() == invited + 1
        item = whole(server, written.id)
        assert item.fields["required"] == (BEN,)
        (exception,) = item.occurrences
        assert exception.fields is not None
        assert exception.fields["required"] == (BEN, CLEO)

    def test_an_all_day_series_names_its_occurrences_by_days(self, server):
        first = datetime(2031, 3, 24, tzinfo=UTC)
        when = When(first, first + timedelta(days=1), all_day=True, zone="Europe/Berlin")
        weekly = replace(WEEKLY, start=first.date())
        written = made(server, ItemKind.SERIES, when=when, recurrence=weekly)
        second = first + timedelta(days=7)  # summer time has begun
        order = replace(change(written, ItemKind.SERIES, subject="x"), original=second)
        assert [each.outcome for each in server.update([order])] == [Outcome.DONE]
        (exception,) = whole(server, written.id).occurrences
        assert exception.original == second
        assert exception.fields is not None
        assert exception.fields["when"] == replace(
            when, start=second, end=second + timedelta(days=1)
        )

    # -- files

    def test_files_come_and_go(self, server):
        written = made(server, ItemKind.APPOINTMENT)
        order = ItemFile("list.txt", "text/plain", 5, content=b"lists")
        added = server.add_files(written.id, written.version, [order])
        assert added.outcome is Outcome.DONE
        (file,) = server.files(written.id)
        assert (file.name, file.content, file.size) == ("list.txt", b"lists", 5)
        assert whole(server, written.id).has_attachments
        assert server.remove_files(written.id, [file.id]).outcome is Outcome.DONE
        assert server.files(written.id) == []

    # -- the marker

    @pytest.mark.rule("R6.60")
    def test_the_account_notes_its_organization(self, account, server):
        assert server.marker() is None
        for name in ("Example", "Example Ltd"):
            marker = Marker("0f3a", name, datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC))
            server.set_marker(marker)
            assert account.server().marker() == marker

    # -- manners

    def test_closing_twice_is_quiet(self, account):
        server = account.server().open()
        server.close()
        server.close()

    def test_no_secret_is_shown(self, account, server):
        try:
            server.changes("no-such-folder", "", 10)
        except ServerError as error:
            assert account.password not in f"{error} {error!r} {server!r}"
