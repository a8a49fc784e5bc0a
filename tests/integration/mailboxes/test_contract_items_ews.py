"""The contract of appointments, contacts and tasks over the sandbox's Exchange server. Round trips are counted, for
every one costs each mailbox each time."""

import dataclasses
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lxml import etree

from mailboxes.protocols.base import AdapterOptions, Authentication, Credentials
from mailboxes.protocols.errors import (
    ActionRefused,
    ConnectionForbidden,
    ExchangeBusy,
    FolderMissing,
    MessageDeferred,
    MessageError,
    MessageGone,
    MessageUnreadable,
    ServerError,
)
from mailboxes.protocols.ews import transport
from mailboxes.protocols.ews.items import marking, zones
from mailboxes.protocols.ews.items.adapter import ExchangeItems
from mailboxes.protocols.ews.settings import Access, Endpoint, ExchangeSettings
from mailboxes.protocols.items import (
    CALENDAR,
    CONTACTS,
    TASKS,
    Answer,
    Change,
    Deletion,
    Draft,
    ItemFile,
    ItemKind,
    Marker,
    Outcome,
    Person,
    Response,
    ShowAs,
    Tell,
)
from mailboxes.recurrence import first_day
from serversync.sandbox.certificates import load_authority, server_context
from serversync.sandbox.ews.exchange import Exchange
from serversync.sandbox.ews.faults import busy, http_status, lost_answer, refuse, soap_fault
from serversync.sandbox.ews.paths import CLASS_OF_TAG
from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.ews.soap import T
from serversync.sandbox.ews.store import Attachment, NewItem
from serversync.sandbox.ews.versions import Edition
from serversync.sandbox.faults import Fault, Faults, Kind
from tests.contracts.items import (
    INVITING,
    MEETING,
    MONDAY,
    SAMPLES,
    ItemsContract,
    change,
    draft,
    everything,
    made,
    whole,
)
from tests.items import KEPT_IN_STEP, fields_of

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

PASSWORD = "a-long-secret"
PLACES = {CALENDAR: "calendar", CONTACTS: "contacts", TASKS: "tasks"}


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    server = Exchange(
        path=None,
        faults=Faults(),
        accept_mail=lambda _sender, _recipients, _mime: None,
        tls=server_context(load_authority(folder), folder),
        allow_plain_login=True,
    )
    server.start({})
    yield server
    server.stop()


class Site:
    """A mailbox of its own on the server, whom it mailed, and adapters that reach it."""

    password = PASSWORD
    numbers = itertools.count(1)

    def __init__(self, exchange):
        self.exchange = exchange
        self.address = f"ada{next(self.numbers)}@example.com"
        self.sent = []
        exchange.site.accept_mail = lambda _sender, recipients, mime: self.sent.append(
            (recipients, mime)
        )
        exchange.quirks = Quirks()
        self.guid = exchange.add_account(self.address, PASSWORD).guid
        exchange.requests.clear()
        self.servers = []
        url = exchange.plain_url
        self.settings = ExchangeSettings(
            address=self.address,
            access=Access.OWN,
            authentication=Authentication.BASIC,
            credentials=Credentials(self.address, PASSWORD),
            url=url,
            found=Endpoint(url, datetime.now(UTC), "Exchange2016", self.address, "basic"),
            timeout_seconds=10,
            allow_plain=True,
            allow_plain_login=True,
        )

    def stop(self):
        for server in self.servers:
            server.close()
        self.exchange.faults.clear()

    def differ(self, **quirks):
        self.exchange.quirks = dataclasses.replace(self.exchange.quirks, **quirks)

    def asked(self):
        """Names of the operations since the last time."""
        operations = [request.operation for request in self.exchange.requests]
        self.exchange.requests.clear()
        return operations

    # -- what the contract needs

    def server(self, **options):
        self.servers.append(ExchangeItems(self.settings, AdapterOptions(**options)))
        return self.servers[-1]

    def mails(self):
        return sum(len(recipients) for recipients, _mime in self.sent)

    def copy(self, id):
        item = self.exchange.item(id)
        folder = self.exchange.store.folder(item.folder)
        return self.exchange.store.copy_item(item, folder).remote_id

    def move(self, id, folder):
        item = self.exchange.item(id)
        target = next(
            each
            for each in self.exchange.store.folders(item.account)
            if each.remote_id == folder or each.distinguished == PLACES.get(folder)
        )
        return self.exchange.store.move_item(item, target, keep_id=False).remote_id

    def add_folder(self, name):
        calendar = self.exchange.folder(self.address, "calendar")
        store = self.exchange.store
        number = store.add_folder(calendar.account, calendar.id, name, "IPF.Appointment")
        return store.folder(number).remote_id

    def add_other(self):
        item = NewItem(
            tag="DistributionList",
            item_class=CLASS_OF_TAG["DistributionList"][0],
            element=etree.Element(f"{T}DistributionList"),
        )
        self.exchange.store.add_item(self.exchange.folder(self.address, "contacts"), item)

    def deleted(self):
        return len(self.exchange.items(self.address, "deleteditems"))

    def forget_cursors(self):
        self.exchange.invalidate_sync_states(self.address)


