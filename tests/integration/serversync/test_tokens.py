"""Tokens, seen from the whole engine: mail comes and goes with them, each fault has its consequence, and
a worker that is killed while it renews one leaves nothing half done."""

from datetime import timedelta

import pytest
from django.utils import timezone

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes import choices, signin
from mailboxes.choices import CredentialRetrieval
from mailboxes.models import Mailbox, TraceLog
from mailboxes.protocols.errors import SignInExpired
from serversync import testing
from serversync.choices import WorkloadState
from serversync.sandbox.servers import running_sandbox
from tests.integration.serversync.connected import INCOMING, only, profile_at, run_due, write
from tests.integration.serversync.cycles import NOW, message, organization, user_mailbox
from tests.integration.serversync.killing import killed_at

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

ADA, BEN = "ada@example.com", "ben@example.com"
SCOPES = "mail openid email"


@pytest.fixture(scope="module")
def running():
    accounts = {ADA: "ada-password", BEN: "ben-password"}
    with running_sandbox(accounts=accounts, local_domains=("example.com",)) as sandbox:
        sandbox.authority.add_client("client", "secret")
        yield sandbox


@pytest.fixture
def sandbox(running):
    for address in (ADA, BEN):
        running.store.remove(address, "INBOX", running.store.uids(address))
    yield running
    running.authority.switches.__init__()
    running.authority.requests.clear()
    signin.forget_application_tokens()


@pytest.fixture
def mailbox(sandbox):
    """Ada's, connected; its access token is over, so each cycle begins with a renewal."""
    organization(allow_unresolved_parties_on_email_send=True)
    profile = profile_at(
        sandbox,
        sandbox,
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
        oauth_client_id="client",
        oauth_client_secret="secret",
        oauth_authorization_endpoint=f"{sandbox.authority_url}/authorize",
        oauth_token_endpoint=f"{sandbox.authority_url}/token",
        oauth_scopes=SCOPES,
    )
    row = user_mailbox("ada", email_server_profile=profile)
    row.workloads.update(next_run_at=NOW)
    return connected(row, sandbox)


def connected(row, sandbox):
    access, refresh = sandbox.authority.sign_in(ADA, "client", SCOPES)
    Mailbox.objects.filter(pk=row.pk).update(
        oauth_access_token=access,
        oauth_refresh_token=refresh,
        oauth_token_expires_on=timezone.now(),
        oauth_signed_in_on=timezone.now(),
        oauth_renewal_until=None,
        oauth_refused_code="",
    )
    return fresh(row)


def fresh(row):
    return Mailbox.objects.select_related("email_server_profile").get(pk=row.pk)


def tracked():
    received = Email.objects.filter(direction_code=False)
    return [email.message_id.strip("<>") for email in received]


def incoming(row):
    return row.workloads.get(operation=INCOMING)


@pytest.mark.rule("R1.21")
def test_mail_comes_and_goes_with_one_renewed_token(sandbox, mailbox):
    sandbox.deliver(ADA, message(message_id="1@customer.example"))
    sent = write(mailbox, BEN)
    run_due()
    assert tracked() == ["1@customer.example"]
    assert Email.objects.get(pk=sent.pk).status_code == EmailStatus.SENT
    assert len(sandbox.store.messages(BEN)) == 1
    assert sandbox.authority.requests == ["token refresh_token"]


@pytest.mark.rule("R1.21", "R8.2")
def test_a_revoked_sign_in_disables_the_workload_and_names_the_cure(sandbox, mailbox):
    only(mailbox, INCOMING)
    sandbox.authority.revoke_account(ADA)
    run_due()
    workload = incoming(mailbox)
    assert (workload.enabled, workload.state) == (False, WorkloadState.DISABLED)
    assert workload.state_code == "SignInExpired"
    assert TraceLog.objects.filter(code="SignInExpired", regarding_mailbox=mailbox).exists()


def test_an_authority_that_asks_for_patience_gets_it(sandbox, mailbox):
    only(mailbox, INCOMING)
    sandbox.authority.switches.change({"fail": 429, "retry_after": 1800})
    run_due()
    workload = incoming(mailbox)
    assert workload.enabled
    assert workload.state == WorkloadState.READY
    assert workload.last_error_code == "AuthorityUnavailable"
    assert workload.postponed_until >= NOW + timedelta(seconds=1800)
    sandbox.authority.switches.fail = 0
    sandbox.deliver(ADA, message(message_id="2@customer.example"))
    run_due(workload.postponed_until + timedelta(minutes=1))
    assert tracked() == ["2@customer.example"]


def test_the_test_shows_the_step_that_gets_the_token(sandbox, mailbox):
    only(mailbox, INCOMING)
    testing.test_mailbox(mailbox, clock=lambda: NOW)
    workload = incoming(mailbox)
    assert [step["step"] for step in workload.test_steps][:2] == ["authorize", "resolve"]
    assert workload.test_status == choices.TestStatus.SUCCESS
    shown = str(workload.test_steps)
    assert fresh(mailbox).oauth_access_token.reveal() not in shown
    connected(mailbox, sandbox)
    sandbox.authority.revoke_account(ADA)
    testing.test_mailbox(fresh(mailbox), clock=lambda: NOW)
    (step,) = incoming(mailbox).test_steps
    assert (step["step"], step["ok"], step["code"]) == ("authorize", False, "SignInExpired")


# -- killed while renewing -----------------------------------------------------------------------


def renew(row, at=None):
    retrieval = CredentialRetrieval.GMAIL_OAUTH
    clock = (lambda: at) if at else timezone.now
    return signin.bearer_for(row, row.email_server_profile, retrieval, clock=clock).token("")


@pytest.mark.rule("R1.21")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rotates", [True, False])
def test_a_worker_killed_while_it_renews_leaves_a_token_or_says_that_none_is_left(
    sandbox, mailbox, rotates
):
    """At every boundary of the database. Only between the authority's answer and its being stored, and
    only where refresh tokens are good for one use, a person is needed afterwards; and then it is said."""
    sandbox.authority.switches.rotate = rotates
    outcomes = []
    for boundary in range(1, 20):
        row = connected(mailbox, sandbox)
        sandbox.authority.requests.clear()
        if not killed_at(boundary, lambda boundaries, row=row: renew(row) and None):
            break
        asked = len(sandbox.authority.requests)
        later = timezone.now() + signin.RENEWAL_LEASE + timedelta(seconds=1)
        try:
            token = renew(fresh(mailbox), later)
        except SignInExpired:
            assert fresh(mailbox).oauth_refused_code == "SignInExpired"
            outcomes.append((asked, "person"))
        else:
            assert sandbox.authority.introspect(token).address == ADA
            assert fresh(mailbox).oauth_access_token.reveal() == token
            outcomes.append((asked, "token"))
    assert outcomes[0] == (0, "token")
    assert outcomes[-1] == (1, "token")
    assert outcomes.count((1, "person")) == (1 if rotates else 0)
    assert len(outcomes) >= 4
