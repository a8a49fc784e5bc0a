"""What a mailbox's page says of a server that tells of new mail by itself, or doesn't."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from mailboxes.choices import Reach, ServerType
from serversync.console.pushed import push_of
from serversync.models import MailboxWatch, WatchProcess
from serversync.watch.choice import TOO_FEW_CONNECTIONS
from tests.factories.clients import signed_in
from tests.factories.mailboxes import group_of
from tests.integration.serversync.cycles import profile, user_mailbox

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.database("sqlite"),
    pytest.mark.rule("R10.1"),
]


@pytest.fixture
def mailbox():
    mailbox = user_mailbox()
    mailbox.email_server_profile = profile()
    mailbox.save()
    return mailbox


@pytest.fixture
def process():
    return WatchProcess.objects.create(name="web-1:42")


def test_nothing_is_said_where_nobody_listens(mailbox):
    long_ago = timezone.now() - timedelta(hours=1)
    WatchProcess.objects.create(name="web-1:41", seen_at=long_ago)
    assert push_of(mailbox, timezone.now()) is None


def test_since_when(mailbox, process, admin_client):
    now = timezone.now()
    row = MailboxWatch.objects.create(mailbox=mailbox, process=process)
    assert push_of(mailbox, now).badge == "Connecting"
    row.since, row.last_event_at, row.events = now - timedelta(hours=2), now, 3
    row.save()
    push = push_of(mailbox, now)
    assert (push.badge, push.since, push.last_event_at) == ("Pushed", row.since, now)
    assert "3 times" in push.words
    page = admin_client.get(reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk]))
    assert b'id="push"' in page.content and b"Connected" in page.content


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"push": False}, "switched off"),
        ({"server_type": ServerType.POP3_SMTP}, "Servers of this type"),
        ({}, "Nobody listens to its server so far"),
    ],
)
def test_why_it_is_polled(mailbox, process, columns, words):
    for name, value in columns.items():
        setattr(mailbox.email_server_profile, name, value)
    assert words in push_of(mailbox, timezone.now()).words


@pytest.mark.parametrize(
    ("code", "words"),
    [(TOO_FEW_CONNECTIONS, "No connection of its account"), ("InvalidCredentials", "password")],
)
def test_why_it_failed(mailbox, process, code, words):
    retry_at = timezone.now() + timedelta(hours=1)
    MailboxWatch.objects.create(
        mailbox=mailbox, last_error_code=code, last_error_text="its words", retry_at=retry_at
    )
    push = push_of(mailbox, timezone.now())
    assert words in push.words
    assert (push.badge, push.retry_at, push.detail) == ("Polled", retry_at, "its words")


def test_the_front_page_names_who_listens_to_how_many_and_who_fell_silent(
    mailbox, process, admin_client
):
    now = timezone.now()
    MailboxWatch.objects.create(mailbox=mailbox, process=process, since=now)
    MailboxWatch.objects.create(mailbox=user_mailbox("ben"), process=process)
    silent = WatchProcess.objects.create(name="web-0:7", seen_at=now - timedelta(minutes=3))
    page = admin_client.get(reverse("admin:index"))
    told = [
        (each.process, each.listening, each.connecting, each.late)
        for each in page.context["listeners"]
    ]
    assert told == [(silent, 0, 0, True), (process, 1, 1, False)]
    shown = page.content.decode().partition('id="listeners"')[2].partition("</section>")[0]
    assert "web-1:42" in shown and shown.index("web-0:7") < shown.index("late")


def test_who_sees_some_mailboxes_alone_reads_nothing_of_processes(mailbox, process):
    group_of(mailbox.owning_user, "view_workload", reach=Reach.OWN)
    page = signed_in(mailbox.owning_user).get(reverse("admin:index"))
    assert not page.context["listeners"]
    assert "web-1:42" not in page.content.decode()