@pytest.fixture
def account(exchange):
    site = Site(exchange)
    yield site
    site.stop()


class TestExchangeItems(ItemsContract):
    @pytest.fixture
    def account(self, account):
        return account


@pytest.fixture
def server(account):
    server = account.server().open()
    account.asked()
    return server


def tasks(count, **fields):
    return [draft(ItemKind.TASK, f"link-{number}", subject=str(number)) for number in range(count)]


def outcomes(written):
    return [each.outcome for each in written]


# -- everything that a field may hold --------------------------------------------------------------


@pytest.mark.parametrize("kind", list(ItemKind))
@settings(
    max_examples=3,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_what_is_created_and_changed_is_read(server, kind, data):
    first = data.draw(st.lists(kept(kind), min_size=1, max_size=4))
    written = server.create([Draft(SAMPLES[kind][0], kind, each, "") for each in first])
    assert outcomes(written) == [Outcome.DONE] * len(first)
    second = [data.draw(kept(kind)) for _ in first]
    orders = [change(each, kind, **new) for each, new in zip(written, second, strict=True)]
    assert outcomes(server.update(orders)) == [Outcome.DONE] * len(first)
    fetched = server.fetch([each.id for each in written])
    for before, new, found in zip(first, second, fetched, strict=True):
        expected = {**before, **new}
        assert {name: found.item.fields[name] for name in expected} == expected


def kept(kind):
    """What this server keeps as it is: what hangs together has tests of its own."""
    return fields_of(kind).map(at_ease).filter(lambda fields: fields is not None)


def at_ease(fields):
    """A series begins with its first occurrence, which ends before the next; a due date isn't made of the start, nor a
    name of its parts."""
    fields = {name: each for name, each in fields.items() if name not in KEPT_IN_STEP}
    if "start" in fields:
        fields["due"] = fields["start"]
    for name in ("display_name", "file_as"):
        if not fields.get(name):
            fields.pop(name, None)
    if "recurrence" not in fields:
        return fields
    day = first_day(fields["recurrence"])
    return None if day is None else {**fields, **beginning_on(day, fields)}


def beginning_on(day, fields):
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    when = dataclasses.replace(fields["when"], start=start, end=start + timedelta(days=1))
    if not when.all_day:
        zone = zones.clock(when.zone)
        start = datetime(day.year, day.month, day.day, 9, tzinfo=zone).astimezone(UTC)
        when = dataclasses.replace(when, start=start, end=start + timedelta(minutes=20))
    return {"recurrence": dataclasses.replace(fields["recurrence"], start=day), "when": when}


# -- round trips, counted --------------------------------------------------------------------------


def test_an_idle_folder_and_a_page_of_changes_are_one_request_each(account, server):
    server.create(tasks(20))
    account.asked()
    page = server.changes(TASKS, "", 50)
    assert account.asked() == ["SyncFolderItems"]
    assert len(page.items) == 20
    server.changes(TASKS, page.cursor, 50)
    assert account.asked() == ["SyncFolderItems"]


def test_a_hundred_go_in_one_request(account, server):
    written = server.create([draft(ItemKind.CONTACT, surname=str(n)) for n in range(101)])
    assert account.asked() == ["CreateItem"] * 2
    fetched = list(server.fetch([each.id for each in written]))
    assert [each.item.fields["surname"] for each in fetched] == [str(n) for n in range(101)]
    assert account.asked() == ["GetItem"] * 2
    orders = [change(each, ItemKind.CONTACT, job_title="Clerk") for each in written]
    assert outcomes(server.update(orders)) == [Outcome.DONE] * 101
    assert account.asked() == ["UpdateItem"] * 2
    server.delete([Deletion(each.id, kind=ItemKind.CONTACT) for each in written])
    assert account.asked() == ["DeleteItem"] * 2


def test_changed_occurrences_are_one_request_more(account, server):
    written = [made(server, ItemKind.SERIES) for _ in range(3)]
    for each in written:
        order = Change(each.id, "", ItemKind.SERIES, {"subject": "x"}, original=MONDAY)
        server.update([order])
    account.asked()
    fetched = list(server.fetch([each.id for each in written]))
    assert all(len(each.item.occurrences) == 1 for each in fetched)
    assert account.asked() == ["GetItem", "GetItem"]


def test_telling_goes_alone_and_silence_together(account, server):
    silent = draft(ItemKind.APPOINTMENT)
    loud = draft(ItemKind.APPOINTMENT, tell=Tell.ALL, **INVITING)
    written = server.create([silent, loud, silent, loud, silent])
    assert outcomes(written) == [Outcome.DONE] * 5
    assert account.asked() == ["CreateItem"] * 3
    assert [whole(server, each.id).is_meeting for each in written] == [False, True] * 2 + [False]


def test_the_marker_is_read_by_one_request(account, server):
    server.marker()
    assert account.asked() == ["GetUserConfiguration"]


# -- what became of it -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.DROP_AFTER, Kind.TRUNCATE])
def test_a_lost_answer_is_unknown_and_the_link_tells(account, server, kind):
    account.exchange.faults.add(Fault(kind=kind, protocol="ews", command="CreateItem", times=1))
    (written,) = server.create([draft(ItemKind.APPOINTMENT, "link-1", Tell.ALL, **INVITING)])
    assert written.outcome is Outcome.UNKNOWN
    assert isinstance(written.error, MessageError)
    assert account.asked().count("CreateItem") == 1
    (found,) = server.find(CALENDAR, ["link-1"])
    assert whole(server, found.id).link == "link-1"
    assert account.mails() == 2


@pytest.mark.parametrize("kind", [Kind.DROP, Kind.GARBAGE])
def test_what_was_not_done_and_not_answered_is_unknown_as_well(account, server, kind):
    account.exchange.faults.add(Fault(kind=kind, protocol="ews", command="UpdateItem", times=1))
    written = made(server, ItemKind.TASK)
    (answer,) = server.update([change(written, ItemKind.TASK, subject="New")])
    assert answer.outcome is Outcome.UNKNOWN
    assert account.asked().count("UpdateItem") == 1
    assert whole(server, written.id).fields["subject"] == "Write the report"


def three_requests():
    """Each folder has its own."""
    kinds = (ItemKind.TASK, ItemKind.CONTACT, ItemKind.APPOINTMENT)
    return [draft(kind, f"of-{kind}") for kind in kinds for _ in range(2)]


def test_what_comes_behind_a_lost_answer_is_put_off(account, server):
    account.exchange.faults.add(lost_answer("CreateItem", text="of-contact"))
    written = server.create(three_requests())
    done, unknown, put_off = Outcome.DONE, Outcome.UNKNOWN, Outcome.REFUSED
    assert outcomes(written) == [done] * 2 + [unknown] * 2 + [put_off] * 2
    assert isinstance(written[-1].error, MessageDeferred)
    found = [len(everything(server, folder)) for folder in (TASKS, CONTACTS, CALENDAR)]
    assert found == [2, 2, 0]


def test_nothing_is_known_to_be_unknown_if_nothing_left(account, server):
    server.close()
    account.settings = dataclasses.replace(
        account.settings, found=None, url="http://127.0.0.1:1/EWS/Exchange.asmx"
    )
    with pytest.raises(ServerError):
        account.server().create(tasks(3))


def test_a_busy_server_did_nothing(account, server):
    account.exchange.faults.add(busy("CreateItem", back_off_milliseconds=1500))
    with pytest.raises(ExchangeBusy) as caught:
        server.create(tasks(3))
    assert caught.value.hint_seconds == 1.5
    assert account.asked() == ["CreateItem"]
    assert everything(server, TASKS) == []


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("ErrorItemSave", Outcome.REFUSED),
        ("ErrorAccessDenied", Outcome.REFUSED),
        ("ErrorServerBusy", Outcome.REFUSED),
        ("ErrorQuotaExceeded", Outcome.REFUSED),
        ("ErrorInternalServerError", Outcome.UNKNOWN),
        ("ErrorTimeoutExpired", Outcome.UNKNOWN),
        ("ErrorIrresolvableConflict", Outcome.STALE),
        ("ErrorItemNotFound", Outcome.GONE),
        ("ErrorOfATimeToCome", Outcome.REFUSED),
    ],
)
def test_one_of_a_batch_costs_itself_only(account, server, code, outcome):
    written = server.create(tasks(4))
    account.exchange.faults.add(refuse(code, "UpdateItem", position=1))
    answers = server.update([change(each, ItemKind.TASK, subject="New") for each in written])
    assert outcomes(answers) == [Outcome.DONE, outcome, Outcome.DONE, Outcome.DONE]
    assert (answers[1].error is not None) is (outcome in (Outcome.REFUSED, Outcome.UNKNOWN))
    subjects = [each.item.fields["subject"] for each in server.fetch([e.id for e in written])]
    assert subjects == ["New", "1", "New", "New"]


