"""Meetings between accounts of the sandbox's Exchange server, and with people outside."""

from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage

import pytest
from exchangelib import CalendarItem, EWSDate, EWSDateTime, EWSTimeZone, errors
from exchangelib.recurrence import DailyPattern, Recurrence

from serversync.sandbox.ews.faults import refuse
from serversync.sandbox.servers import running_sandbox
from tests.integration.serversync.ews_clients import ADA, BEN, client, fresh_accounts

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

CLEO = "cleo@exchange.example"
RITA = "rita@customer.example"
BERLIN = EWSTimeZone("Europe/Berlin")
ALL, CHANGED, NOBODY = "SendToAllAndSaveCopy", "SendOnlyToChanged", "SendToNone"


@pytest.fixture(scope="module")
def server():
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server, monkeypatch):
    with fresh_accounts(server, monkeypatch, ADA, BEN, CLEO) as fresh:
        yield fresh


def at(day: int, hour: int) -> EWSDateTime:
    return EWSDateTime(2030, 10, day, hour, tzinfo=BERLIN)


def meeting(ada, *required: str, tell: str = ALL, **fields) -> CalendarItem:
    values = {
        "subject": "Review",
        "body": "Bring the plan.",
        "location": "Room 1",
        "start": at(21, 9),
        "end": at(21, 10),
        "required_attendees": list(required or (BEN,)),
        **fields,
    }
    made = CalendarItem(account=ada, folder=ada.calendar, **values)
    saved = made.save(send_meeting_invitations=tell)
    return ada.calendar.get(id=saved.id)


def series(ada, *required: str) -> CalendarItem:
    recurrence = Recurrence(pattern=DailyPattern(interval=1), start=EWSDate(2030, 10, 21), number=5)
    return meeting(ada, *required, recurrence=recurrence)


@pytest.fixture
def mail(sandbox):
    """What meetings have sent since this was asked last: kind, sender, recipient, sequence."""
    seen = 0

    def fresh() -> list[tuple[str, str, str, int]]:
        nonlocal seen
        found = sandbox.exchange.store.meeting_mail()[seen:]
        seen += len(found)
        return [(one.kind, one.sender, one.recipient, one.sequence) for one in found]

    return fresh


def change(item: CalendarItem, tell: str = ALL, **fields) -> CalendarItem:
    item.refresh()
    for name, value in fields.items():
        setattr(item, name, value)
    item.save(update_fields=list(fields), send_meeting_invitations=tell)
    return item.refresh()


def only(items):
    (item,) = items
    return item


def entry(sandbox, address: str) -> CalendarItem:
    return only(client(sandbox, address).calendar.all())


def newest(sandbox, address: str):
    return next(iter(client(sandbox, address).inbox.all()))


def calendar_of(mime: bytes) -> str:
    parts = message_from_bytes(mime).walk()
    part = only(part for part in parts if part.get_content_type() == "text/calendar")
    return part.get_payload(decode=True).decode()


def answers(item: CalendarItem) -> dict[str, str]:
    item.refresh()
    people = [*(item.required_attendees or []), *(item.optional_attendees or [])]
    return {one.mailbox.email_address: one.response_type for one in people}


