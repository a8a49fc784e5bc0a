"""The pages of appointments, contacts and tasks: what waits, what is asked, pairs and their history; and for whom."""

import re
from urllib.parse import urlencode

import pytest
from django.contrib.contenttypes.models import ContentType
from django.urls import reverse
from django.utils import timezone

from activities.choices import ParticipationType
from activities.models import ActivityParty, Contact
from mailboxes import alerts
from mailboxes.choices import Operation, Reach
from mailboxes.models import Organization, TraceLog
from mailboxes.protocols.items import CONTACTS, ItemKind, Tell
from serversync.act import answers, batches
from serversync.act.choices import BatchState, LinkState
from serversync.act.filters import copy_templates
from serversync.act.stored import side_data
from serversync.act.types import Side, Table, Verb, Write
from serversync.models import ExchangeSyncIdMapping, ParkedBatch
from tests.factories.act import (
    MEETING,
    NOW,
    act_mailbox,
    asking,
    batch,
    begun,
    pair,
    parked,
    revision,
)  # fmt: skip
from tests.factories.activities import AppointmentFactory, ContactFactory, TaskFactory
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory, group_of
from tests.integration.serversync.acts import ActAccount, act_account, works_with_records

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

UPDATE = Write(
    verb=Verb.UPDATE, fields={"subject": "Yearly plan"}, tell=Tell.ALL,
    told=("cleo@customer.example",),
)  # fmt: skip


@pytest.fixture
def mailbox():
    return act_mailbox()


@pytest.fixture
def ada(mailbox):
    user = mailbox.regarding_user
    works_with_records(user)
    return user


@pytest.fixture
def owner(ada):
    return signed_in(ada)


@pytest.fixture
def root(mailbox):
    return signed_in(SuperuserFactory(domain_name="root"))


@pytest.fixture
def stranger(mailbox):
    """Sees nobody's mailbox but his own, whatever else he may."""
    user = SystemUserFactory(domain_name="stranger")
    group_of(
        user, "view_mailbox", "view_parkedbatch", "decide_parkedbatch",
        "view_exchangesyncidmapping", "change_exchangesyncidmapping", "view_syncrevision",
        "change_syncrevision", "view_contact", reach=Reach.OWN,
    )  # fmt: skip
    return signed_in(user)


def page_of(row, name="change"):
    return reverse(f"admin:serversync_{row._meta.model_name}_{name}", args=[row.pk])


def deed(client, row, name, **data):
    url = reverse(f"admin:serversync_{row._meta.model_name}_do", args=[row.pk, name])
    if isinstance(row, ParkedBatch):
        row.refresh_from_db()
        url += "?" + urlencode({"seen": row.changed_on.isoformat()})
    return client.post(url, data, follow=True)


def text(answer) -> str:
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def today(name: str) -> ActAccount:
    """Pages know no other time than now, and undo what is 30 days old no more."""
    account = act_account(name)
    account.now = timezone.now()
    return account


def site_key():
    return Organization.objects.current().pk


def listed_to(client, model, **query) -> list:
    page = client.get(reverse(f"admin:serversync_{model}_changelist"), query)
    return list(page.context["cl"].result_list)


# -- what waits for approval


@pytest.fixture
def waiting(mailbox) -> ParkedBatch:
    found = batch(mailbox)
    parked(found, pair(mailbox), UPDATE)
    parked(found, pair(mailbox))
    batches.announce(found, NOW)
    return found


@pytest.mark.rule("R6.46")
def test_a_batch_tells_what_would_happen_why_and_whom_it_would_mail(waiting, owner, root):
    page = owner.get(page_of(waiting))
    shown = text(page)
    assert "14" in shown and "R6.46" in shown
    (line,) = [one for one in page.context["lines"] if one.doings[0].verb == "update"]
    (field,) = line.doings[0].lines
    assert (field.label, field.left, field.right) == ("Subject", "Quarterly plan", "Yearly plan")
    assert line.told == [("cleo@customer.example", True)]
    assert page.context["people_count"] == 2
    limits = reverse("admin:mailboxes_organization_change", args=[site_key()])
    assert root.get(page_of(waiting)).context["setting"] == limits
    assert page.context["setting"] == ""  # who may not look at them isn't sent there


