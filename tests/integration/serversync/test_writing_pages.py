"""Pages on which mail is written, looked at before it is sent, sent, undone, and many at once."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse
from django.utils import timezone

from activities.choices import EmailStatus
from activities.mime.message import Address
from activities.models import Email, EmailSignature
from mailboxes.choices import AccessApproval, Reach
from mailboxes.models import Mailbox, SystemUser, UserSettings
from serversync import outbox
from serversync.console.emails import EmailConsole
from serversync.outbox import Draft
from tests.factories.activities import ContactFactory
from tests.factories.clients import signed_in
from tests.factories.mailboxes import group_of
from tests.factories.posting import form_data
from tests.integration.serversync.cycles import organization, queue_mailbox, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

ADD = reverse("admin:activities_email_add")
LIST = reverse("admin:activities_email_changelist")


@pytest.fixture
def ada() -> SystemUser:
    organization(allow_unresolved_parties_on_email_send=True)
    user = user_mailbox("ada").regarding_user
    group_of(user, "add_email", "change_email", "view_email", "view_contact", "view_queue")
    return user


def page(email: Email) -> str:
    return reverse("admin:activities_email_change", args=[email.pk])


def drafted(actor: SystemUser, subject: str = "Hello", **columns) -> Email:
    draft = Draft(
        sender=actor,
        **{"to": (Address("cleo@customer.example"),), "subject": subject, "body": "<p>Text</p>"}
        | columns,
    )
    return outbox.create_draft(draft, actor=actor, now=timezone.now())


def sent(actor: SystemUser, subject: str = "Hello", **columns) -> Email:
    email = drafted(actor, subject, **columns)
    return outbox.submit(email, actor=actor, now=timezone.now()).email


def failed(actor: SystemUser, subject: str = "Failed") -> Email:
    email = drafted(actor, subject)
    Email.objects.filter(pk=email.pk).update(status_code=EmailStatus.FAILED)
    email.refresh_from_db()
    return email


def status(email: Email) -> EmailStatus:
    return EmailStatus(Email.objects.values_list("status_code", flat=True).get(pk=email.pk))


def typed(client, url: str = ADD, **values) -> dict:
    data = form_data(client, url, "form")
    data.pop("attach", None)
    return data | {"to": "cleo@customer.example", "subject": "Good news"} | values


def said(answer) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


# -- one form, one email


@pytest.mark.parametrize("button", ["_send", "_save"])
def test_a_form_that_is_posted_twice_makes_one_email(ada, button: str) -> None:
    client = signed_in(ada)
    data = typed(client, **{button: ""})

    client.post(ADD, data)
    again = client.post(ADD, data | {"subject": "Better news"}, follow=True)

    email = Email.objects.get()
    waits = button == "_send"
    assert email.status == (EmailStatus.PENDING_SEND if waits else EmailStatus.DRAFT)
    assert email.activity.subject.startswith("Good news" if waits else "Better news")
    assert ("can't be changed any more" in said(again)) is waits
    client.post(ADD, typed(client, **{button: ""}))
    assert Email.objects.count() == 2


def test_of_two_requests_at_once_the_second_finds_the_email(ada, monkeypatch) -> None:
    """Both looked before either had made it."""
    client = signed_in(ada)
    data = typed(client, _send="")
    client.post(ADD, data)
    monkeypatch.setattr(EmailConsole, "_made_before", lambda *_: None)

    answer = client.post(ADD, data)

    assert answer.url == page(Email.objects.get())


def test_a_form_takes_nobody_elses_email(ada) -> None:
    ben = user_mailbox("ben").regarding_user
    theirs = drafted(ben)
    client = signed_in(ada)

    client.post(ADD, typed(client, _save="", new_id=str(theirs.pk)))

    theirs.refresh_from_db()
    assert theirs.activity.subject == "Hello"
    assert Email.objects.count() == 1


# -- people who do not want email


@pytest.mark.rule("R5.5")
def test_who_may_is_asked_on_the_form_and_answers_with_a_tick(ada) -> None:
    group_of(ada, "send_despite_do_not_email")
    ContactFactory(email_address1="cleo@customer.example", do_not_email=True, owning_user=ada)
    client = signed_in(ada)

    asked = client.post(ADD, typed(client, _send=""))

    assert b"these recipients do not want email" in asked.content
    assert asked.context["form"]["despite_do_not_email"].html_name in asked.content.decode()
    assert not Email.objects.exists()
    client.post(ADD, typed(client, _send="", despite_do_not_email="on"))
    email = Email.objects.get()
    assert (email.status, email.despite_do_not_email) == (EmailStatus.PENDING_SEND, True)
    assert b"Ada sent it although recipients do not want email" in client.get(page(email)).content


@pytest.mark.rule("R5.5")
def test_who_may_not_sees_whom_to_remove(ada) -> None:
    ContactFactory(email_address1="cleo@customer.example", do_not_email=True, owning_user=ada)
    client = signed_in(ada)

    answer = client.post(ADD, typed(client, _send="", despite_do_not_email="on"), follow=True)

    assert "Remove them. (R5.5)" in said(answer)
    assert b"Remove them before you send." in answer.content
    assert Email.objects.get().status == EmailStatus.DRAFT


# -- later, and why it waits


@pytest.mark.rule("R5.6")
def test_the_time_is_typed_and_shown_in_the_writer_s_time_zone(ada) -> None:
    UserSettings.objects.filter(system_user=ada).update(time_zone="Asia/Tokyo")
    client = signed_in(ada)

    answer = client.post(
        ADD,
        typed(client, send_later_0="2099-03-03", send_later_1="18:00:00", _send=""),
        follow=True,
    )

    email = Email.objects.get()
    assert email.delayed_email_send_time == datetime(2099, 3, 3, 9, 0, tzinfo=UTC)
    words = "It is to leave at 03/03/2099 6 p.m. JST."
    assert words in answer.content.decode()
    assert words in client.get(LIST).content.decode()
    assert "within seconds" not in said(answer)
    outbox.cancel(email, now=timezone.now())
    assert b'value="18:00:00"' in client.get(page(email)).content


def test_a_time_zone_that_nobody_knows_is_the_site_s(ada) -> None:
    UserSettings.objects.filter(system_user=ada).update(time_zone="../etc/passwd")

    assert signed_in(ada).get(ADD).status_code == 200


@pytest.mark.rule("R5.7")
def test_page_and_list_say_why_it_waits(ada) -> None:
    email = sent(ada)
    Mailbox.objects.update(email_router_access_approval=AccessApproval.PENDING)
    client = signed_in(ada)

    for url in (page(email), LIST):
        assert "It waits because: The email address isn't approved yet" in str(
            client.get(url).content.decode().replace("&#x27;", "'")
        )


# -- undo


@pytest.mark.rule("R5.2")
def test_after_send_the_page_offers_undo_and_looks_again_when_the_time_is_over(ada) -> None:
    organization(undo_send_seconds=30)
    client = signed_in(ada)

    answer = client.post(ADD, typed(client, _send=""), follow=True)

    assert "You can undo it for a moment" in said(answer)
    undo = answer.context["undo"]
    assert 25 <= undo.seconds <= 30
    assert f'http-equiv="refresh" content="{undo.refresh}"' in answer.content.decode()
    email = Email.objects.get()
    client.post(reverse("admin:activities_email_do", args=[email.pk, "cancel"]))
    assert status(email) == EmailStatus.DRAFT


@pytest.mark.rule("R5.2")
def test_undo_is_not_offered_when_the_time_is_over_or_there_is_none(ada) -> None:
    client = signed_in(ada)
    assert client.post(ADD, typed(client, _send=""), follow=True).context["undo"] is None

    organization(undo_send_seconds=30)
    email = Email.objects.get()
    over = timezone.now() - timedelta(seconds=1)
    Email.objects.update(postpone_email_processing_until=over)
    answer = client.get(page(email))
    assert answer.context["undo"] is None
    assert b"http-equiv" not in answer.content


@pytest.mark.rule("R5.2")
def test_undo_that_comes_too_late_says_so(ada) -> None:
    email = sent(ada)
    client = signed_in(ada)
    url = reverse("admin:activities_email_do", args=[email.pk, "cancel"])
    Email.objects.filter(pk=email.pk).update(status_code=EmailStatus.SENDING)

    assert client.post(url).status_code == 404
    assert not outbox.cancel(email, now=timezone.now())


# -- the preview


def previewed(client, **values):
    return client.post(ADD, typed(client, _preview="", **values), follow=True)


@pytest.mark.rule("R4.10")
def test_the_preview_shows_what_recipients_will_see_and_sends_it(ada) -> None:
    client = signed_in(ada)

    answer = previewed(
        client, body="<p>Hello</p><script>x</script>", is_html="on", reply_to="team@example.com"
    )

    preview = answer.context["preview"]
    assert preview.subject == "Good news CRM:…"
    assert [row.address_used for row in preview.to] == ["cleo@customer.example"]
    assert b"team@example.com" in answer.content
    email = Email.objects.get()
    assert status(email) == EmailStatus.DRAFT
    body = client.get(reverse("admin:activities_email_body", args=[email.pk]))
    assert b"<p>Hello</p>" in body.content
    assert b"<script" not in body.content
    client.post(answer.request["PATH_INFO"])
    assert status(email) == EmailStatus.PENDING_SEND
    assert Email.objects.select_related("activity").get().subject == "Good news CRM:0001001"


def test_the_preview_gives_away_no_tracking_number(ada) -> None:
    previewed(signed_in(ada))

    assert UserSettings.objects.get(system_user=ada).next_tracking_number is None


@pytest.mark.rule("R4.11")
def test_the_preview_says_that_a_long_subject_is_cut(ada) -> None:
    organization(maximum_subject_length_on_mail_server=20)

    preview = previewed(signed_in(ada), subject="A very long subject indeed").context["preview"]

    assert preview.subject == "A very long su CRM:…"
    assert "its end is cut off" in preview.warnings[0]


@pytest.mark.rule("R5.3")
def test_the_preview_says_what_is_missing_and_does_not_send(ada) -> None:
    client = signed_in(ada)

    answer = previewed(client, to="")

    assert "No recipient has an address" in answer.content.decode()
    client.post(answer.request["PATH_INFO"])
    assert Email.objects.get().status == EmailStatus.DRAFT


def test_nobody_else_s_draft_is_previewed(ada) -> None:
    ben = user_mailbox("ben").regarding_user
    url = reverse("admin:activities_email_preview", args=[drafted(ben).pk])

    assert signed_in(ada).get(url).status_code == 404


# -- signatures


def signature(owner: SystemUser, body: str, **columns) -> EmailSignature:
    return EmailSignature.objects.create(owning_user=owner, body=body, title=body, **columns)


def test_a_chosen_signature_takes_the_place_of_the_one_that_stands_there(ada) -> None:
    signature(ada, "Kind regards, {{ sender.name }}", is_default=True)
    short = signature(ada, "Ada")
    client = signed_in(ada)
    before = form_data(client, ADD, "form")["body"]

    form = client.post(
        ADD, typed(client, body=f"Text{before}", signature=str(short.pk), _signature="")
    ).context["form"]

    assert form["body"].value() == "Text\n\nAda"
    assert not Email.objects.exists()


def test_who_writes_as_a_queue_answers_with_its_signature(ada) -> None:
    queue = queue_mailbox().regarding_queue
    signature(ada, "Ada", is_default=True)
    signature(queue.owning_user, "The {{ sender.name }} team", queue=queue, is_default=True)
    parent = drafted(ada)

    assert "Ada" in outbox.reply(parent, actor=ada, now=timezone.now()).description
    asked = outbox.create_draft(Draft(sender=queue), actor=ada, now=timezone.now())
    assert "The Support team" in outbox.reply(asked, actor=ada, now=timezone.now()).description


def test_signatures_of_queues_out_of_sight_are_not_offered(ada) -> None:
    queue = queue_mailbox().regarding_queue
    queue.queue_view_type = 1
    queue.save()
    signature(queue.owning_user, "Secret team", queue=queue)
    client = signed_in(ada)
    assert "Secret team" not in client.get(ADD).content.decode()

    queue.members.add(ada)

    assert "Secret team" in client.get(ADD).content.decode()


# -- many at once


def many(client, name: str, *emails: Email, sure: bool = False):
    data = {"action": name, ACTION_CHECKBOX_NAME: [str(email.pk) for email in emails]}
    return client.post(LIST, data | ({"sure": "1"} if sure else {}), follow=True)


@pytest.mark.rule("R5.2")
def test_many_are_taken_back_after_a_question_with_counts(ada) -> None:
    waiting = [sent(ada, f"Mail {number}") for number in range(3)]
    gone = sent(ada, "Gone")
    Email.objects.filter(pk=gone.pk).update(status_code=EmailStatus.SENT)
    client = signed_in(ada)

    asked = many(client, "take_back", *waiting, gone)

    assert asked.context["count"] == 3
    assert asked.context["left"] == [("status “Sent”", 1)]
    assert {status(email) for email in waiting} == {EmailStatus.PENDING_SEND}
    told = said(many(client, "take_back", *waiting, gone, sure=True))
    assert "Done: 3 emails." in told
    assert "Not done: 1 email, because: status “Sent”" in told
    assert {status(email) for email in waiting} == {EmailStatus.DRAFT}
    assert status(gone) == EmailStatus.SENT


@pytest.mark.rule("R5.2")
def test_many_that_failed_are_sent_again_and_the_others_say_why_not(ada) -> None:
    good, incomplete, draft = failed(ada), failed(ada, "Nobody"), drafted(ada)
    incomplete.activity.parties.exclude(participation_type_mask=1).delete()
    client = signed_in(ada)

    told = said(many(client, "send_again", good, incomplete, draft, sure=True))

    assert "Done: 1 email." in told
    assert "No recipient has an address" in told
    assert "status “Draft”" in told
    assert [status(each) for each in (good, incomplete, draft)] == [
        EmailStatus.PENDING_SEND,
        EmailStatus.FAILED,
        EmailStatus.DRAFT,
    ]


def test_only_rows_within_reach_are_changed(ada) -> None:
    """Looking reaches further than changing."""
    group_of(ada, "view_email", reach=Reach.ALL)
    ben = user_mailbox("ben").regarding_user
    theirs, mine = sent(ben), sent(ada)
    client = signed_in(ada)

    told = said(many(client, "take_back", theirs, mine, sure=True))

    assert "your permissions don't reach it" in told
    assert (status(theirs), status(mine)) == (EmailStatus.PENDING_SEND, EmailStatus.DRAFT)


def test_mail_is_not_deleted_from_the_list(ada) -> None:
    group_of(ada, "delete_email")

    assert "delete_selected" not in signed_in(ada).get(LIST).content.decode()