def test_one_that_spoils_the_request_is_found_by_halving(account, server):
    account.exchange.faults.add(
        dataclasses.replace(
            soap_fault("ErrorSchemaValidation", "CreateItem", times=None), text="link-5<"
        )
    )
    written = server.create(tasks(9))
    assert outcomes(written) == [Outcome.DONE] * 5 + [Outcome.REFUSED] + [Outcome.DONE] * 3
    assert len(everything(server, TASKS)) == 8


def test_a_request_that_is_too_large_goes_in_halves(account, server):
    account.exchange.faults.add(http_status(413, "CreateItem", times=3))
    written = server.create(tasks(8))
    assert outcomes(written) == [Outcome.DONE] * 8
    assert len(everything(server, TASKS)) == 8


@pytest.mark.parametrize(
    ("fault", "error"),
    [(http_status(403, "CreateItem"), ConnectionForbidden), (busy("CreateItem"), ExchangeBusy)],
    ids=["forbidden", "busy"],
)
def test_what_stops_a_later_request_puts_off_the_rest(account, server, fault, error):
    account.exchange.faults.add(dataclasses.replace(fault, text="of-contact"))
    written = server.create(three_requests())
    assert outcomes(written) == [Outcome.DONE] * 2 + [Outcome.REFUSED] * 4
    assert isinstance(written[-1].error.__cause__, error)
    assert account.asked().count("CreateItem") == 2