@pytest.mark.rule("R6.46")
def test_it_is_approved_in_part_and_the_rest_dropped(waiting, owner):
    first, second = waiting.changes.order_by("pk")
    shown = text(deed(owner, waiting, "approve_some", change=[str(first.pk)]))
    assert "Approved what was ticked" in shown
    first.refresh_from_db()
    assert first.approved
    shown = text(deed(owner, waiting, "drop"))
    waiting.refresh_from_db()
    assert waiting.state == BatchState.APPROVED and "Neither side has lost" in shown
    second.link.refresh_from_db()
    assert second.link.state == LinkState.UNLINKED


@pytest.mark.rule("R6.46")
def test_what_was_parked_since_it_was_looked_at_is_not_approved_with_the_rest(waiting, owner):
    page = owner.get(page_of(waiting))
    (approve,) = [url for one, url in page.context["deeds"] if one.name == "approve"]
    parked(waiting, pair(waiting.mailbox))
    ParkedBatch.objects.update(changed_on=timezone.now())
    plain = approve.partition("?")[0]
    for url in (approve, plain, f"{plain}?seen=2026-13-45T00:00", f"{plain}?seen=2026-01-01"):
        assert "Look at it again" in text(owner.post(url, follow=True))
    waiting.refresh_from_db()
    assert waiting.state == BatchState.WAITING
    assert not waiting.changes.filter(approved=True).exists()


def test_nothing_ticked_is_nothing_done(waiting, owner):
    assert "Nothing of that waits" in text(deed(owner, waiting, "drop_some", change=["x"]))
    assert waiting.changes.count() == 2


@pytest.mark.rule("R8.30", "R6.46")
def test_administrators_decide_without_seeing_what_it_is_about(waiting, root):
    shown = text(root.get(page_of(waiting)))
    assert "Quarterly plan" not in shown and "Yearly plan" not in shown and "***" in shown
    assert "Approve all of it" in shown
    deed(root, waiting, "approve")
    waiting.refresh_from_db()
    assert waiting.state == BatchState.APPROVED


def test_a_batch_of_others_does_not_exist(waiting, stranger):
    assert stranger.get(page_of(waiting)).status_code == 302
    url = reverse("admin:serversync_parkedbatch_do", args=[waiting.pk, "approve"])
    assert stranger.post(url).status_code == 404
    assert listed_to(stranger, "parkedbatch") == []


def test_who_sees_the_mailbox_and_may_not_decide_has_no_button(waiting):
    user = SystemUserFactory()
    group_of(user, "view_mailbox", "view_parkedbatch", reach=Reach.ALL)
    client = signed_in(user)
    assert "Approve all of it" not in text(client.get(page_of(waiting)))
    url = reverse("admin:serversync_parkedbatch_do", args=[waiting.pk, "approve"])
    assert client.post(url).status_code == 404


@pytest.mark.rule("R6.51", "R10.6")
def test_the_first_synchronization_is_shown_before_anything_is_made():
    account = act_account("cleo", began=False)
    account.account.add(ItemKind.CONTACT, surname="Same", email1="same@customer.example")
    for number in range(12):
        ContactFactory(last_name=f"Example {number}", owning_user=account.user)
    ContactFactory(
        last_name="Same", email_address1="same@customer.example", owning_user=account.user
    )
    account.cycle()
    client = signed_in(account.user)
    page = client.get(page_of(account.batch))
    made = [one for one in page.context["counts"] if one.verb == "create"]
    assert [(one.table, str(one.side)) for one in made] == [("Contact", "on the server")]
    assert made[0].number >= 12 and "First synchronization" in text(page)
    assert len(account.account.held(CONTACTS)) == 1
    batches.approve(account.batch, actor=account.user, now=account.now)
    account.quiet()
    assert len(account.account.held(CONTACTS)) == 13  # none of them twice


