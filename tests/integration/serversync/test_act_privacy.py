"""What of synchronized pairs, and of private records, nobody learns who may not know it; and what needn't be hidden."""

import re

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from activities.choices import ParticipationType
from activities.models import ActivityParty, ActivityPointer, Appointment, Contact
from mailboxes.choices import Reach
from mailboxes.models import SystemUser, Team
from serversync.act import undo, undoing
from serversync.act.choices import BatchKind, DecisionAnswer, LinkState
from serversync.act.explaining import Because, explain
from serversync.act.stored import side_data
from serversync.act.types import Reason, Side, Table
from serversync.console import actquestions
from serversync.models import ExchangeSyncIdMapping, UserQuery
from tests.factories.act import (
    DELETE,
    MEETING,
    NOW,
    act_mailbox,
    asking,
    batch,
    pair,
    parked,
    revision,
)
from tests.factories.activities import AppointmentFactory, ContactFactory
from tests.factories.clients import signed_in
from tests.factories.filters import asks
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory, group_of
from tests.integration.serversync.acts import works_with_records

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def somebody() -> SystemUser:
    user = act_mailbox(SystemUserFactory()).regarding_user
    works_with_records(user)
    return user


@pytest.fixture
def ada():
    return somebody()


@pytest.fixture
def ben():
    return somebody()


def attends(user, record):
    ActivityParty.objects.create(
        activity=record.activity, participation_type_mask=ParticipationType.REQUIRED_ATTENDEE,
        party_type=ContentType.objects.get_for_model(SystemUser), party_id=str(user.pk),
        address_used=user.internal_email_address,
    )  # fmt: skip


def layoffs(owner, **columns):
    return AppointmentFactory(
        activity__subject="Layoffs", activity__owning_user=owner, location="Clinic",
        description="secret body", **{"is_mapi_private": True} | columns,
    )  # fmt: skip


def shown(user, name, *args, **query) -> str:
    answer = signed_in(user).get(reverse(f"admin:{name}", args=args), query)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


LINK = "serversync_exchangesyncidmapping_change"
LINKS = "serversync_exchangesyncidmapping_changelist"
REVISION = "serversync_syncrevision_change"
REVISIONS = "serversync_syncrevision_changelist"
BATCH = "serversync_parkedbatch_change"


# -- pairs and their history


@pytest.mark.rule("R6.7")
def test_a_pair_shows_no_record_that_was_given_to_somebody_else(ada, ben):
    cleo = ContactFactory(first_name="Cleo", last_name="Old", owning_user=ada)
    base = {"given_name": "Cleo", "surname": "Old"}
    link = pair(ada.default_mailbox, Table.CONTACT, object_id=cleo.pk, base=base)
    Contact.objects.filter(pk=cleo.pk).update(telephone1="+49 30 555")
    assert "+49 30 555" in shown(ada, LINK, link.pk)
    Contact.objects.filter(pk=cleo.pk).update(owning_user=ben)
    page = shown(ada, LINK, link.pk)
    assert "+49 30 555" not in page and "Old" in page  # her own item stays hers


@pytest.mark.rule("R6.36")
def test_a_pair_shows_no_record_that_was_made_private_since(ada, ben):
    meeting = layoffs(ada, is_mapi_private=False)
    ActivityPointer.objects.filter(pk=meeting.pk).update(subject="Plain")
    attends(ben, meeting)
    link = pair(
        ben.default_mailbox, object_id=meeting.pk, base={"subject": "Plain"},
        state=LinkState.UNLINKED,
    )  # fmt: skip
    assert "Clinic" in shown(ben, LINK, link.pk)
    Appointment.objects.filter(pk=meeting.pk).update(is_mapi_private=True)
    ActivityPointer.objects.filter(pk=meeting.pk).update(subject="Layoffs")
    page = shown(ben, LINK, link.pk)
    assert not [words for words in ("Layoffs", "Clinic", "secret body") if words in page]
    assert "Plain" in page and "***" in page