def test_a_server_that_refuses_all_is_not_asked_for_each(account, server):
    account.exchange.faults.add(soap_fault("ErrorSchemaValidation", "CreateItem", times=None))
    assert outcomes(server.create(tasks(100))) == [Outcome.REFUSED] * 100
    assert len(account.asked()) < 20


def test_a_fault_inside_leaves_it_unknown_and_is_not_asked_again(account, server):
    account.exchange.faults.add(soap_fault("ErrorInternalServerError", "CreateItem"))
    assert outcomes(server.create(tasks(3))) == [Outcome.UNKNOWN] * 3
    assert account.asked() == ["CreateItem"]


def test_an_occurrence_that_never_was_is_refused_and_changes_nothing(account, server):
    written = made(server, ItemKind.SERIES)
    never = MONDAY + timedelta(days=1)
    order = Change(written.id, "", ItemKind.SERIES, {"subject": "x"}, original=never)
    (answer,) = server.update([order])
    assert answer.outcome is Outcome.REFUSED
    assert "UpdateItem" not in account.asked()


@pytest.mark.parametrize("moved", [True, False])
def test_an_occurrence_that_goes_meanwhile_makes_the_series_stale_not_gone(account, server, moved):
    written = made(server, ItemKind.SERIES)
    order = Change(written.id, "", ItemKind.SERIES, {"subject": "x"}, original=MONDAY)
    if moved:
        server.update([order])
    account.exchange.faults.add(refuse("ErrorItemNotFound", "UpdateItem"))
    assert outcomes(server.update([order])) == [Outcome.STALE]
    assert outcomes(server.delete([Deletion(written.id, "", ItemKind.SERIES)])) == [Outcome.DONE]


def test_other_series_at_the_same_time_stay_as_they_are(account, server):
    first, second = made(server, ItemKind.SERIES), made(server, ItemKind.SERIES)
    order = Change(second.id, "", ItemKind.SERIES, {"subject": "x"}, original=MONDAY)
    server.update([order])
    assert whole(server, first.id).occurrences == ()
    assert len(whole(server, second.id).occurrences) == 1