@pytest.mark.rule("R6.46")
def test_the_alert_leads_to_the_batch(waiting, owner):
    alert = TraceLog.objects.get(code="MassDeleteStopped")
    shown = owner.get(reverse("admin:mailboxes_tracelog_change", args=[alert.pk]))
    assert page_of(waiting) in shown.content.decode()


# -- questions


@pytest.fixture
def duplicate(mailbox, ada):
    cleo = ContactFactory(first_name="Cleo", last_name="Example", owning_user=ada)
    server = Side({"given_name": "Cleopatra", "surname": "Example", "job_title": "Buyer"})
    about = {"server": side_data(server), "candidates": [str(cleo.pk)]}
    link = asking(
        mailbox, "duplicate", about, table=Table.CONTACT, object_id=None, base=None,
        state=LinkState.NOTED, item_subject="",
    )  # fmt: skip
    answers.announce(mailbox, [link], NOW, Organization.objects.current())
    return link


def question_of(link):
    return reverse("admin:act_question", args=[link.pk])


@pytest.mark.rule("R8.17")
def test_a_question_shows_both_sides_and_what_differs(duplicate, owner):
    page = owner.get(question_of(duplicate))
    (candidate,) = page.context["candidates"]
    told = {line.label: (line.left, line.right, line.differs) for line in candidate.lines}
    assert told["First name"] == ("Cleo", "Cleopatra", True)
    assert told["Last name"] == ("Example", "Example", False)
    assert "Are both the same?" in text(page)


@pytest.mark.rule("R8.17")
@pytest.mark.parametrize(("said", "stored"), [("yes", 1), ("no", 2)])
def test_one_click_answers(duplicate, owner, said, stored):
    url = reverse("admin:act_answer", args=[duplicate.pk])
    assert "Answered for 1 item" in text(owner.post(url, {"answer": said}, follow=True))
    duplicate.refresh_from_db()
    assert duplicate.user_decision == stored
    assert not TraceLog.objects.filter(closed_on__isnull=True).exists()


@pytest.mark.rule("R8.17")
def test_many_are_answered_at_once(mailbox, owner, duplicate):
    others = [asking(mailbox, "previously_linked") for _number in range(2)]
    other = asking(act_mailbox(), "previously_linked")
    page = owner.get(reverse("admin:act_questions"))
    assert {row.link for row in page.context["rows"]} == {duplicate, *others}
    data = {"link": [str(one.pk) for one in (*others, other)], "answer": "yes"}
    text(owner.post(reverse("admin:act_questions"), data, follow=True))
    decided = ExchangeSyncIdMapping.objects.filter(user_decision=1)
    assert set(decided) == set(others)


@pytest.mark.rule("R8.17", "R8.30")
def test_a_question_is_whose_mailbox_it_is(duplicate, root, stranger):
    assert stranger.get(question_of(duplicate)).status_code == 404
    assert stranger.get(reverse("admin:act_questions")).context["rows"] == []
    url = reverse("admin:act_answer", args=[duplicate.pk])
    assert stranger.post(url, {"answer": "yes"}).status_code == 404
    shown = text(root.get(question_of(duplicate)))
    assert "Cleopatra" not in shown and "Buyer" not in shown and "***" in shown


@pytest.mark.rule("R8.17", "R6.51")
def test_a_cycle_asks_and_does_what_was_answered():
    account = act_account("cleo")
    account.account.add(ItemKind.CONTACT, given_name="Cleo", surname="Same", email1="a@x.example")
    for name in ("Cleo", "Another"):
        ContactFactory(
            first_name=name, last_name="Same", email_address1="a@x.example",
            owning_user=account.user,
        )  # fmt: skip
    account.quiet()
    client = signed_in(account.user)
    (row,) = client.get(reverse("admin:act_questions")).context["rows"]
    page = client.get(question_of(row.link))
    assert [one.is_asked for one in page.context["candidates"]] == [True, False]
    client.post(reverse("admin:act_answer", args=[row.link.pk]), {"answer": "yes"})
    account.quiet()
    account.later(hours=1)  # the other one has waited for the answer
    account.quiet()
    held = account.account.held(CONTACTS)
    assert len(held) == 2 and not answers.open_questions(account.user).exists()
    assert held[0].link == str(ExchangeSyncIdMapping.objects.get(pk=row.link.pk).link_key)


