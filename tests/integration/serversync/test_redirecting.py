"""A site for staging: whatever it sends goes to one address, and nobody can overlook it."""

from email import message_from_bytes
from email.policy import default

import pytest
from django.urls import reverse

from activities import blobs
from activities.choices import DeliveryResult, EmailStatus
from activities.mime.message import Address
from activities.models import ActivityParty, Email
from mailboxes.choices import CredentialRetrieval
from mailboxes.connect import outgoing_server
from mailboxes.models import SystemUser
from mailboxes.redirect import OnlyTo
from serversync import outbox
from serversync.models import ServerAction, Submission
from tests.integration.serversync import test_creation, test_testing
from tests.integration.serversync.cycles import Account, organization, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

STAGING = "staging@example.net"


@pytest.fixture(autouse=True)
def staging(settings) -> None:
    settings.REDIRECT_ALL_MAIL_TO = STAGING


@pytest.fixture
def ada() -> Account:
    organization(allow_unresolved_parties_on_email_send=True)
    return Account(user_mailbox("ada"))


def sent_by(account: Account, **columns) -> Email:
    user = account.mailbox.regarding_user
    draft = outbox.Draft(
        sender=user,
        **{
            "to": (Address("ben@example.org"), Address("cleo@example.org")),
            "bcc": (Address("eve@example.org"),),
            "subject": "Delivery",
            "body": "<p>Words</p>",
        }
        | columns,
    )
    email = outbox.create_draft(draft, actor=user, now=account.now)
    outbox.submit(email, actor=user, now=account.now)
    account.send()
    return Email.objects.get(pk=email.pk)


def test_it_leaves_to_the_one_address_and_all_rows_say_so(ada: Account) -> None:
    email = sent_by(ada)

    (envelope,) = ada.outgoing.sent
    assert envelope.recipients == (STAGING,)
    assert email.status_code == EmailStatus.SENT
    assert Submission.objects.get().redirected_to == STAGING
    told = ActivityParty.objects.filter(activity=email.pk).exclude(participation_type_mask=1)
    assert set(told.values_list("delivery_result", "delivery_detail")) == {
        (DeliveryResult.REDIRECTED, STAGING)
    }
    assert set(told.values_list("address_used", flat=True)) == {
        "ben@example.org",
        "cleo@example.org",
        "eve@example.org",
    }


def test_the_copy_in_sent_items_shows_it(ada: Account) -> None:
    email = sent_by(ada)

    action = ServerAction.objects.get()
    kept = message_from_bytes(blobs.read(Email.objects.get().mime), policy=default)
    assert action.argument == str(email.pk)  # which files the kept bytes
    assert kept["Subject"].startswith("[Redirected] ")
    assert kept["X-Intended-Bcc"] == "eve@example.org"


def test_answers_and_forwards_of_people_go_there_too(ada: Account) -> None:
    first = sent_by(ada)
    user = ada.mailbox.regarding_user
    answer = outbox.reply(first, actor=user, now=ada.now)
    outbox.submit(answer, actor=user, now=ada.now)

    ada.send()

    assert {envelope.recipients for envelope in ada.outgoing.sent} == {(STAGING,)}
    assert len(ada.outgoing.sent) == 2


def test_automatic_answers_go_there_too() -> None:
    support = test_creation.queue()
    test_creation.rule(support, allow_unknown_sender=True, answers=True)
    test_creation.deliver(support)
    support.receive()

    support.send()

    (envelope,) = support.outgoing.sent
    sent = message_from_bytes(envelope.mime, policy=default)
    assert envelope.recipients == (STAGING,)
    assert sent["Auto-Submitted"] == "auto-replied"
    assert sent["X-Intended-To"] == test_creation.RITA


def test_the_message_of_test_and_enable_goes_there_too() -> None:
    bench = test_testing.Bench()

    bench.run()

    (server,) = bench.sent
    assert [envelope.recipients for envelope in server.sent] == [(STAGING,)]


def test_every_adapter_is_guarded(ada: Account) -> None:
    profile = ada.mailbox.email_server_profile
    type(profile).objects.update(outgoing_credential_retrieval=CredentialRetrieval.ANONYMOUS)
    type(profile).objects.update(use_same_settings_for_outgoing_connections=False)
    ada.mailbox.refresh_from_db()

    assert isinstance(outgoing_server(ada.mailbox, organization()), OnlyTo)


def test_what_was_claimed_before_the_switch_says_where_it_went(ada: Account, settings) -> None:
    settings.REDIRECT_ALL_MAIL_TO = ""
    email = sent_by(ada)

    assert Submission.objects.get().redirected_to == ""
    results = ActivityParty.objects.filter(activity=email.pk, participation_type_mask=2)
    assert set(results.values_list("delivery_result", flat=True)) == {DeliveryResult.ACCEPTED}


def test_each_page_says_so_and_the_page_of_the_email_where_it_went(ada: Account, client) -> None:
    email = sent_by(ada)
    SystemUser.objects.filter(pk=ada.mailbox.regarding_user_id).update(is_superuser=True)
    client.force_login(SystemUser.objects.get(pk=ada.mailbox.regarding_user_id))
    pages = [
        reverse("admin:index"),
        reverse("admin:mailboxes_organization_changelist"),
        reverse("admin:activities_email_add"),
        reverse("admin:rules"),
        reverse("admin:activities_contact_add") + "?_popup=1",
    ]

    shown = [client.get(page, follow=True).content.decode() for page in pages]
    page = client.get(reverse("admin:activities_email_change", args=[email.pk])).content.decode()
    client.logout()
    shown.append(client.get(reverse("admin:login")).content.decode())

    assert [one.count('class="redirected"') for one in [*shown, page]] == [1] * 7
    assert all(STAGING in one for one in shown)
    assert f"This email went to {STAGING} and to nobody else." in page
    assert "by the site itself" not in page
