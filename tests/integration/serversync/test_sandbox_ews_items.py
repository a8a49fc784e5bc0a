"""Contacts, tasks and writing in general on the sandbox's Exchange server, and what goes wrong there on request."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import requests
from exchangelib import (
    CalendarItem,
    Contact,
    EWSDate,
    EWSDateTime,
    ExtendedProperty,
    FileAttachment,
    Task,
    errors,
)
from exchangelib.indexed_properties import EmailAddress, PhoneNumber, PhysicalAddress
from exchangelib.recurrence import DailyRegeneration, TaskRecurrence, WeeklyPattern

from mailboxes.recurrence import Nth, Pattern, Recurrence, Weekday
from serversync.sandbox.control import Switchboard, ask
from serversync.sandbox.ews.faults import busy, conflict, lost_answer, refuse
from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.ews.series import series_of
from serversync.sandbox.ews.soap import SoapFault
from serversync.sandbox.servers import running_sandbox
from tests.integration.serversync.ews_clients import ADA, BEN, PASSWORD, client, fresh_accounts

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

NINE = datetime(2030, 3, 4, 9, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SET = "f2a5c1d0-7d0b-4a5e-9f0a-6f2d3c1b0a99"


class Link(ExtendedProperty):
    property_set_id = SET
    property_name = "Link"
    property_type = "String"


@pytest.fixture(scope="module")
def server():
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server, monkeypatch):
    with fresh_accounts(server, monkeypatch, ADA, BEN) as fresh:
        yield fresh


@pytest.fixture
def link():
    for kind in (CalendarItem, Contact, Task):
        kind.register("link", Link)
    yield
    for kind in (CalendarItem, Contact, Task):
        kind.deregister("link")


def only(items):
    (item,) = items
    return item


class TestContacts:
    def test_everything_comes_back(self, sandbox):
        ada = client(sandbox)
        home = PhysicalAddress(
            label="Home", street="Lane 1", city="Bergen", state="Vestland", country="Norway",
            zipcode="5003",
        )  # fmt: skip
        given = {
            "given_name": "Rita",
            "surname": "Moe",
            "company_name": "Customer",
            "file_as_mapping": "LastCommaFirst",
            "email_addresses": [
                EmailAddress(email="rita@customer.example", label="EmailAddress1"),
                EmailAddress(email="moe@home.example", label="EmailAddress3"),
            ],
            "phone_numbers": [
                PhoneNumber(label=label, phone_number=str(number))
                for number, label in enumerate(
                    ("BusinessPhone", "BusinessPhone2", "Callback", "CompanyMainPhone", "HomeFax")
                )
            ],
            "physical_addresses": [home],
            "postal_address_index": "Home",
            "birthday": EWSDate(1980, 2, 29),
            "wedding_anniversary": EWSDate(2005, 6, 1),
            "children": ["Ola", "Kari"],
            "spouse_name": "Ove",
            "body": "Met in Oslo.",
            "display_name": "Rita Moe",
        }
        saved = Contact(account=ada, folder=ada.contacts, **given).save()
        found = ada.contacts.get(id=saved.id)
        same = {name: getattr(found, name) for name in given}
        assert same == given
        assert found.file_as == "Moe, Rita"
        assert (found.complete_name.first_name, found.complete_name.last_name) == ("Rita", "Moe")

    def test_a_name_to_show_is_made_of_the_others(self, sandbox):
        made = sandbox.exchange.add(ADA, "Contact", given_name="Rita", surname="Moe")
        assert made.text("DisplayName") == "Rita Moe"

    def test_entries_are_changed_one_by_one(self, sandbox):
        ada = client(sandbox)
        phones = {"MobilePhone": "1", "HomePhone": "2"}
        made = sandbox.exchange.add(ADA, "Contact", given_name="Rita", phone_numbers=phones)
        found = ada.contacts.get(id=made.remote_id)
        found.phone_numbers = [PhoneNumber(label="MobilePhone", phone_number="3")]
        found.save(update_fields=["phone_numbers"])
        found.refresh()
        assert found.phone_numbers == [PhoneNumber(label="MobilePhone", phone_number="3")]

    def test_entries_conflict_one_by_one(self, sandbox):
        phones = {"MobilePhone": "1", "HomePhone": "2"}
        made = sandbox.exchange.add(ADA, "Contact", display_name="Rita", phone_numbers=phones)
        mine = client(sandbox).contacts.get(id=made.remote_id)
        sandbox.exchange.change(made, phone_numbers={**phones, "HomePhone": "3"})
        mine.phone_numbers = [PhoneNumber(label="MobilePhone", phone_number="4")]
        with pytest.raises(errors.ErrorIrresolvableConflict):  # it deletes the other one
            mine.save(update_fields=["phone_numbers"])

    def test_an_entry_that_the_schema_lacks_is_refused(self, sandbox):
        with pytest.raises(SoapFault, match="ErrorSchemaValidation"):
            sandbox.exchange.add(ADA, "Contact", phone_numbers={"Landline": "1"})


class TestTasks:
    def test_how_far_it_is_moves_together(self, sandbox):
        ada = client(sandbox)
        task = Task(account=ada, folder=ada.tasks, subject="Call", start_date=EWSDate(2030, 3, 4))
        task.save().refresh()
        assert (task.status, task.percent_complete, task.is_complete) == ("NotStarted", 0, False)
        assert task.due_date == EWSDate(2030, 3, 4)  # copied from the start
        assert (task.owner, task.delegation_state) == ("Ada", "NoMatch")

        def written(**fields):
            for name, value in fields.items():
                setattr(task, name, value)
            task.clean = lambda version=None: None
            task.save(update_fields=list(fields))
            task.refresh()
            return task.status, task.percent_complete, task.complete_date is not None

        assert written(percent_complete=Decimal(40)) == ("InProgress", 40, False)
        assert written(status="WaitingOnOthers") == ("WaitingOnOthers", 40, False)
        assert written(percent_complete=Decimal(100)) == ("Completed", 100, True)
        assert written(status="InProgress") == ("InProgress", 0, False)
        assert written(status="Completed") == ("Completed", 100, True)
        assert written(status="NotStarted") == ("NotStarted", 0, False)

    def test_the_last_one_written_leads(self, sandbox):
        done = sandbox.exchange.add(ADA, "Task", percent_complete=100, status="NotStarted")
        assert (done.text("Status"), done.text("PercentComplete")) == ("NotStarted", "0")
        done = sandbox.exchange.add(ADA, "Task", status="NotStarted", complete_date=NINE)
        assert (done.text("Status"), done.text("CompleteDate")) == (
            "Completed", "2030-03-04T09:00:00Z",
        )  # fmt: skip

    def test_a_recurring_one_begins_again(self, sandbox):
        ada = client(sandbox)
        weekly = WeeklyPattern(interval=1, weekdays=[1], first_day_of_week=1)
        task = Task(
            account=ada, folder=ada.tasks, subject="Report", due_date=EWSDate(2030, 3, 4),
            recurrence=TaskRecurrence(pattern=weekly, start=EWSDate(2030, 3, 4), number=2),
        )  # fmt: skip
        task.save().refresh()
        assert task.is_recurring
        task.complete()
        task.refresh()
        assert (task.status, task.due_date) == ("NotStarted", EWSDate(2030, 3, 11))
        done = only(one for one in ada.tasks.all() if one.is_complete)
        assert (done.due_date, done.is_recurring, done.id != task.id) == (
            EWSDate(2030, 3, 4), False, True,
        )  # fmt: skip
        task.complete()
        assert task.refresh().is_complete
        assert ada.tasks.all().count() == 2

    def test_one_that_regenerates_counts_from_when_it_was_done(self, sandbox):
        ada = client(sandbox)
        task = Task(
            account=ada, folder=ada.tasks, subject="Water", due_date=EWSDate(2020, 1, 1),
            recurrence=TaskRecurrence(
                pattern=DailyRegeneration(interval=3), start=EWSDate(2020, 1, 1)
            ),
        )  # fmt: skip
        task.save().complete()
        task.refresh()
        assert task.due_date - only(
            one.complete_date.date() for one in ada.tasks.all() if one.is_complete
        ) == timedelta(days=3)

    def test_deleting_one_occurrence_makes_the_next_one_of_it(self, sandbox):
        ada = client(sandbox)
        daily = Recurrence(pattern=Pattern.DAILY, start=NINE.date(), count=2)
        made = sandbox.exchange.add(ADA, "Task", subject="x", recurrence=daily, due_date=NINE)
        one_only = {"affected_task_occurrences": "SpecifiedOccurrenceOnly"}
        ada.tasks.get(id=made.remote_id).delete(**one_only)
        task = ada.tasks.get(id=made.remote_id)
        assert task.due_date == EWSDate(2030, 3, 5)
        with pytest.raises(errors.ErrorCannotDeleteTaskOccurrence):
            task.delete(**one_only)
        ada.tasks.get(id=made.remote_id).delete()
        assert ada.tasks.all().count() == 0

    def test_one_may_be_assigned(self, sandbox):
        made = sandbox.exchange.add(ADA, "Task", subject="Call")
        sandbox.exchange.assign(made, BEN)
        own = only(client(sandbox).tasks.all())
        assert (own.owner, own.delegation_state) == ("Ben", "OwnNew")
        his = only(client(sandbox, BEN).tasks.all())
        assert (his.owner, his.delegator, his.delegation_state) == ("Ben", "Ada", "Accepted")


class TestWriting:
    def visit(self, sandbox, **fields):
        values = {"subject": "Visit", "start": NINE, "end": NINE + HOUR, **fields}
        return sandbox.exchange.add(ADA, "CalendarItem", **values)

    def test_different_changes_are_merged_and_the_same_are_not(self, sandbox):
        ada = client(sandbox)
        made = self.visit(sandbox)
        mine = ada.calendar.get(id=made.remote_id)
        sandbox.exchange.change(made, location="Room 1")
        mine.subject = "Other"
        with pytest.raises(errors.ErrorIrresolvableConflict):
            mine.save(update_fields=["subject"], conflict_resolution="NeverOverwrite")
        mine.save(update_fields=["subject"])  # AutoResolve
        mine.refresh()
        assert (mine.subject, mine.location) == ("Other", "Room 1")
        sandbox.exchange.change(sandbox.exchange.item(mine.id), subject="Theirs")
        mine.subject = "Mine"
        with pytest.raises(errors.ErrorIrresolvableConflict):
            mine.save(update_fields=["subject"])
        mine.save(update_fields=["subject"], conflict_resolution="AlwaysOverwrite")
        assert mine.refresh().subject == "Mine"

    def test_an_occurrence_conflicts_with_its_own_changes_alone(self, sandbox):
        daily = Recurrence(pattern=Pattern.DAILY, start=NINE.date(), count=3)
        made = self.visit(sandbox, recurrence=daily)
        master = client(sandbox).calendar.get(id=made.remote_id)
        first, second = master.occurrence(1), master.occurrence(2)
        sandbox.exchange.change(sandbox.exchange.occurrence(made, 1), subject="Theirs")
        for one in (first, second):
            one.subject = "Mine"
        with pytest.raises(errors.ErrorIrresolvableConflict):
            first.save(update_fields=["subject"])
        second.save(update_fields=["subject"])
        subjects = [sandbox.exchange.occurrence(made, index).text("Subject") for index in (1, 2)]
        assert subjects == ["Theirs", "Mine"]

    def test_a_copy_keeps_its_extended_properties_and_a_move_changes_the_id(self, sandbox, link):
        ada = client(sandbox)
        made = self.visit(sandbox, extended={f"{SET}/link": ["42"]}, files={"a.txt": b"a"})
        copy = sandbox.exchange.copy(made)
        found = ada.calendar.filter(link="42")
        assert {one.id for one in found} == {made.remote_id, copy.remote_id}
        assert [one.link for one in found] == ["42", "42"]
        assert {one.uid for one in found} == {made.text("UID")}
        original = ada.calendar.get(id=made.remote_id)
        original.move(ada.trash)
        assert original.id != made.remote_id
        assert [one.content for one in original.refresh().attachments] == [b"a"]

    def test_a_hundred_at_once(self, sandbox):
        ada = client(sandbox)
        new = [
            Contact(account=ada, folder=ada.contacts, display_name=str(number))
            for number in range(100)
        ]
        created = ada.bulk_create(ada.contacts, new)
        sandbox.exchange.requests.clear()
        found = list(ada.fetch(created))
        for one in found:
            one.job_title = "Buyer"
        ada.bulk_update([(one, ["job_title"]) for one in found])
        asked = [one.operation for one in sandbox.exchange.requests]
        assert (asked.count("GetItem"), asked.count("UpdateItem")) == (1, 1)
        assert ada.contacts.filter(job_title="Buyer").count() == 100

    def test_an_online_meeting_travels_with_its_link(self, sandbox):
        url = "https://meet.example/1"
        made = self.visit(
            sandbox, is_online_meeting=True, join_online_meeting_url=url, required_attendees=[BEN],
            tell=True,
        )  # fmt: skip
        assert client(sandbox).calendar.get(id=made.remote_id).is_online_meeting
        his = only(sandbox.exchange.items(BEN, "calendar"))
        assert his.text("JoinOnlineMeetingUrl") == url

    def test_attachments_change_the_key_of_their_item(self, sandbox):
        ada = client(sandbox)
        visit = ada.calendar.get(id=self.visit(sandbox).remote_id)
        key = visit.changekey
        visit.attach(FileAttachment(name="a.txt", content=b"a"))
        assert visit.changekey != key
        visit.subject = "Later"
        visit.save(update_fields=["subject"], conflict_resolution="NeverOverwrite")
        assert visit.refresh().has_attachments

    def test_reminders(self, sandbox):
        made = self.visit(sandbox, reminder_is_set=True, reminder_minutes_before_start=30)
        visit = client(sandbox).calendar.get(id=made.remote_id)
        assert (visit.reminder_is_set, visit.reminder_minutes_before_start) == (True, 30)
        assert visit.reminder_due_by == visit.start
        made = sandbox.exchange.add(ADA, "Task", reminder_is_set=True, reminder_due_by=NINE)
        task = client(sandbox).tasks.get(id=made.remote_id)
        assert (task.reminder_is_set, task.reminder_due_by) == (True, NINE)

    def test_what_the_server_alone_writes_is_refused(self, sandbox):
        ada = client(sandbox)
        visit = ada.calendar.get(id=self.visit(sandbox).remote_id)
        field = CalendarItem.get_field_by_fieldname("is_cancelled")
        field.is_read_only = False
        try:
            visit.is_cancelled = True
            with pytest.raises(errors.ErrorInvalidPropertySet):
                visit.save(update_fields=["is_cancelled"])
        finally:
            field.is_read_only = True

    def test_configurations_are_kept_in_any_folder(self, sandbox):
        ada = client(sandbox)
        entries = {"Organization": "one", "Synced": True, "Times": ("a", "b")}
        for folder in (ada.calendar, ada.contacts, ada.inbox):
            folder.create_user_configuration("Sync.Marker", dictionary=entries)
            found = folder.get_user_configuration("Sync.Marker")
            assert found.dictionary == entries
            folder.update_user_configuration("Sync.Marker", dictionary={"Organization": "two"})
            found = folder.get_user_configuration("Sync.Marker")
            assert found.dictionary == {"Organization": "two"}
            with pytest.raises(errors.ErrorItemSave):
                folder.create_user_configuration("Sync.Marker", dictionary={})
        assert list(ada.calendar.sync_items()) == []


class TestFailing:
    def contacts(self, sandbox, ada, count: int = 3) -> list[Contact]:
        for number in range(count):
            sandbox.exchange.add(ADA, "Contact", given_name=str(number))
        return list(ada.contacts.all().order_by("given_name"))

    @pytest.mark.parametrize("operation", ["CreateItem", "UpdateItem"])
    def test_the_answer_is_lost_and_the_work_is_done(self, sandbox, operation):
        ada = client(sandbox)
        (found,) = self.contacts(sandbox, ada, 1)
        sandbox.faults.add(lost_answer(operation))
        found.job_title = "Buyer"
        new = Contact(account=ada, folder=ada.contacts, display_name="New")
        with pytest.raises(errors.TransportError):
            new.save() if operation == "CreateItem" else found.save(update_fields=["job_title"])
        stored = sandbox.exchange.items(ADA, "contacts")
        assert [one.text("JobTitle") or one.text("DisplayName") for one in stored] == (
            ["0", "New"] if operation == "CreateItem" else ["Buyer"]
        )

    def test_one_of_a_batch_is_refused(self, sandbox):
        ada = client(sandbox)
        found = self.contacts(sandbox, ada)
        sandbox.faults.add(refuse("ErrorItemCorrupt", "UpdateItem", position=1))
        for one in found:
            one.job_title = "Buyer"
        results = ada.bulk_update([(one, ["job_title"]) for one in found])
        assert [isinstance(one, errors.ErrorItemCorrupt) for one in results] == [False, True, False]
        stored = sandbox.exchange.items(ADA, "contacts")
        assert [one.text("JobTitle") for one in stored] == ["Buyer", "", "Buyer"]

    def test_a_conflict_on_request(self, sandbox):
        (found,) = self.contacts(sandbox, client(sandbox), 1)
        sandbox.faults.add(conflict())
        found.job_title = "Buyer"
        with pytest.raises(errors.ErrorIrresolvableConflict):
            found.save(update_fields=["job_title"], conflict_resolution="AlwaysOverwrite")

    def test_a_lost_state_gives_everything_again(self, sandbox):
        ada = client(sandbox)
        self.contacts(sandbox, ada)
        list(ada.contacts.sync_items(only_fields=["display_name"]))
        state = ada.contacts.item_sync_state
        sandbox.exchange.invalidate_sync_states(ADA)
        with pytest.raises(errors.ErrorInvalidSyncStateData):
            list(ada.contacts.sync_items(sync_state=state))
        sandbox.exchange.quirks = Quirks(silent_sync_restart=True)
        again = list(ada.contacts.sync_items(sync_state=state, only_fields=["display_name"]))
        assert [kind for kind, _ in again] == ["create"] * 3

    def test_throttling_tells_how_long(self, sandbox):
        ada = client(sandbox)
        ada.tasks.refresh()
        sandbox.faults.add(busy("CreateItem", back_off_milliseconds=2000))
        with pytest.raises(errors.ErrorServerBusy) as refused:
            Task(account=ada, folder=ada.tasks, subject="x").save()
        assert refused.value.back_off == 2


class TestByHand:
    def test_every_pattern_is_written_as_it_is_read(self, sandbox):
        start = date(2030, 3, 4)
        for number, recurrence in enumerate(
            [
                Recurrence(pattern=Pattern.DAILY, start=start, interval=2),
                Recurrence(
                    pattern=Pattern.WEEKLY, start=start, days=frozenset({Weekday.MONDAY}), count=3
                ),
                Recurrence(pattern=Pattern.MONTHLY, start=start, day_of_month=4, until=start),
                Recurrence(
                    pattern=Pattern.YEARLY, start=start, nth=Nth.FIRST, month=3,
                    days=frozenset(Weekday(day) for day in range(5)),
                ),
            ]
        ):  # fmt: skip
            made = sandbox.exchange.add(
                ADA, "CalendarItem", subject=str(number), start=NINE, end=NINE + HOUR,
                start_time_zone="Europe/Berlin", recurrence=recurrence,
            )  # fmt: skip
            assert series_of(made.element).recurrence == recurrence

    def test_every_so_many_years_are_so_many_months(self, sandbox):
        leap = Recurrence(
            pattern=Pattern.YEARLY, start=NINE.date(), interval=4, month=2, day_of_month=29, count=2
        )
        made = sandbox.exchange.add(
            ADA, "CalendarItem", start=NINE, end=NINE + HOUR, recurrence=leap
        )
        found = [sandbox.exchange.occurrence(made, index).text("Start") for index in (1, 2)]
        assert found == ["2034-02-28T09:00:00Z", "2038-02-28T09:00:00Z"]

    def test_series_count_as_busy(self, sandbox):
        daily = Recurrence(pattern=Pattern.DAILY, start=NINE.date(), count=3)
        sandbox.exchange.add(ADA, "CalendarItem", start=NINE, end=NINE + HOUR, recurrence=daily)
        ada = client(sandbox)
        start, end = (EWSDateTime(2030, 3, day, 0, tzinfo=ada.default_timezone) for day in (5, 9))
        asked = ada.protocol.get_free_busy_info([(ada, "Organizer", False)], start=start, end=end)
        view = only(asked)
        assert [event.start for event in view.calendar_events] == [NINE + DAY, NINE + 2 * DAY]

    def test_what_meetings_send_can_be_asked_for_from_outside(self, sandbox):
        exchange = sandbox.exchange
        made = exchange.add(
            ADA, "CalendarItem", subject="Review", start=NINE, end=NINE + HOUR,
            required_attendees=[BEN], tell=True,
        )  # fmt: skip
        exchange.answer(only(exchange.items(BEN, "calendar")), "Accept")
        exchange.change(exchange.again(made), start=NINE + DAY, end=NINE + DAY + HOUR, tell=True)
        exchange.delete(exchange.again(made), tell=True)
        with Switchboard(sandbox) as switchboard:
            told = ask(switchboard.port, do="meeting_mail")["mail"]
        assert [(one["kind"], one["recipient"], one["sequence"]) for one in told] == [
            ("request", BEN, 0), ("response", ADA, 0), ("update", BEN, 1), ("cancellation", BEN, 2),
        ]  # fmt: skip
        assert len(exchange.meeting_mail(kind="request", recipient=BEN)) == 1
        assert exchange.items(ADA, "calendar") == []


class TestSchema:
    """What a server refuses as a whole, so that nothing of a request is done."""

    def create(self, sandbox, *contacts: str) -> bytes:
        return ask_raw(
            sandbox,
            f'<m:CreateItem MessageDisposition="SaveOnly"><m:Items>{"".join(contacts)}</m:Items>'
            "</m:CreateItem>",
        )

    def test_elements_have_an_order(self, sandbox):
        good = "<t:Contact><t:GivenName>1</t:GivenName><t:Surname>2</t:Surname></t:Contact>"
        bad = "<t:Contact><t:Surname>2</t:Surname><t:GivenName>1</t:GivenName></t:Contact>"
        assert b"ErrorSchemaValidation" in self.create(sandbox, good, bad)
        assert sandbox.exchange.items(ADA, "contacts") == []
        assert b"NoError" in self.create(sandbox, good)

    def test_words_are_of_a_list(self, sandbox):
        contact = "<t:Contact><t:Importance>Utmost</t:Importance></t:Contact>"
        assert b"ErrorSchemaValidation" in self.create(sandbox, contact)

    def test_one_that_is_refused_leaves_the_others(self, sandbox):
        good = "<t:Contact><t:GivenName>1</t:GivenName></t:Contact>"
        read_only = "<t:Contact><t:Notes>x</t:Notes></t:Contact>"
        answer = self.create(sandbox, good, read_only, good)
        assert (answer.count(b"NoError"), answer.count(b">ErrorInvalidPropertySet<")) == (2, 1)
        assert len(sandbox.exchange.items(ADA, "contacts")) == 2


def ask_raw(sandbox, body: str) -> bytes:
    space = "http://schemas.microsoft.com/exchange/services/2006"
    envelope = (
        f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:t="{space}/types"'
        f' xmlns:m="{space}/messages"><s:Header><t:RequestServerVersion Version="Exchange2013"/>'
        f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )
    answer = requests.post(
        sandbox.exchange.url,
        data=envelope.encode(),
        auth=(ADA, PASSWORD),
        verify=str(sandbox.folder / "trusted.pem"),
        headers={"Content-Type": "text/xml; charset=utf-8"},
        timeout=10,
    )
    return answer.content