class TestInviting:
    def test_whoever_is_invited_has_a_request_and_a_tentative_item(self, sandbox, mail):
        ada = client(sandbox)
        made = meeting(ada, optional_attendees=[CLEO])
        assert (made.is_meeting, made.meeting_request_was_sent) == (True, True)
        assert (made.my_response_type, made.appointment_sequence_number) == ("Organizer", 0)
        assert answers(made) == {BEN: "Unknown", CLEO: "Unknown"}
        for address in (BEN, CLEO):
            found = entry(sandbox, address)
            assert (found.uid, found.start, found.location) == (made.uid, made.start, "Room 1")
            assert found.organizer.email_address == ADA
            assert found.my_response_type == "NoResponseReceived"
            assert found.legacy_free_busy_status == "Tentative"
            request = only(client(sandbox, address).inbox.all())
            assert type(request).__name__ == "MeetingRequest"
            assert request.meeting_request_type == "NewMeetingRequest"
            assert request.associated_calendar_item_id.id == found.id
            assert b"METHOD:REQUEST" in request.mime_content
        assert mail() == [("request", ADA, BEN, 0), ("request", ADA, CLEO, 0)]
        assert only(ada.sent.all()).subject == "Review"
        assert sandbox.sent == []

    def test_nobody_hears_of_what_is_told_to_nobody(self, sandbox, mail):
        ada = client(sandbox)
        made = meeting(ada, tell=NOBODY)
        assert (made.is_meeting, made.meeting_request_was_sent, made.is_draft) == (
            True, False, True,
        )  # fmt: skip
        change(made, tell=NOBODY, subject="Other")
        made.delete(send_meeting_cancellations=NOBODY)
        assert mail() == []
        assert client(sandbox, BEN).calendar.all().count() == 0

    def test_a_refused_request_invites_nobody(self, sandbox, mail):
        sandbox.faults.add(refuse("ErrorQuotaExceeded", "CreateItem"))
        with pytest.raises(errors.ErrorQuotaExceeded):
            meeting(client(sandbox))
        assert mail() == []

    def test_people_outside_get_it_as_icalendar(self, sandbox, mail):
        made = series(client(sandbox), RITA)
        ((sender, recipients, mime),) = sandbox.sent
        assert (sender, recipients) == (ADA, (RITA,))
        lines = calendar_of(mime).split("\r\n")
        assert "METHOD:REQUEST" in lines
        assert f"UID:{made.uid}" in "\r\n".join(lines).replace("\r\n ", "")
        assert "DTSTART;TZID=Europe/Berlin:20301021T090000" in lines
        assert "RRULE:FREQ=DAILY;INTERVAL=1;COUNT=5" in lines
        assert "DTSTART:20301027T030000" in lines  # the clocks go back
        made.delete(send_meeting_cancellations="SendOnlyToAll")
        assert b"METHOD:CANCEL" in sandbox.sent[1][2]
        assert mail() == [("request", ADA, RITA, 0), ("cancellation", ADA, RITA, 1)]

    def test_a_uid_may_be_of_another_system(self, sandbox):
        made = meeting(client(sandbox), uid="<ä&b>@other")
        assert entry(sandbox, BEN).uid == "<ä&b>@other"
        entry(sandbox, BEN).accept()
        assert answers(made) == {BEN: "Accept"}

    def test_a_list_invites_its_members_once(self, sandbox, mail):
        sandbox.exchange.add_account("team@exchange.example", "x", members=[BEN, CLEO, ADA])
        meeting(client(sandbox), "team@exchange.example", BEN)
        assert [row[2] for row in mail()] == [BEN, CLEO, ADA]
        assert entry(sandbox, ADA).my_response_type == "Organizer"


