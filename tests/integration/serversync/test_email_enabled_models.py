"""docs/email-enabled-models.md, followed step by step with a model that is not email-enabled by itself."""

import pytest
from django.conf import settings as site
from django.core.checks import run_checks
from django.core.management import call_command
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from mailboxes import search
from mailboxes.choices import FilteringMethod
from mailboxes.models import EmailSearch, Team
from serversync.explain import explain
from tests.factories.mailboxes import QueueFactory, TeamFactory

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

MAIL = b"""\
From: Partners <partners@example.org>
To: support@example.com
Message-ID: <1@example.org>
Date: Mon, 05 Jan 2026 09:00:00 +0000
Subject: Hello

Hello.
"""


@pytest.fixture
def enabled(settings):
    """The setting, as it acts when a site starts with it."""
    settings.EMAIL_ENABLED_MODELS = [*site.EMAIL_ENABLED_MODELS, "mailboxes.Team"]
    search.connect()
    yield
    for signal, word in ((post_save, "save"), (post_delete, "delete")):
        assert signal.disconnect(sender=Team, dispatch_uid=f"emailsearch-{word}-{Team._meta.label}")


@pytest.fixture
def queue():
    return QueueFactory.create(
        email_address="support@example.com",
        incoming_email_filtering_method=FilteringMethod.EMAIL_ENABLED,
    )


def decision(queue):
    (explained,) = explain(MAIL, queue.default_mailbox, timezone.now(), timezone.now())
    return explained.data


def test_mail_from_a_model_that_is_not_enabled_comes_from_a_stranger(queue):
    TeamFactory.create(email_address="partners@example.org")

    assert decision(queue)["reason"] == "NoCorrelationMatch"


def test_mail_from_an_enabled_model_is_accepted_because_its_sender_is_known(queue, enabled):
    TeamFactory.create(name="Partners", email_address="Partners@example.org")

    told = decision(queue)

    assert (told["outcome"], told["reason"]) == ("tracked", "SenderMatch")


def test_records_from_before_the_setting_are_found_after_reindexing(queue, request):
    team = TeamFactory.create(email_address="partners@example.org")
    request.getfixturevalue("enabled")
    assert decision(queue)["reason"] == "NoCorrelationMatch"

    call_command("reindex_addresses", "mailboxes.Team")

    assert decision(queue)["reason"] == "SenderMatch"
    assert EmailSearch.objects.filter(parent_id=str(team.pk)).count() == 1


def test_deleted_record_is_found_no_more(queue, enabled):
    TeamFactory.create(email_address="partners@example.org").delete()

    assert decision(queue)["reason"] == "NoCorrelationMatch"


def test_wrong_labels_are_complained_about(settings):
    settings.EMAIL_ENABLED_MODELS = ["purchasing.Supplier", "activities.ActivityPointer"]

    assert {"serversync.E007", "serversync.E008"} <= {one.id for one in run_checks()}