@pytest.fixture
def mate(ada):
    """Owns the mailbox together with Ada, so he reads what isn't private."""
    team = Team.objects.create(name="Desk", administrator=ada)
    user = SystemUserFactory()
    team.members.add(user)
    rights = ("view_mailbox", "view_syncrevision", "view_exchangesyncidmapping")
    group_of(user, *rights, reach=Reach.TEAM)
    mailbox = ada.default_mailbox
    mailbox.owning_user, mailbox.owning_team = None, team
    mailbox.save(update_fields=["owning_user", "owning_team"])
    return user


@pytest.mark.rule("R6.36")
def test_history_stays_private_when_nothing_is_left_that_says_so(ada, mate):
    link = pair(ada.default_mailbox, base=MEETING | {"sensitivity": "private"})
    row = revision(
        link, before=side_data(Side({"subject": "Layoffs"})),
        after={"fields": {"subject": "Layoffs of May"}},
    )  # fmt: skip
    rows = ExchangeSyncIdMapping.objects.filter(pk=link.pk)
    for forget in (rows.count, lambda: rows.update(base=None), rows.delete):
        forget()
        assert "Layoffs" not in shown(mate, REVISION, row.pk)
        assert "Layoffs" not in shown(mate, REVISIONS)
        assert "Layoffs of May" in shown(ada, REVISION, row.pk)


@pytest.mark.rule("R8.30")
def test_what_isnt_private_is_told_to_who_reads_the_mailbox(ada, mate):
    link = pair(ada.default_mailbox)
    row = revision(link, after={"fields": {"subject": "Quarterly plan of May"}})
    assert "Quarterly plan of May" in shown(mate, REVISION, row.pk)


def test_history_takes_as_many_statements_for_many_as_for_one(ada, django_assert_max_num_queries):
    cleo = ContactFactory(owning_user=ada)
    client = signed_in(ada)
    url = reverse("admin:activities_contact_change", args=[cleo.pk])
    links = [pair(somebody().default_mailbox, Table.CONTACT, object_id=cleo.pk) for _ in range(4)]
    links.append(pair(ada.default_mailbox, Table.CONTACT, object_id=cleo.pk))
    revision(links[-1])
    with django_assert_max_num_queries(200) as few:
        client.get(url)
    for _number in range(5):
        revision(links[-1])
    with django_assert_max_num_queries(len(few)):
        client.get(url)


# -- names of records that the reader may open anyway


@pytest.mark.rule("R8.30", "R6.7")
def test_a_record_that_the_reader_may_open_keeps_its_name(ada):
    root = SuperuserFactory()
    cleo = ContactFactory(first_name="Cleo", last_name="Known", owning_user=ada)
    mailbox = ada.default_mailbox
    here = pair(mailbox, Table.CONTACT, object_id=cleo.pk, base={"surname": "Served"})
    there = pair(mailbox, base={"subject": "Only there"})
    waiting = batch(mailbox)
    for link in (here, there):
        parked(waiting, link, before=Side({}))
        revision(link, after={"fields": {"subject": "Only there"}})
    pages = [(BATCH, waiting.pk), (LINKS,), (REVISIONS,), (LINK, here.pk)]
    for page in pages:
        told = shown(root, *page)
        assert "Cleo Known" in told, page
        assert "Only there" not in told and "Served" not in told, page


@pytest.mark.rule("R6.36")
def test_a_private_record_keeps_none(ada):
    root = SuperuserFactory()
    meeting = layoffs(ada)
    waiting = batch(ada.default_mailbox)
    link = pair(ada.default_mailbox, object_id=meeting.pk, base={"subject": "Layoffs"})
    parked(waiting, link, before=Side({}))
    for page in ((BATCH, waiting.pk), (LINKS,), (LINK, link.pk)):
        told = shown(root, *page)
        assert "Layoffs" not in told and "***" in told, page


# -- why a record is in Exchange, or not


WHY = "act_why"


def asked_by(user, begins) -> None:
    UserQuery.objects.filter(owning_user=user).delete()
    UserQuery.objects.create(
        owning_user=user, name="Guess", returned_type_code=Table.APPOINTMENT,
        conditions=asks("subject", "begins", begins),
    )  # fmt: skip


def because(record, mailbox, reader):
    return explain(record, mailbox, NOW, reader)