def test_deleting_looks_at_the_version_that_was_decided_upon(account, server):
    first, second = server.create(tasks(2))
    server.update([change(first, ItemKind.TASK, subject="New")])
    orders = [Deletion(each.id, each.version, ItemKind.TASK) for each in (first, second)]
    assert outcomes(server.delete(orders)) == [Outcome.STALE, Outcome.DONE]


def test_calling_off_tells_the_attendees(account, server):
    (written,) = server.create([draft(ItemKind.APPOINTMENT, tell=Tell.ALL, **INVITING)])
    version = whole(server, written.id).version
    order = Deletion(written.id, version, tell=Tell.ALL, cancel_only=True)
    assert outcomes(server.delete([order])) == [Outcome.DONE]
    assert account.mails() == 4


def test_nobody_is_called_off_silently(account, server):
    written = made(server, ItemKind.APPOINTMENT, **INVITING)
    (answer,) = server.delete([Deletion(written.id, written.version, cancel_only=True)])
    assert answer.outcome is Outcome.REFUSED
    assert account.asked().count("CreateItem") == 1


# -- what can't be had -----------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["ErrorItemCorrupt", "ErrorAccessDenied"])
def test_one_that_can_not_be_read_costs_itself_only(account, server, code):
    ids = [each.id for each in server.create(tasks(3))]
    account.exchange.faults.add(refuse(code, "GetItem", position=1))
    fetched = list(server.fetch(ids))
    assert [each.item is None for each in fetched] == [False, True, False]
    assert isinstance(fetched[1].error, MessageUnreadable)


@pytest.mark.parametrize("kind", [Kind.SOAP_FAULT, Kind.DROP, Kind.GARBAGE, Kind.TRUNCATE])
def test_one_that_spoils_every_reading_is_found(account, server, kind):
    ids = [each.id for each in server.create(tasks(6))]
    argument = "ErrorInternalServerError" if kind is Kind.SOAP_FAULT else ""
    account.exchange.faults.add(
        Fault(kind=kind, protocol="ews", command="GetItem", text=ids[3], argument=argument)
    )
    fetched = list(server.fetch(ids))
    assert [each.item is None for each in fetched] == [number == 3 for number in range(6)]
    assert isinstance(fetched[3].error, MessageUnreadable)


def test_a_malformed_id_is_an_error_and_not_gone(account, server):
    account.differ(malformed_id_fails_batch=True, second_answer_after_fault=True)
    ids = [each.id for each in server.create(tasks(3))]
    fetched = list(server.fetch([ids[0], "no id", *ids[1:]]))
    assert [each.item is None for each in fetched] == [False, True, False, False]
    assert fetched[1].error is not None


def test_a_series_of_which_an_exception_is_missing_is_not_whole(account, server):
    written = made(server, ItemKind.SERIES)
    server.update([Change(written.id, "", ItemKind.SERIES, {"subject": "x"}, original=MONDAY)])
    (occurrence,) = whole(server, written.id).occurrences
    account.exchange.faults.add(
        Fault(
            kind=Kind.REFUSE,
            protocol="ews",
            command="GetItem",
            text=occurrence.id,
            argument="ErrorItemCorrupt",
        )
    )
    (fetched,) = server.fetch([written.id])
    assert fetched.item is None
    assert isinstance(fetched.error, MessageUnreadable)


# -- servers differ --------------------------------------------------------------------------------


@pytest.mark.parametrize("edition", [Edition.E2010, Edition.E2013, Edition.ONLINE])
@pytest.mark.parametrize("kind", list(ItemKind))
def test_servers_of_all_ages_keep_what_is_written(account, edition, kind):
    account.differ(edition=edition)
    account.settings = dataclasses.replace(account.settings, found=None)
    server = account.server().open()
    _, sample = SAMPLES[kind]
    written = made(server, kind, "link-1")
    item = whole(server, written.id)
    assert {name: item.fields[name] for name in sample} == sample
    assert [each.id for each in server.find(SAMPLES[kind][0], ["link-1"])] == [written.id]


def test_working_elsewhere_is_free_where_nobody_knows_it(account):
    account.differ(edition=Edition.E2010)
    account.settings = dataclasses.replace(account.settings, found=None)
    server = account.server().open()
    written = made(server, ItemKind.APPOINTMENT, show_as=ShowAs.WORKING_ELSEWHERE)
    assert whole(server, written.id).fields["show_as"] is ShowAs.FREE