@pytest.mark.rule("R8.17")
def test_the_alert_leads_to_the_question(duplicate, owner):
    alert = TraceLog.objects.get(code="DuplicateRecordsFound")
    shown = owner.get(reverse("admin:mailboxes_tracelog_change", args=[alert.pk]))
    assert question_of(duplicate) in shown.content.decode()


@pytest.mark.rule("R8.17")
def test_a_change_of_organizer_tells_whom_it_would_mail(mailbox, owner):
    link = asking(mailbox, "organizer_changed", {"server": side_data(Side(MEETING))})
    page = owner.get(question_of(link))
    assert page.context["mailed"] == [("ben@example.com", True), ("cleo@customer.example", True)]


@pytest.mark.rule("R8.17")
def test_a_scheduling_conflict_tells_who_is_busy_with_what_he_may_know(mailbox, ada, owner, root):
    link = asking(mailbox, "scheduling_conflict", {"server": side_data(Side(MEETING))})
    when = MEETING["when"]
    busy(ada, "Dentist", when)
    page = owner.get(question_of(link))
    (booking,) = page.context["bookings"]
    assert (booking.who, booking.what) == (str(ada), "Dentist")
    assert root.get(question_of(link)).context["bookings"] == []


def busy(user, subject, when, **columns):
    made = AppointmentFactory(
        activity__subject=subject, activity__owning_user=user,
        scheduled_start=when.start, scheduled_end=when.end, **columns,
    )  # fmt: skip
    ActivityParty.objects.create(
        activity=made.activity, participation_type_mask=ParticipationType.REQUIRED_ATTENDEE,
        party_type=ContentType.objects.get_for_model(type(user)), party_id=str(user.pk),
        address_used=user.internal_email_address,
    )  # fmt: skip
    return made


# -- pairs


@pytest.mark.rule("R6.50")
def test_a_pair_shows_both_sides_and_all_that_is_known_of_it(mailbox, ada, owner):
    cleo = ContactFactory(first_name="Cleo", last_name="Example", owning_user=ada)
    link = pair(
        mailbox, Table.CONTACT, object_id=cleo.pk, retries=2, last_sync_error="no zone",
        last_sync_error_code="ServerError383", last_sync_error_occurred_on=NOW,
        base={"given_name": "Cleopatra", "surname": "Example"},
    )  # fmt: skip
    shown = text(owner.get(page_of(link)))
    for words in ("Cleopatra", "no zone", "2 attempts", "item-", "Equal since", "none yet"):
        assert words in shown, words
    assert "R6.35" in shown  # what the error means


@pytest.mark.rule("R8.30", "R6.50")
def test_pairs_of_others_are_stars_to_administrators_and_nothing_to_strangers(
    mailbox, root, stranger
):
    link = pair(mailbox)
    listed = reverse("admin:serversync_exchangesyncidmapping_changelist")
    for answer in (root.get(page_of(link)), root.get(listed)):
        assert "Quarterly plan" not in text(answer) and "***" in text(answer)
    assert stranger.get(page_of(link)).status_code == 302
    assert listed_to(stranger, "exchangesyncidmapping") == []
    for name in ("unlink", "look_again"):
        url = reverse("admin:serversync_exchangesyncidmapping_do", args=[link.pk, name])
        assert stranger.post(url).status_code == 404


@pytest.mark.rule("R6.36")
def test_a_private_pair_is_for_the_mailboxs_user_alone(mailbox, owner):
    team = SystemUserFactory()
    mailbox.owning_user = team
    mailbox.save(update_fields=["owning_user"])
    group_of(team, "view_mailbox", "view_exchangesyncidmapping", reach=Reach.OWN)
    open_one, closed = pair(mailbox), pair(mailbox, base=MEETING | {"sensitivity": "private"})
    client = signed_in(team)
    assert "Quarterly plan" in text(client.get(page_of(open_one)))
    assert "Quarterly plan" not in text(client.get(page_of(closed)))
    assert "Quarterly plan" in text(owner.get(page_of(closed)))


