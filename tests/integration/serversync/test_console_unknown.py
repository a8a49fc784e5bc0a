"""Emails of which nobody knows whether they left: what is known of each, and what people say of many."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes.alerts import raise_alert
from mailboxes.choices import Reach
from mailboxes.models import SystemUser, TraceLog
from serversync.choices import Counted, SubmissionState, Window
from serversync.models import LearnedLimit, Submission
from tests.factories.clients import signed_in
from tests.factories.console import Site
from tests.factories.mailboxes import group_of
from tests.integration.serversync.waiting_mail import queued

pytestmark = pytest.mark.integration
LIST = "admin:serversync_submission_changelist"


@pytest.fixture
def doubtful(site: Site) -> list[Submission]:
    """Two of Ada's: one lost its answer, of one the worker was killed."""
    now, mailbox = timezone.now(), site.mailboxes["healthy"]
    emails = queued(mailbox, site.ada, 2, now)
    Email.objects.filter(pk__in=[email.pk for email in emails]).update(
        status_code=EmailStatus.SENDING
    )
    return [
        Submission.objects.create(
            email=email,
            mailbox=mailbox,
            email_server_profile=mailbox.email_server_profile,
            state=SubmissionState.UNKNOWN,
            claim_token=email.pk,
            claim_expires_at=now,
            handed_over_at=now,
            counts_at=now,
            server_reply=reply,
            look_again_at=look,
            not_found_at=look and now,
        )
        for email, reply, look in (
            (emails[0], "SocketTimedOut: no answer in 100 s", now + timedelta(minutes=10)),
            (emails[1], "", None),
        )
    ]


def press(client, action: str, rows: list[Submission], **more: str):
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    return client.post(f"{reverse(LIST)}?state__exact=unknown", data, follow=True)


def said(answer) -> str:
    return " | ".join(str(message) for message in get_messages(answer.wsgi_request))


def states(rows: list[Submission]) -> list[str]:
    return [Submission.objects.get(pk=row.pk).state for row in rows]


@pytest.mark.rule("R5.17")
def test_the_list_shows_what_is_known(site: Site, doubtful: list[Submission]) -> None:
    page = signed_in(site.administrator).get(f"{reverse(LIST)}?state__exact=unknown")

    text = page.content.decode()
    assert "Emails of which nobody knows whether they left" in text
    for words in (
        "SocketTimedOut: no answer in 100 s",
        "then no answer came",
        "then the worker ended",
        "looked for again at",
        "a person decides",
        str(site.mailboxes["healthy"].email_server_profile),
    ):
        assert words in text, words


@pytest.mark.rule("R5.17")
def test_an_alert_leads_to_the_list(site: Site, doubtful: list[Submission]) -> None:
    mailbox = site.mailboxes["healthy"]
    raise_alert(mailbox, "DeliveryUnknown", now=timezone.now(), object_key="email:1")
    alert = TraceLog.objects.get(code="DeliveryUnknown", object_key="email:1")
    client = signed_in(site.administrator)

    page = client.get(reverse("admin:mailboxes_tracelog_change", args=[alert.pk]))

    url = f"{reverse(LIST)}?state__exact=unknown&mailbox__id__exact={mailbox.pk}"
    assert url.replace("&", "&amp;") in page.content.decode()
    assert "then the worker ended" in client.get(url).content.decode()


@pytest.mark.rule("R5.17")
def test_many_are_said_to_have_left(site: Site, doubtful: list[Submission]) -> None:
    answer = press(signed_in(site.administrator), "it_left", doubtful)

    assert "2 emails were sent" in said(answer)
    assert states(doubtful) == [SubmissionState.ACCEPTED] * 2
    row = Submission.objects.get(pk=doubtful[0].pk)
    assert row.decided_by == site.administrator
    assert row.server_reply == doubtful[0].server_reply
    assert row.counts_at is not None
    page = signed_in(site.administrator).get(
        reverse("admin:activities_email_change", args=[row.email_id])
    )
    assert f"as {site.administrator} said" in page.content.decode()


@pytest.mark.rule("R5.17")
def test_many_are_sent_again_only_after_a_warning(site: Site, doubtful: list[Submission]) -> None:
    client = signed_in(site.administrator)

    asked = press(client, "it_did_not", doubtful)
    assert "its recipients get it twice" in asked.content.decode()
    assert states(doubtful) == [SubmissionState.UNKNOWN] * 2

    assert "2 emails did not leave" in said(press(client, "it_did_not", doubtful, sure="1"))
    assert states(doubtful) == [SubmissionState.RELEASED] * 2
    assert set(Submission.objects.values_list("counts_at", flat=True)) == {None}


@pytest.mark.rule("R5.17")
def test_what_became_known_meanwhile_stays(site: Site, doubtful: list[Submission]) -> None:
    found, _other = doubtful
    client = signed_in(site.administrator)
    Submission.objects.filter(pk=found.pk).update(state=SubmissionState.ACCEPTED)

    press(client, "it_did_not", doubtful, sure="1")

    assert states(doubtful) == [SubmissionState.ACCEPTED, SubmissionState.RELEASED]


@pytest.mark.rule("R5.17")
def test_only_who_may_change_the_email_decides(site: Site, doubtful: list[Submission]) -> None:
    """Whoever administers mailboxes sees the attempts, and decides nothing."""
    watcher = SystemUser.objects.create_user("watcher")
    group_of(watcher, "view_mailbox", reach=Reach.ALL)
    client = signed_in(watcher)
    assert (
        "then the worker ended"
        in client.get(reverse(LIST) + "?state__exact=unknown").content.decode()
    )

    answer = press(client, "it_left", doubtful)

    assert "permissions don't reach" in said(answer)
    assert states(doubtful) == [SubmissionState.UNKNOWN] * 2


@pytest.mark.rule("R5.14")
def test_a_learned_limit_is_shown_and_can_be_forgotten(site: Site) -> None:
    now = timezone.now()
    row = LearnedLimit.objects.create(
        mailbox=site.mailboxes["healthy"],
        window=Window.MINUTE,
        counted=Counted.MESSAGES,
        most=12,
        learned_at=now,
        hold_until=now + timedelta(minutes=1),
        server_reply="450 4.7.1 too many messages",
    )
    client = signed_in(site.administrator)
    page = client.get(reverse("admin:serversync_learnedlimit_changelist"))
    assert "12 messages in a minute" in page.content.decode()

    url = reverse("admin:serversync_learnedlimit_delete", args=[row.pk])
    client.post(url, {"post": "yes"})

    assert not LearnedLimit.objects.filter(pk=row.pk).exists()


@pytest.mark.rule("R5.14")
def test_limits_are_set_on_profile_and_mailbox(site: Site) -> None:
    client = signed_in(site.administrator)
    for model, record in (
        ("emailserverprofile", site.profile),
        ("mailbox", site.mailboxes["healthy"]),
    ):
        page = client.get(reverse(f"admin:mailboxes_{model}_change", args=[record.pk]))
        assert 'name="recipients_per_day"' in page.content.decode()