def test_searches_that_are_refused_are_done_here(account, server):
    account.differ(refused_restrictions=frozenset({"IsEqualTo", "Or"}))
    task = made(server, ItemKind.TASK, "link-1")
    meeting = made(server, ItemKind.APPOINTMENT)
    contact = made(server, ItemKind.CONTACT)
    made(server, ItemKind.TASK, "link-2")
    assert [each.id for each in server.find(TASKS, ["link-1"])] == [task.id]
    assert [each.id for each in server.find_uids(CALENDAR, [meeting.uid])] == [meeting.id]
    (found,) = server.find_addresses(CONTACTS, ["ada@example.org"])
    assert found.id == contact.id


def test_a_silent_restart_tells_everything_again(account, server):
    account.differ(silent_sync_restart=True)
    server.create(tasks(3))
    cursor = server.changes(TASKS, "", 50).cursor
    account.forget_cursors()
    page = server.changes(TASKS, cursor, 50)
    assert (len(page.items), page.reset) == (3, False)


@pytest.mark.parametrize("digits", [6, 9])
def test_times_with_fractions_are_read(account, server, digits):
    account.differ(fraction_digits=digits)
    item = whole(server, made(server, ItemKind.APPOINTMENT).id)
    assert item.fields["when"] == MEETING["when"]
    assert abs(item.modified_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_deleted_calendar_is_missing_not_emptied(account, server):
    account.differ(sync_ignores_missing_folder=True, missing_folder_property_error=True)
    below = account.add_folder("Travel")
    cursor = server.changes(below, "", 50).cursor
    store = account.exchange.store
    (folder,) = (each for each in store.folders(account.guid) if each.remote_id == below)
    store.remove_folder(folder)
    with pytest.raises(FolderMissing):
        server.changes(below, cursor, 50)


@pytest.mark.parametrize("newest_first", [True, False])
def test_what_comes_twice_in_a_page_is_told_once(account, server, newest_first):
    account.differ(newest_change_first=newest_first)
    written = server.create(tasks(3))
    cursor = server.changes(TASKS, "", 50).cursor
    server.update([change(each, ItemKind.TASK, subject="New") for each in written[:2]])
    server.delete([Deletion(written[2].id, kind=ItemKind.TASK)])
    page = server.changes(TASKS, cursor, 50)
    assert {each.id for each in page.items} == {each.id for each in written[:2]}
    assert page.gone == (written[2].id,)


def test_a_line_that_closes_after_large_requests_loses_nothing(account, server):
    account.differ(closes_after_large_body=True)
    large = [draft(ItemKind.TASK, body="x" * 8000) for _ in range(10)]
    assert outcomes(server.create(large)) == [Outcome.DONE] * 10
    assert outcomes(server.create(large)) == [Outcome.DONE] * 10
    assert len(everything(server, TASKS)) == 20


def test_a_restriction_that_is_too_much_is_done_here(account, server):
    made(server, ItemKind.TASK, "link-1")
    account.exchange.faults.add(refuse("ErrorRestrictionTooComplex", "FindItem"))
    assert len(server.find(TASKS, ["link-1", "link-2"])) == 1


# -- meetings of others ----------------------------------------------------------------------------


def test_who_is_invited_is_no_organizer_and_the_uid_is_the_same(account, server, exchange):
    ben = Site(exchange)
    fields = {**MEETING, "required": (Person(ben.address, "Ben"),)}
    (written,) = server.create([draft(ItemKind.APPOINTMENT, tell=Tell.ALL, **fields)])
    theirs = ben.server().open()
    (listed,) = everything(theirs, CALENDAR)
    item = whole(theirs, listed.id)
    assert listed.uid == item.uid == written.uid
    assert (item.is_meeting, item.is_organizer) == (True, False)
    assert item.fields["organizer"] == Person(account.address)
    assert item.fields["required"] == (Person(ben.address),)
    assert whole(server, written.id).fields["answers"] == (Answer(ben.address, Response.NONE),)
    ben.stop()


def test_the_users_calendar_is_called_so_and_one_below_by_its_id(account, server):
    below = account.add_folder("Travel")
    first = made(server, ItemKind.APPOINTMENT)
    moved = account.move(made(server, ItemKind.APPOINTMENT).id, below)
    server.folders()
    found = [each.item.folder_id for each in server.fetch([first.id, moved])]
    assert found == [CALENDAR, below]


# -- files -----------------------------------------------------------------------------------------


FILE = ItemFile("list.txt", "text/plain", 5, content=b"lists")


@pytest.mark.rule("R6.34")
def test_pictures_inside_the_body_are_no_files_and_messages_are(account, server):
    written = made(server, ItemKind.APPOINTMENT)
    item, store = account.exchange.item(written.id), account.exchange.store
    store.add_attachment(
        item,
        Attachment("FileAttachment", "a.png", b"png", content_type="image/png", is_inline=True),
    )
    mime = b"Subject: inside\r\n\r\nHello.\r\n"
    store.add_attachment(item, Attachment("ItemAttachment", "inside", mime))
    (file,) = server.files(written.id)
    assert (file.name, file.content_type) == ("inside.eml", "message/rfc822")
    assert b"Hello." in file.content


@pytest.mark.rule("R6.34")
def test_what_is_over_the_limit_comes_without_content(account, server):
    written = made(server, ItemKind.APPOINTMENT)
    server.add_files(written.id, written.version, [FILE])
    small = account.server(max_fetch_bytes=4)
    account.asked()
    (file,) = small.files(written.id)
    assert (file.name, file.size, file.content) == ("list.txt", 5, None)
    assert account.asked() == ["GetItem"]


def test_files_of_what_is_gone_can_not_be_had(server):
    written = made(server, ItemKind.APPOINTMENT)
    server.delete([Deletion(written.id)])
    with pytest.raises(MessageGone):
        server.files(written.id)
    assert server.add_files(written.id, written.version, [FILE]).outcome is Outcome.GONE
    assert server.remove_files(written.id, []).outcome is Outcome.GONE


def test_files_are_not_attached_to_another_version(server):
    written = made(server, ItemKind.APPOINTMENT)
    server.update([change(written, ItemKind.APPOINTMENT, subject="New")])
    assert server.add_files(written.id, written.version, [FILE]).outcome is Outcome.STALE
    assert server.files(written.id) == []


def test_the_version_that_attaching_tells_is_the_items(server):
    written = made(server, ItemKind.APPOINTMENT)
    added = server.add_files(written.id, written.version, [FILE, FILE])
    assert added.version == whole(server, written.id).version
    first, second = server.files(written.id)
    left = server.remove_files(written.id, [first.id, first.id])
    assert left.outcome is Outcome.DONE, left
    assert left.version == whole(server, written.id).version
    assert [each.id for each in server.files(written.id)] == [second.id]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (lost_answer("CreateAttachment"), Outcome.UNKNOWN),
        (soap_fault("ErrorInternalServerError", "CreateAttachment"), Outcome.UNKNOWN),
        (soap_fault("ErrorAttachmentSizeLimitExceeded", "CreateAttachment"), Outcome.REFUSED),
        (refuse("ErrorAttachmentSizeLimitExceeded", "CreateAttachment"), Outcome.REFUSED),
        (refuse("ErrorIrresolvableConflict", "CreateAttachment"), Outcome.STALE),
    ],
    ids=lambda value: getattr(value, "argument", "") or getattr(value, "value", ""),
)
def test_what_became_of_a_file_is_told(account, server, fault, outcome):
    written = made(server, ItemKind.APPOINTMENT)
    account.exchange.faults.add(fault)
    account.asked()
    added = server.add_files(written.id, written.version, [FILE])
    assert added.outcome is outcome
    assert account.asked().count("CreateAttachment") == 1


