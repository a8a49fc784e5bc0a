"""What cycles say about a server: once on its profile, and over for all when it answers again."""

from datetime import UTC, datetime, timedelta

import pytest

from mailboxes.choices import CredentialRetrieval, Operation, TraceLevel
from mailboxes.models import EmailServerProfile, Mailbox, TraceLog
from serversync.outages import clear_told, code_for, tell_failure
from tests.factories.mailboxes import EmailServerProfileFactory, organization, ready_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.database("sqlite")]

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def pair() -> tuple[Mailbox, Mailbox]:
    profile = EmailServerProfileFactory()
    return ready_mailbox(email_server_profile=profile), ready_mailbox(email_server_profile=profile)


def told() -> set[str]:
    return set(TraceLog.objects.filter(closed_on__isnull=True).values_list("code", flat=True))


@pytest.mark.rule("R8.5")
def test_a_server_that_answers_again_is_told_once_until_its_next_outage(pair):
    one, other = pair
    site = organization()
    for mailbox in pair:
        tell_failure(mailbox, site, "SecureConnectionFailed", "x", NOW, permanent=True)
    assert TraceLog.objects.count() == 1

    for minutes, mailbox in enumerate(pair):
        later = NOW + timedelta(minutes=minutes)
        clear_told(mailbox, {"SecureConnectionFailed"}, later)

    assert told() == {"ProfileRecovered"}
    recovered = TraceLog.objects.get(code="ProfileRecovered")
    assert (recovered.regarding_profile, recovered.occurrences) == (one.email_server_profile, 1)
    assert recovered.level == TraceLevel.INFORMATION
    tell_failure(other, site, "SecureConnectionFailed", "x", NOW, permanent=True)
    assert told() == {"SecureConnectionFailed"}


@pytest.mark.rule("R8.5")
def test_a_refused_account_of_the_profile_is_the_profiles(pair):
    mailbox, _other = pair
    assert code_for("InvalidCredentials", mailbox, Operation.INCOMING) == "InvalidCredentials"
    EmailServerProfile.objects.update(
        incoming_credential_retrieval=CredentialRetrieval.PROFILE,
        use_same_settings_for_outgoing_connections=False,
    )
    mailbox = Mailbox.objects.get(pk=mailbox.pk)

    assert code_for("InvalidCredentials", mailbox, Operation.INCOMING) == "8005E272"
    assert code_for("InvalidCredentials", mailbox, Operation.OUTGOING) == "InvalidCredentials"
    assert code_for("SocketTimedOut", mailbox, Operation.INCOMING) == "SocketTimedOut"
    site = organization()
    for each in pair:
        tell_failure(each, site, "8005E272", "refused", NOW, permanent=True)
    alert = TraceLog.objects.get()
    assert (alert.regarding_profile, alert.occurrences) == (mailbox.email_server_profile, 2)