@pytest.mark.rule("R6.36", "R6.7")
def test_nobody_guesses_a_private_subject_by_asking_why(ada, ben):
    meeting = layoffs(ada)
    attends(ben, meeting)
    told = []
    for guess in ("L", "X"):
        asked_by(ben, guess)
        told.append(shown(ben, WHY, Table.APPOINTMENT, meeting.pk))
        found = because(meeting, ben.default_mailbox, ben)
        assert found.because == Because.NOT_READABLE and not found.is_readable
    same = [re.sub(r"“[LX]”", "", page) for page in told]
    assert same[0] == same[1]


@pytest.mark.rule("R6.36")
def test_of_private_things_the_filters_of_their_owner_tell_him_alone(ada):
    meeting, root = layoffs(ada), SuperuserFactory()
    for guess, answer in (("L", Because.SOON), ("X", Because.NO_MATCH)):
        asked_by(ada, guess)
        assert because(meeting, ada.default_mailbox, ada).because == answer
        found = because(meeting, ada.default_mailbox, root)
        assert found.because == Because.NOT_ASKED
        assert [one.matches for one in found.filters] == [None]


def test_many_filters_are_asked_in_one_statement(ada, django_assert_num_queries):
    meeting = layoffs(ada)

    def make(*beginnings):
        for words in beginnings:
            UserQuery.objects.create(
                owning_user=ada, name=words, returned_type_code=Table.APPOINTMENT,
                conditions=asks("subject", "begins", words),
            )  # fmt: skip

    make("L")
    because(meeting, ada.default_mailbox, ada)  # rights are read once
    with CaptureQueriesContext(connection) as few:
        because(meeting, ada.default_mailbox, ada)
    make("X", "La", "Lay", "Y")
    with django_assert_num_queries(len(few)):
        found = because(meeting, ada.default_mailbox, ada)
    matching = {one.query.name for one in found.filters if one.matches}
    assert matching == {"L", "La", "Lay"}


# -- texts of our own exceptions


@pytest.mark.rule("R8.30")
def test_what_our_own_exceptions_quote_is_for_who_reads_the_mailbox(ada, capsys):
    cleo = ContactFactory(owning_user=ada)
    mailbox = ada.default_mailbox
    link = pair(
        mailbox, Table.CONTACT, object_id=cleo.pk, last_sync_error_code="ActItemInternalError",
        last_sync_error="DataError: value too long: 'Layoffs of May'",
    )  # fmt: skip
    assert "Layoffs of May" in shown(ada, LINK, link.pk)
    told = shown(SuperuserFactory(), LINK, link.pk)
    assert "Layoffs of May" not in told and "DataError" in told
    call_command("explain_record", str(cleo.pk), mailbox=mailbox.email_address)
    told = capsys.readouterr().out
    assert "Layoffs of May" not in told and "DataError" in told


# -- who decides what, and what is told to him


@pytest.mark.rule("R6.36")
def test_nobody_undoes_what_was_done_to_a_record_that_is_private_to_others(ada):
    meeting, root = layoffs(ada), SuperuserFactory()
    link = pair(ada.default_mailbox, object_id=meeting.pk)
    row = revision(
        link, before=side_data(Side({"subject": "Former"})), made_on=timezone.now(),
        after=side_data(Side({"subject": "Layoffs"})),
    )  # fmt: skip
    do = reverse("admin:serversync_syncrevision_do", args=[row.pk, "undo"])
    assert (
        do not in signed_in(root).get(reverse(f"admin:{REVISION}", args=[row.pk])).content.decode()
    )
    page = reverse("admin:activities_appointment_change", args=[meeting.pk])
    assert do not in signed_in(root).get(page).content.decode()
    with pytest.raises(PermissionDenied):
        undo.undo(row, actor=root, now=timezone.now())
    meeting.activity.refresh_from_db()
    assert meeting.activity.subject == "Layoffs"
    assert do in signed_in(ada).get(page).content.decode()
    undo.undo(row, actor=ada, now=timezone.now())
    meeting.activity.refresh_from_db()
    assert meeting.activity.subject == "Former"