# -- the marker ------------------------------------------------------------------------------------


@pytest.mark.rule("R6.60")
def test_an_account_that_may_not_be_written_takes_no_marker(account, server):
    account.exchange.faults.add(refuse("ErrorAccessDenied", "CreateUserConfiguration"))
    with pytest.raises(ActionRefused):
        server.set_marker(Marker("0f3a"))
    assert server.marker() is None


@pytest.mark.parametrize("content", [b"", b"no xml", b"<organization/>"])
def test_a_marker_that_nobody_can_read_is_none_and_is_replaced(account, server, content):
    calendar = account.exchange.folder(account.address, "calendar")
    account.exchange.store.write_configuration(calendar, marking.NAME, xml=content)
    assert server.marker() is None
    server.set_marker(Marker("0f3a", "Example & Söhne"))
    assert server.marker() == Marker("0f3a", "Example & Söhne")


# -- zones -----------------------------------------------------------------------------------------


@pytest.mark.rule("R6.35")
@pytest.mark.parametrize(
    "zone",
    ["Europe/Vienna", "America/Coyhaique", "Asia/Qostanay", "Antarctica/Troll", "Mars/Phobos", ""],
)
@pytest.mark.parametrize("kind", [ItemKind.APPOINTMENT, ItemKind.SERIES])
def test_a_zone_keeps_its_name_whatever_the_server_calls_it(server, kind, zone):
    when = dataclasses.replace(MEETING["when"], zone=zone)
    written = made(server, kind, when=when)
    assert whole(server, written.id).fields["when"] == when