class TestChanging:
    def test_another_time_is_another_version_to_be_answered_again(self, sandbox, mail):
        made = meeting(client(sandbox))
        entry(sandbox, BEN).accept()
        assert answers(made) == {BEN: "Accept"}
        mail()
        change(made, start=at(22, 9), end=at(22, 10))
        assert made.appointment_sequence_number == 1
        assert answers(made) == {BEN: "Unknown"}
        assert mail() == [("update", ADA, BEN, 1)]
        found = entry(sandbox, BEN)
        assert (found.start, found.my_response_type) == (at(22, 9), "NoResponseReceived")

    def test_other_words_keep_the_answers(self, sandbox):
        made = meeting(client(sandbox))
        entry(sandbox, BEN).accept()
        change(made, subject="Final review")
        found = entry(sandbox, BEN)
        assert (found.subject, found.my_response_type) == ("Final review", "Accept")
        assert answers(made) == {BEN: "Accept"}
        update = newest(sandbox, BEN)
        assert update.meeting_request_type == "InformationalUpdate"

    def test_only_those_who_were_added_or_removed_hear_of_it(self, sandbox, mail):
        made = meeting(client(sandbox), BEN)
        mail()
        change(made, tell=CHANGED, required_attendees=[CLEO, RITA])
        assert mail() == [
            ("cancellation", ADA, BEN, 0), ("request", ADA, CLEO, 0), ("request", ADA, RITA, 0),
        ]  # fmt: skip
        assert entry(sandbox, BEN).subject == "Canceled: Review"
        change(made, tell=CHANGED, location="Room 2")
        assert mail() == []

    def test_whoever_was_left_out_before_is_invited_not_updated(self, sandbox, mail):
        made = meeting(client(sandbox), tell=NOBODY)
        change(made, subject="Now for all")
        assert mail() == [("request", ADA, BEN, 0)]
        assert made.meeting_request_was_sent
        change(made, subject="Again for all")
        assert mail() == [("update", ADA, BEN, 0)]

    def test_what_attendees_change_stays_with_them(self, sandbox, mail):
        made = meeting(client(sandbox))
        mail()
        found = change(entry(sandbox, BEN), start=at(23, 9), end=at(23, 10), categories=["Red"])
        assert mail() == []
        assert made.refresh().start == at(21, 9)
        change(made, location="Room 2")
        assert found.refresh().start == at(21, 9)
        assert found.categories == ["Red"]

    def test_each_sees_it_in_the_changes_of_the_calendar(self, sandbox):
        made = meeting(client(sandbox))
        ben = client(sandbox, BEN)
        assert [one[0] for one in ben.calendar.sync_items(only_fields=["subject"])] == ["create"]
        change(made, location="Room 2")
        state = ben.calendar.item_sync_state
        assert [one[0] for one in ben.calendar.sync_items(sync_state=state)] == ["update"]


class TestCancelling:
    def test_deleting_calls_it_off(self, sandbox, mail):
        ada = client(sandbox)
        made = meeting(ada)
        mail()
        made.delete(send_meeting_cancellations=ALL)
        assert mail() == [("cancellation", ADA, BEN, 1)]
        found = entry(sandbox, BEN)
        assert (found.is_cancelled, found.subject) == (True, "Canceled: Review")
        assert found.legacy_free_busy_status == "Free"
        notice = newest(sandbox, BEN)
        assert type(notice).__name__ == "MeetingCancellation"
        with pytest.raises(errors.ErrorCalendarIsCancelledForAccept):
            found.accept()

    def test_what_lies_in_the_bin_is_told_to_nobody(self, sandbox):
        ada = client(sandbox)
        made = meeting(ada)
        made.move(ada.trash)
        made.subject = "Other"
        with pytest.raises(errors.ErrorCalendarCannotUpdateDeletedItem):
            made.save(update_fields=["subject"], send_meeting_invitations=ALL)
        made.save(update_fields=["subject"], send_meeting_invitations=NOBODY)

    def test_cancelling_says_why_and_deletes(self, sandbox):
        ada = client(sandbox)
        meeting(ada).cancel(new_body="Nobody has time.")
        assert ada.calendar.all().count() == 0
        assert only(ada.trash.all()).subject == "Review"
        notice = newest(sandbox, BEN)
        assert notice.text_body == "Nobody has time."
        with pytest.raises(errors.ErrorCalendarIsNotOrganizer):
            entry(sandbox, BEN).cancel()


