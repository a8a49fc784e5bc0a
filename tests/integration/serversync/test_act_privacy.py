"""What of synchronized pairs, and of private records, nobody learns who may not know it; and what needn't be hidden."""

import re

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from activities.choices import ParticipationType
from activities.models import ActivityParty, ActivityPointer, Appointment, Contact
from mailboxes.choices import Reach
from mailboxes.models import SystemUser, Team
from serversync.act.choices import LinkState
from serversync.act.explaining import Because, explain
from serversync.act.stored import side_data
from serversync.act.types import Side, Table
from serversync.models import ExchangeSyncIdMapping, UserQuery
from tests.factories.act import MEETING, NOW, act_mailbox, batch, pair, parked, revision
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