def test_what_pairs_hold_is_not_found_out_by_asking_letter_by_letter(mailbox, root):
    listed = reverse("admin:serversync_exchangesyncidmapping_changelist")
    for lookup in ("item_subject__startswith", "base__fields__subject"):
        assert root.get(listed, {lookup: "Q"}).status_code in (302, 400)
    pair(mailbox)
    assert len(root.get(listed, {"q": "Quarterly"}).context["cl"].result_list) == 0


def test_a_pair_is_unlinked_and_linked_again_by_hand(mailbox, owner):
    link = pair(mailbox)
    assert "Both copies stay" in text(deed(owner, link, "unlink"))
    link.refresh_from_db()
    assert link.state == LinkState.UNLINKED
    assert "linked again" in text(deed(owner, link, "link_again"))
    link.refresh_from_db()
    assert link.state == LinkState.LINKED


def test_pairs_are_found_by_the_key_of_their_record(mailbox, owner):
    link, _other = pair(mailbox), pair(mailbox)
    listed = reverse("admin:serversync_exchangesyncidmapping_changelist")
    found = owner.get(listed, {"q": str(link.object_id)}).context["cl"].result_list
    assert found == [link]


@pytest.mark.rule("R6.50")
def test_a_mailbox_counts_its_pairs_and_shows_its_folders(mailbox, owner):
    begun(mailbox)
    pair(mailbox)
    pair(mailbox, state=LinkState.UNLINKED)
    pair(mailbox, last_sync_error_code="ServerError383")
    asking(mailbox, "duplicate")
    page = owner.get(reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk]))
    told = {str(words): number for words, number, _url, _kind in page.context["act_card"].counts}
    assert told == {
        "linked": 3, "to be looked at": 1, "failing": 1, "asking": 1,
        "waiting for approval": 0, "unlinked": 1,
    }  # fmt: skip
    assert [folder.name for folder in page.context["act_card"].folders] == [
        "Calendar", "Contacts", "Tasks",
    ]  # fmt: skip


def test_synchronize_now_asks_for_appointments_contacts_and_tasks_too(mailbox, ada, owner):
    group_of(ada, "synchronize_mailbox", reach=Reach.OWN)
    url = reverse("admin:mailboxes_mailbox_do", args=[mailbox.pk, "synchronize"])
    text(owner.post(url, follow=True))
    row = mailbox.workloads.get(operation=Operation.ACT)
    assert row.run_requested_at is not None


def test_a_record_tells_which_mailboxes_have_it(mailbox, ada, owner):
    cleo = ContactFactory(owning_user=ada)
    link = pair(mailbox, Table.CONTACT, object_id=cleo.pk, base={"surname": "Example"})
    revision(link)
    page = owner.get(reverse("admin:activities_contact_change", args=[cleo.pk]))
    assert "Synchronized with" in text(page) and page_of(link) in page.content.decode()
    other = ContactFactory(owning_user=ada)
    shown = text(owner.get(reverse("admin:activities_contact_change", args=[other.pk])))
    assert "No mailbox within your sight has it" in shown
    assert Contact.objects.count() == 2


def test_the_front_page_names_what_waits_for_a_person(waiting, duplicate, ada, owner):
    page = owner.get(reverse("admin:index"))
    needed = {str(figure.words): figure.number for figure in page.context["needed"]}
    assert needed["Batches that wait for approval"] == 1
    assert needed["Questions of the synchronization"] == 1


def test_pages_of_meetings_and_tasks_tell_it_too(mailbox, ada, owner):
    for table, record, name in (
        (Table.APPOINTMENT, AppointmentFactory(activity__owning_user=ada), "appointment"),
        (Table.TASK, TaskFactory(activity__owning_user=ada), "task"),
    ):
        link = pair(mailbox, table, object_id=record.pk)
        page = owner.get(reverse(f"admin:activities_{name}_change", args=[record.pk]))
        assert page_of(link) in page.content.decode(), name


# -- history