class TestAnswering:
    @pytest.mark.parametrize(
        ("act", "answer", "prefix"),
        [
            ("accept", "Accept", "Accepted"),
            ("tentatively_accept", "Tentative", "Tentative"),
            ("decline", "Decline", "Declined"),
        ],
    )
    def test_the_organizer_learns_of_it(self, sandbox, mail, act, answer, prefix):
        ada, ben = client(sandbox), client(sandbox, BEN)
        made = meeting(ada)
        mail()
        getattr(only(ben.inbox.all()), act)(body="Fine.")
        assert answers(made) == {BEN: answer}
        assert made.required_attendees[0].last_response_time
        told = only(ada.inbox.all())
        assert (type(told).__name__, told.subject) == ("MeetingResponse", f"{prefix}: Review")
        assert (told.response_type, told.text_body) == (answer, "Fine.")
        assert mail() == [("response", BEN, ADA, 0)]
        assert ben.inbox.all().count() == 0  # the request went to the bin
        if answer == "Decline":
            assert ben.calendar.all().count() == 0
        else:
            found = entry(sandbox, BEN)
            assert found.my_response_type == answer
            assert found.appointment_reply_time

    def test_nobody_answers_oneself(self, sandbox):
        with pytest.raises(errors.ErrorCalendarIsOrganizerForAccept):
            meeting(client(sandbox)).accept()

    def test_an_answer_may_stay_unsent(self, sandbox, mail):
        made = meeting(client(sandbox))
        mail()
        found = entry(sandbox, BEN)
        found.accept(message_disposition="SaveOnly", folder=found.account.drafts)
        assert mail() == []
        assert answers(made) == {BEN: "Unknown"}

    def test_an_organizer_may_not_want_answers(self, sandbox, mail):
        made = meeting(client(sandbox), is_response_requested=False)
        mail()
        entry(sandbox, BEN).accept()
        assert mail() == []
        assert answers(made) == {BEN: "Unknown"}

    def test_deleting_with_word_to_others_declines(self, sandbox, mail):
        made = meeting(client(sandbox))
        mail()
        entry(sandbox, BEN).delete(send_meeting_cancellations="SendOnlyToAll")
        assert mail() == [("response", BEN, ADA, 0)]
        assert answers(made) == {BEN: "Decline"}


class TestSeries:
    def test_one_invitation_brings_the_series(self, sandbox, mail):
        ada = client(sandbox)
        made = series(ada)
        assert mail() == [("request", ADA, BEN, 0)]
        found = entry(sandbox, BEN)
        assert (found.type, found.recurrence) == ("RecurringMaster", made.recurrence)
        assert (made.is_recurring, found.is_recurring) == (False, True)  # so it is documented

    def test_one_occurrence_is_changed_for_all(self, sandbox, mail):
        made = series(client(sandbox))
        mail()
        change(made.occurrence(2), start=at(22, 14), end=at(22, 15))
        assert mail() == [("update", ADA, BEN, 1)]
        found = entry(sandbox, BEN)
        (moved,) = found.modified_occurrences
        assert (moved.start, moved.original_start) == (at(22, 14), at(22, 9))
        assert found.start == at(21, 9)

    def test_one_occurrence_is_called_off(self, sandbox, mail):
        made = series(client(sandbox))
        mail()
        made.occurrence(3).delete(send_meeting_cancellations=ALL)
        assert mail() == [("cancellation", ADA, BEN, 1)]
        third = entry(sandbox, BEN).occurrence(3).refresh()
        assert (third.is_cancelled, third.subject) == (True, "Canceled: Review")
        assert [one.start for one in made.refresh().deleted_occurrences] == [at(23, 9)]
        assert not entry(sandbox, BEN).is_cancelled

    def test_whoever_is_invited_to_one_has_that_one_alone(self, sandbox, mail):
        made = series(client(sandbox))
        mail()
        second = made.occurrence(2).refresh()
        change(second, tell=CHANGED, required_attendees=[BEN, CLEO])
        assert mail() == [("request", ADA, CLEO, 0)]
        found = entry(sandbox, CLEO)
        assert (found.type, found.start, found.uid) == ("Single", at(22, 9), made.uid)
        assert found.recurrence_id == at(22, 9)

    def test_whoever_comes_later_sees_what_is_special(self, sandbox):
        made = series(client(sandbox))
        made.occurrence(1).delete(send_meeting_cancellations=ALL)
        change(made.occurrence(2), subject="Special", categories=["Private"])
        change(made, tell=CHANGED, required_attendees=[BEN, CLEO])
        cleo = client(sandbox, CLEO)
        found = list(cleo.calendar.view(start=at(1, 0), end=at(31, 0)))
        assert [one.subject for one in found] == ["Special", "Review", "Review", "Review"]
        assert not found[0].categories

    def test_one_occurrence_is_answered(self, sandbox):
        made = series(client(sandbox))
        entry(sandbox, BEN).occurrence(2).refresh().decline()
        assert answers(made) == {BEN: "Unknown"}
        assert answers(made.occurrence(2)) == {BEN: "Decline"}
        ben = client(sandbox, BEN)
        assert len(list(ben.calendar.view(start=at(1, 0), end=at(31, 0)))) == 4

    def test_another_pattern_starts_it_anew_for_all(self, sandbox):
        made = series(client(sandbox))
        made.occurrence(1).delete(send_meeting_cancellations=ALL)
        change(made, start=at(21, 10), end=at(21, 11))
        ben = client(sandbox, BEN)
        found = list(ben.calendar.view(start=at(1, 0), end=at(31, 0)))
        assert [one.start for one in found] == [
            at(21, 10) + timedelta(days=day) for day in range(5)
        ]
        assert {one.subject for one in found} == {"Review"}