@pytest.mark.rule("R6.36")
def test_nor_takes_its_item_away(ada):
    link = pair(ada.default_mailbox, object_id=layoffs(ada).pk)
    row = revision(link, side="server", verb="create", made_on=timezone.now())
    with pytest.raises(PermissionDenied):
        undo.undo(row, actor=SuperuserFactory(), now=timezone.now())
    undo.undo(row, actor=ada, now=timezone.now())
    link.refresh_from_db()
    assert link.undoing == undoing.REMOVE


@pytest.mark.rule("R8.17", "R8.30")
def test_administrators_say_no_to_what_they_may_not_see_and_never_yes(ada):
    root = signed_in(SuperuserFactory())
    about = {"server": side_data(Side(MEETING))}
    link = asking(ada.default_mailbox, "duplicate", about, base=None, item_subject="")
    page = root.get(reverse("admin:act_question", args=[link.pk])).content.decode()
    assert 'value="no"' in page and 'value="yes"' not in page
    one, many = reverse("admin:act_answer", args=[link.pk]), reverse("admin:act_questions")
    for url, data in ((one, {}), (many, {"link": [str(link.pk)]})):
        root.post(url, {**data, "answer": "yes"})
        link.refresh_from_db()
        assert link.user_decision == DecisionAnswer.NONE
    root.post(one, {"answer": "no"})
    link.refresh_from_db()
    assert link.user_decision == DecisionAnswer.NO


@pytest.mark.rule("R8.30", "R6.46")
def test_of_others_meetings_it_is_told_how_many_are_mailed_and_not_who(ada, capsys):
    root, waiting = SuperuserFactory(), batch(ada.default_mailbox)
    parked(waiting, pair(ada.default_mailbox))
    page = signed_in(root).get(reverse(f"admin:{BATCH}", args=[waiting.pk]))
    assert (page.context["people_count"], page.context["outside_count"]) == (2, 2)
    assert "cleo@customer.example" not in page.content.decode()
    assert "2 people" in page.content.decode()
    assert "cleo@customer.example" in shown(ada, BATCH, waiting.pk)
    call_command("act_batches", user=root.domain_name)
    assert "cleo@customer.example" not in capsys.readouterr().out


def test_each_change_tells_its_own_reasons_and_fields_by_their_labels(ada):
    stop = Reason("too_many_deletes", {"count": 14, "allowed": 10, "linked": 140})
    waiting = batch(ada.default_mailbox, BatchKind.LIMITS, stop)
    link = pair(ada.default_mailbox, Table.CONTACT, base={"surname": "Example"})
    own = Reason("conflict", {"fields": "mobile_phone, given_name"})
    parked(waiting, link, None, DELETE, Side({}), stop, own)
    page = signed_in(ada).get(reverse(f"admin:{BATCH}", args=[waiting.pk]))
    ((line,), (above,)) = page.context["lines"], page.context["because"]
    assert len(line.reasons) == 1 and "14" in above
    assert "Mobile phone, First name" in line.reasons[0]


@pytest.mark.rule("R8.17")
def test_pages_of_the_decisions_of_one_mailbox_stay_with_it(ada, monkeypatch):
    monkeypatch.setattr(actquestions, "PER_PAGE", 1)
    for _number in range(2):
        asking(ada.default_mailbox, "duplicate")
    query = {"mailbox": str(ada.default_mailbox.pk), "question": "duplicate", "page": "1"}
    page = signed_in(ada).get(reverse("admin:act_questions"), query).content.decode()
    assert f"?page=2&amp;mailbox={ada.default_mailbox.pk}&amp;question=duplicate" in page


@pytest.mark.rule("R6.36")
def test_sorting_by_attendees_tells_no_number_of_a_private_meeting(ada, ben):
    meetings = [layoffs(ada, is_mapi_private=number == 1) for number in range(3)]
    for number, meeting in enumerate(meetings):
        attends(ben, meeting)
        for _more in range(number * 2):
            attends(SystemUserFactory(), meeting)
    url = reverse("admin:activities_appointment_changelist")

    def order(user) -> list:
        found = signed_in(user).get(url, {"o": "4"}).context["cl"].result_list
        return [meetings.index(one) for one in found]

    assert order(ben) == [1, 0, 2]
    assert order(ada) == [0, 1, 2]