@pytest.mark.rule("R6.35")
@pytest.mark.parametrize("times", [1, 2])
def test_a_zone_that_the_server_refuses_goes_by_another_and_keeps_its_name(account, server, times):
    account.exchange.faults.add(
        dataclasses.replace(
            refuse("ErrorTimeZone", "CreateItem", times=times), text="=Asia/Qyzylorda"
        )
    )
    when = dataclasses.replace(MEETING["when"], zone="Asia/Qyzylorda")
    written = server.create([draft(ItemKind.APPOINTMENT, when=when)])
    assert outcomes(written) == [Outcome.DONE]
    assert account.asked() == ["CreateItem"] * (times + 1)
    assert whole(server, written[0].id).fields["when"] == when
    zone = account.exchange.item(written[0].id).element.find(f"{T}StartTimeZone").get("Id")
    assert zone != "Qyzylorda Standard Time"
    assert (zone == "UTC") is (times == 2)


@pytest.mark.rule("R6.35")
def test_a_series_keeps_its_wall_time(server):
    written = made(server, ItemKind.SERIES)
    summer = datetime(2031, 4, 7, 7, tzinfo=UTC)  # an hour earlier in UTC
    order = Change(written.id, "", ItemKind.SERIES, {"subject": "x"}, original=summer)
    assert outcomes(server.update([order])) == [Outcome.DONE]
    (exception,) = whole(server, written.id).occurrences
    assert exception.fields["when"].start == summer


# -- bodies ----------------------------------------------------------------------------------------


@pytest.mark.rule("R6.15")
def test_a_body_of_html_is_read_as_text(account, server):
    written = made(server, ItemKind.APPOINTMENT)
    item = account.exchange.item(written.id)
    body = item.element.find(f"{T}Body")
    body.set("BodyType", "HTML")
    body.text = "<p>Bring <b>the list</b>.</p><p>https://meet.example.com/j/1?pwd=a%20b</p>"
    account.exchange.store.change_item(item, paths=["item:Body"])
    text = whole(server, written.id).fields["body"]
    assert "<" not in text
    assert "Bring the list." in text
    assert "https://meet.example.com/j/1?pwd=a%20b" in text


@pytest.mark.rule("R6.36a")
def test_links_to_online_meetings_pass_unchanged(server):
    url = (
        "https://meet.example.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context=%7b%22a%22%7d"
    )
    body = f"Join here:\n{url}\n\nBring the list."
    written = made(server, ItemKind.APPOINTMENT, body=body, online_meeting_url=url)
    fields = whole(server, written.id).fields
    assert (fields["body"], fields["online_meeting_url"]) == (body, url)


# -- manners ---------------------------------------------------------------------------------------


@pytest.mark.rule("R6.62")
@pytest.mark.parametrize("anchored", [True, False])
def test_requests_name_the_mailbox_unless_that_is_switched_off(account, monkeypatch, anchored):
    seen = []
    exchange = transport.Channel.exchange

    def recorded(self, request):
        seen.append(request.headers.get("X-AnchorMailbox"))
        return exchange(self, request)

    monkeypatch.setattr(transport.Channel, "exchange", recorded)
    account.settings = dataclasses.replace(account.settings, anchored=anchored, found=None)
    server = account.server().open()
    server.changes(TASKS, "", 10)
    server.create(tasks(1))
    assert len(seen) >= 3
    assert set(seen) == {account.address if anchored else None}


def test_a_write_over_a_line_that_closed_is_unknown_at_most_once(account, server):
    account.exchange.drop_connections()
    (written,) = server.create(tasks(1))
    assert written.outcome is Outcome.DONE
    assert len(everything(server, TASKS)) == 1