CALENDAR = """BEGIN:VCALENDAR
METHOD:{method}
BEGIN:VEVENT
UID:{uid}
DTSTART;TZID=Europe/Berlin:20301021T090000
DTEND;TZID=Europe/Berlin:20301021T093000
RRULE:FREQ=MONTHLY;BYDAY=3MO;COUNT=4
SUMMARY:Visit
SEQUENCE:{sequence}
ORGANIZER;CN="Rita":mailto:{rita}
ATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT={status}:mailto:{who}
END:VEVENT
END:VCALENDAR
"""


def from_outside(sandbox, method: str, **values: object) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = RITA, ADA, "Visit"
    message.set_content("See the calendar.")
    filled = {
        "uid": "visit@customer",
        "sequence": 0,
        "status": "NEEDS-ACTION",
        "who": ADA,
        **values,
    }
    calendar = CALENDAR.format(method=method, rita=RITA, **filled).replace("\n", "\r\n")
    message.add_alternative(calendar, subtype="calendar", params={"method": method})
    sandbox.accept_mail(RITA, [ADA], message.as_bytes())


class TestOutside:
    def test_an_invitation_from_there_is_entered_and_answered(self, sandbox, mail):
        from_outside(sandbox, "REQUEST")
        found = entry(sandbox, ADA)
        assert (found.subject, found.start, found.duration) == (
            "Visit",
            at(21, 9),
            "PT30M",
        )
        assert found.organizer.email_address == RITA
        assert (found.my_response_type, found.type) == ("NoResponseReceived", "RecurringMaster")
        assert found.last_occurrence.start.astimezone(BERLIN).date() == EWSDate(2031, 1, 20)
        found.accept()
        assert mail() == [("response", ADA, RITA, 0)]
        assert "PARTSTAT=ACCEPTED" in calendar_of(sandbox.sent[-1][2])

    def test_a_cancellation_from_there_marks_it(self, sandbox):
        from_outside(sandbox, "REQUEST")
        from_outside(sandbox, "CANCEL", sequence=1)
        assert entry(sandbox, ADA).is_cancelled

    def test_an_older_invitation_changes_nothing(self, sandbox):
        from_outside(sandbox, "REQUEST", sequence=2)
        before = entry(sandbox, ADA).changekey
        from_outside(sandbox, "REQUEST", sequence=1)
        assert entry(sandbox, ADA).changekey == before

    def test_an_answer_from_there_is_noted(self, sandbox):
        made = meeting(client(sandbox), RITA)
        from_outside(sandbox, "REPLY", uid=made.uid, status="DECLINED", who=RITA)
        assert answers(made) == {RITA: "Decline"}
        assert newest(sandbox, ADA).response_type == "Decline"

    def test_what_cannot_be_read_arrives_as_mail_alone(self, sandbox):
        from_outside(sandbox, "REQUEST", sequence="soon")
        ada = client(sandbox)
        assert (ada.inbox.all().count(), ada.calendar.all().count()) == (1, 0)