@pytest.mark.rule("R8.30")
def test_a_revision_tells_what_was_written_and_what_was_lost(mailbox, owner, root, stranger):
    lost = {"name": "location", "value": "Room 5", "kept": "Room 4", "side": "server"}
    made = revision(
        pair(mailbox), before={"fields": {"subject": "Plan"}}, lost=[lost],
        after={"fields": {"subject": "Quarterly"}, "verb": "update"}, told=["ben@example.com"],
    )  # fmt: skip
    page = owner.get(page_of(made))
    (line,) = page.context["one"].lines
    (value,) = page.context["one"].lost
    assert (line.left, line.right) == ("Plan", "Quarterly")
    assert (value.label, value.value, value.kept) == ("Location", "Room 5", "Room 4")
    hidden = root.get(page_of(made)).context["one"]
    assert not hidden.lines and not hidden.lost
    assert stranger.get(page_of(made)).status_code == 302


@pytest.mark.rule("R6.47", "R8.30")
def test_what_the_server_deleted_is_found_and_brought_back(root):
    account = today("cleo")
    cleo = ContactFactory(last_name="Vanished", owning_user=account.user)
    account.quiet()
    account.account.remove(account.account.held(CONTACTS)[0].id)
    account.quiet()
    assert not Contact.objects.exists()
    client = signed_in(account.user)
    page = client.get(reverse("admin:mailboxes_mailbox_change", args=[account.mailbox.pk]))
    assert page.context["act_card"].deleted == 1
    listed = client.get(page.context["act_card"].deleted_url)
    (made,) = listed.context["cl"].result_list
    assert "Vanished" in text(listed)
    assert "Vanished" not in text(root.get(page.context["act_card"].deleted_url))
    assert "Undone here" in text(deed(client, made, "undo"))
    assert Contact.objects.get() == cleo


def test_the_last_thing_done_to_a_record_is_undone_from_its_page():
    account = today("cleo")
    cleo = ContactFactory(job_title="Buyer", owning_user=account.user)
    account.quiet()
    account.account.edit(account.account.held(CONTACTS)[0].id, job_title="Wrong")
    account.quiet()
    url = reverse("admin:activities_contact_change", args=[cleo.pk])
    client = signed_in(account.user)
    button = re.search(r'action="([^"]+/do/undo/)"', client.get(url).content.decode())
    assert "Undone here" in text(client.post(button[1], follow=True))
    cleo.refresh_from_db()
    assert cleo.job_title == "Buyer"


# -- why


def test_why_a_record_is_not_in_somebodys_exchange(mailbox, ada, owner, stranger):
    cleo = ContactFactory(owning_user=ada)
    url = reverse("admin:act_why", args=[Table.CONTACT, cleo.pk])
    page = owner.get(url)
    assert page.context["found"].because.name in ("NO_FILTER", "SOON")
    assert "In whose Exchange?" in text(page)
    assert stranger.get(url).status_code == 404
    assert owner.get(reverse("admin:act_why", args=[1, cleo.pk])).status_code == 404


def test_what_somebodys_filters_choose_is_for_who_may_see_them(mailbox, ada):
    copy_templates(ada, NOW)
    cleo = ContactFactory(owning_user=ada)
    user = SystemUserFactory()
    group_of(user, "view_mailbox", "view_contact", reach=Reach.ALL)
    url = reverse("admin:act_why", args=[Table.CONTACT, cleo.pk])
    page = signed_in(user).get(url, {"mailbox": str(mailbox.pk)})
    assert [seen for _said, seen in page.context["filters"]] == [False]
    assert "owner is me" not in text(page)
    mine = signed_in(ada).get(url)
    assert [seen for _said, seen in mine.context["filters"]] == [True]


def test_hostile_addresses_are_no_failure(mailbox, owner, waiting, duplicate):
    for query in ({"page": "-1"}, {"page": "9" * 40}, {"mailbox": "'"}, {"question": "x"}):
        assert owner.get(page_of(waiting), query).status_code == 200
        assert owner.get(reverse("admin:act_questions"), query).status_code == 200
    alerts.clear_alerts(mailbox, now=timezone.now())
