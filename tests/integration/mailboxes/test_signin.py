"""Tokens of mailboxes: signing in, renewing, giving up, signing out, looking ahead."""

import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connection, transaction

from mailboxes import services, signin
from mailboxes.choices import CredentialRetrieval, OAuthGrant, ServerType
from mailboxes.connect import Direction, account_key, incoming_server, outgoing_server, settings_for
from mailboxes.models import EmailServerProfile, Mailbox
from mailboxes.protocols import oauth
from mailboxes.protocols.base import INBOX, Bearer
from mailboxes.protocols.errors import (
    AuthorityUnavailable,
    CertificateRejected,
    ClientRefused,
    ConsentMissing,
    HostDenied,
    ServerError,
    SignInExpired,
    SignInNeeded,
    SignInWrongAccount,
    TokenRefused,
)
from mailboxes.protocols.http import Reach, ask
from mailboxes.secrets import Secret
from mailboxes.signin import Outlook
from serversync.sandbox.servers import running_sandbox
from tests.contracts import message
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SuperuserFactory,
    SystemUserFactory,
    organization,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

ADA, BEN = "ada@sandbox.example", "ben@sandbox.example"
BACK = "https://console.example/mailboxes/connected/"
SCOPES = "mail openid email"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def running():
    with running_sandbox(accounts={ADA: "ada-password", BEN: "ben-password"}) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running):
    running.authority.add_client("client", "secret", [BACK])
    yield running
    running.authority.switches.__init__()
    running.authority.requests.clear()
    signin.forget_application_tokens()


@pytest.fixture
def profile(sandbox):
    return EmailServerProfileFactory(
        server_type=ServerType.IMAP_SMTP,
        incoming_server_location="localhost",
        incoming_port_number=sandbox.ports["imaps"],
        incoming_tls_mode=1,
        outgoing_server_location="localhost",
        outgoing_port_number=sandbox.ports["smtps"],
        outgoing_tls_mode=1,
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
        oauth_client_id="client",
        oauth_client_secret="secret",
        oauth_authorization_endpoint=f"{sandbox.authority_url}/authorize",
        oauth_token_endpoint=f"{sandbox.authority_url}/token",
        oauth_scopes=SCOPES,
        ca_certificate=sandbox.ca_pem,
    )


@pytest.fixture
def mailbox(profile):
    """Ada's, with nothing of a sign-in."""
    user = SystemUserFactory(internal_email_address=ADA)
    return ready_mailbox(user, email_server_profile=profile, user_name="", password="")


@pytest.fixture
def connected(mailbox, sandbox):
    """The same after her sign-in, whose access token lasts an hour."""
    return connect(mailbox, sandbox)


def connect(mailbox, sandbox, expires_in=timedelta(hours=1), scope=SCOPES):
    access, refresh = sandbox.authority.sign_in(ADA, "client", scope)
    Mailbox.objects.filter(pk=mailbox.pk).update(
        oauth_access_token=access,
        oauth_refresh_token=refresh,
        oauth_token_expires_on=NOW + expires_in,
        oauth_signed_in_on=NOW,
    )
    return fresh(mailbox)


def fresh(mailbox):
    return Mailbox.objects.select_related("email_server_profile", "regarding_user").get(
        pk=mailbox.pk
    )


def bearer(mailbox, **options):
    return signin.bearer_for(
        mailbox, mailbox.email_server_profile, CredentialRetrieval.GMAIL_OAUTH, **options
    )


def at_provider(sandbox, url, address=ADA, password="ada-password", decision="allow"):
    """What the person does on the provider's page: where the browser is sent then, taken apart."""
    reach = Reach(ca_pem=sandbox.ca_pem)
    assert ask("GET", url, reach).status == 200
    parts = urlsplit(url)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    form = {**asked, "address": address, "password": password, "decision": decision}
    answer = ask("POST", f"{sandbox.authority_url}/authorize", reach, form=form)
    assert answer.status == 302, answer
    where = urlsplit(answer.headers["Location"])
    assert answer.headers["Location"].startswith(BACK)
    return {name: values[0] for name, values in parse_qs(where.query).items()}


# -- signing in ----------------------------------------------------------------------------------


@pytest.mark.rule("R1.21")
def test_an_owner_signs_in_once_and_the_mailbox_opens(sandbox, mailbox):
    sandbox.store.deliver(ADA, message(1))
    owner = mailbox.regarding_user
    url, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    back = at_provider(sandbox, url)
    found = signin.finish_sign_in(pending, actor=owner, now=NOW, **back)
    row = fresh(mailbox)
    assert found.pk == row.pk
    assert row.is_oauth_access_token_set and row.is_oauth_refresh_token_set
    assert row.oauth_token_expires_on == NOW + timedelta(hours=1)
    assert (row.oauth_signed_in_as, row.oauth_signed_in_on) == (ADA, NOW)
    server = incoming_server(row, organization())
    assert len(server.list_new(INBOX, "", 10).items) == 1
    server.close()
    outgoing = outgoing_server(row, organization()).open()
    outgoing.close()
    assert sandbox.authority.requests.count("token refresh_token") == 0


def test_the_way_to_the_provider_says_what_is_asked_and_hides_the_verifier(mailbox):
    url, pending = signin.begin_sign_in(mailbox, mailbox.regarding_user, BACK, NOW)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert asked["redirect_uri"] == BACK
    assert asked["scope"] == SCOPES
    assert asked["login_hint"] == ADA
    assert asked["code_challenge_method"] == "S256"
    verifier = Secret(pending["verifier"]).reveal()
    assert asked["code_challenge"] == oauth.challenge_of(verifier)
    assert verifier not in url + str(pending)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "somebody-else's"},
        {"state": ""},
        {"now": NOW + timedelta(minutes=11)},
    ],
)
def test_a_sign_in_that_was_not_begun_here_and_now_is_refused(sandbox, mailbox, change):
    owner = mailbox.regarding_user
    url, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    values = {"now": NOW, **at_provider(sandbox, url), **change}
    with pytest.raises(signin.SignInLost):
        signin.finish_sign_in(pending, actor=owner, **values)
    assert not fresh(mailbox).is_oauth_access_token_set


def test_a_sign_in_ends_with_whoever_began_it(sandbox, mailbox):
    url, pending = signin.begin_sign_in(mailbox, mailbox.regarding_user, BACK, NOW)
    back = at_provider(sandbox, url)
    with pytest.raises(signin.SignInLost):
        signin.finish_sign_in(pending, actor=SuperuserFactory(), now=NOW, **back)


def test_a_code_is_good_for_one_time(sandbox, mailbox):
    owner = mailbox.regarding_user
    url, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    back = at_provider(sandbox, url)
    signin.finish_sign_in(pending, actor=owner, now=NOW, **back)
    with pytest.raises(SignInNeeded, match="used before"):
        signin.finish_sign_in(pending, actor=owner, now=NOW, **back)


def test_a_changed_address_ends_a_sign_in_that_is_under_way(sandbox, mailbox):
    owner = mailbox.regarding_user
    url, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    back = at_provider(sandbox, url)
    services.change_address(mailbox=mailbox, address="other@sandbox.example", now=NOW)
    with pytest.raises(signin.SignInLost):
        signin.finish_sign_in(pending, actor=owner, now=NOW, **back)


@pytest.mark.rule("R1.9")
@pytest.mark.parametrize(
    "changed",
    [
        {"oauth_token_endpoint": "https://evil.example/token"},
        {"oauth_client_id": "another"},
        {"ca_certificate": ""},
        {"incoming_server_location": "evil.example"},
    ],
)
def test_a_code_is_shown_to_no_provider_that_the_profile_got_meanwhile(sandbox, mailbox, changed):
    """With the verifier it would be good for tokens, of a client that has no secret."""
    owner = mailbox.regarding_user
    url, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    back = at_provider(sandbox, url)
    EmailServerProfile.objects.filter(pk=mailbox.email_server_profile_id).update(**changed)
    with pytest.raises(signin.SignInLost):
        signin.finish_sign_in(pending, actor=owner, now=NOW, **back)
    assert not any("token" in request for request in sandbox.authority.requests)


@pytest.mark.parametrize(
    "issuer", ["https://evil.example", "https://[", "https://localhost.evil.example/"]
)
def test_a_provider_that_was_not_asked_gives_no_code(sandbox, mailbox, issuer):
    """One provider may pass the person on to another, whose code would then be shown to the first."""
    owner = mailbox.regarding_user
    url, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    back = at_provider(sandbox, url)
    with pytest.raises(signin.SignInLost, match="Another provider"):
        signin.finish_sign_in(pending, actor=owner, now=NOW, **back | {"issuer": issuer})
    assert not any("token" in request for request in sandbox.authority.requests)


def test_the_provider_that_was_asked_may_say_so(sandbox, mailbox):
    owner = mailbox.regarding_user
    url, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    back = at_provider(sandbox, url)
    signin.finish_sign_in(pending, actor=owner, now=NOW, **back, issuer=sandbox.authority_url)
    assert fresh(mailbox).is_oauth_access_token_set


def test_the_name_of_an_error_is_fit_to_be_shown(mailbox):
    owner = mailbox.regarding_user
    _, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    with pytest.raises(ServerError) as failed:
        signin.finish_sign_in(
            pending, actor=owner, state=pending["state"], error="x\u202e\n<b>", now=NOW
        )
    assert failed.value.detail == "x <b>"


@pytest.mark.rule("R1.21")
def test_another_account_than_the_mailbox_is_refused(sandbox, mailbox):
    owner = mailbox.regarding_user
    url, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    back = at_provider(sandbox, url, BEN, "ben-password")
    with pytest.raises(SignInWrongAccount, match=BEN):
        signin.finish_sign_in(pending, actor=owner, now=NOW, **back)
    assert not fresh(mailbox).is_oauth_access_token_set


def test_where_the_provider_names_nobody_the_first_login_proves_the_account(sandbox, mailbox):
    sandbox.authority.switches.give_id_token = False
    owner = mailbox.regarding_user
    url, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    signin.finish_sign_in(
        pending, actor=owner, now=NOW, **at_provider(sandbox, url, BEN, "ben-password")
    )
    with pytest.raises(TokenRefused):
        incoming_server(fresh(mailbox), organization()).open()


def test_saying_no_at_the_provider_is_told(sandbox, mailbox):
    owner = mailbox.regarding_user
    url, pending = signin.begin_sign_in(mailbox, owner, BACK, NOW)
    back = at_provider(sandbox, url, decision="deny")
    back["description"] = back.pop("error_description")
    with pytest.raises(ConsentMissing, match="said no"):
        signin.finish_sign_in(pending, actor=owner, now=NOW, **back)


def test_strangers_connect_nothing(mailbox):
    stranger = SystemUserFactory()
    with pytest.raises(PermissionDenied):
        signin.begin_sign_in(mailbox, stranger, BACK, NOW)
    assert signin.may_sign_in(mailbox.regarding_user, mailbox)


def test_a_profile_without_sign_ins_says_so(mailbox):
    profile = mailbox.email_server_profile
    profile.incoming_credential_retrieval = CredentialRetrieval.USER_OR_QUEUE
    with pytest.raises(SignInNeeded, match="doesn't use sign-ins"):
        signin.begin_sign_in(mailbox, mailbox.regarding_user, BACK, NOW)


# -- a token for each login ----------------------------------------------------------------------


def test_a_token_that_lasts_costs_neither_statement_nor_request(sandbox, connected, statements):
    with statements() as made:
        token = bearer(connected).token("")
    assert sandbox.authority.introspect(token).address == ADA
    assert made == []
    assert sandbox.authority.requests == []


@pytest.mark.rule("R1.21")
def test_the_rotated_token_is_stored_before_the_new_one_is_used(sandbox, mailbox, monkeypatch):
    row = connect(mailbox, sandbox, timedelta(minutes=1))
    former = row.oauth_refresh_token.reveal()
    token = bearer(row).token("")
    stored = fresh(mailbox)
    assert stored.oauth_access_token.reveal() == token
    assert stored.oauth_refresh_token.reveal() not in ("", former)
    assert stored.oauth_token_expires_on > NOW + timedelta(minutes=50)
    assert stored.oauth_renewal_until is None
    assert sandbox.authority.requests == ["token refresh_token"]
    assert bearer(stored).token("") == token


def test_a_refused_token_is_renewed_though_it_should_last(sandbox, connected):
    sandbox.authority.expire_tokens()
    server = incoming_server(connected, organization())
    server.list_new(INBOX, "", 10)
    server.close()
    assert sandbox.authority.requests == ["token refresh_token"]


def test_without_rotation_the_refresh_token_stays(sandbox, mailbox):
    sandbox.authority.switches.rotate = False
    row = connect(mailbox, sandbox, timedelta(0))
    former = row.oauth_refresh_token
    bearer(row).token("")
    assert fresh(mailbox).oauth_refresh_token == former


def test_a_database_that_fails_once_loses_no_token(sandbox, mailbox, monkeypatch):
    row = connect(mailbox, sandbox, timedelta(0))
    update, failures, waits = signin.Mailbox.objects.none().update.__func__, ["locked"], []

    def failing(self, **columns):
        if "oauth_refresh_token" in columns and columns["oauth_refresh_token"] and failures:
            raise OperationalError(failures.pop())
        return update(self, **columns)

    monkeypatch.setattr("django.db.models.query.QuerySet.update", failing)
    token = bearer(row, sleep=waits.append).token("")
    assert fresh(mailbox).oauth_access_token.reveal() == token
    assert waits == [0.2]


@pytest.mark.rule("R1.21")
def test_a_refused_refresh_token_asks_for_a_person_once(sandbox, mailbox):
    row = connect(mailbox, sandbox, timedelta(0))
    sandbox.authority.revoke_account(ADA)
    with pytest.raises(SignInExpired):
        bearer(row).token("")
    stored = fresh(mailbox)
    assert stored.oauth_refused_code == "SignInExpired"
    assert not stored.is_oauth_refresh_token_set
    assert stored.oauth_signed_in_on == NOW
    sandbox.authority.requests.clear()
    with pytest.raises(SignInExpired):
        bearer(stored)
    assert sandbox.authority.requests == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_authority_is_asked_later(sandbox, mailbox, status):
    row = connect(mailbox, sandbox, timedelta(0))
    sandbox.authority.switches.fail = status
    with pytest.raises(AuthorityUnavailable) as caught:
        bearer(row).token("")
    assert caught.value.hint_seconds == (None if status == 500 else 30.0)
    stored = fresh(mailbox)
    assert stored.oauth_renewal_until is None
    assert stored.oauth_refresh_token == row.oauth_refresh_token
    sandbox.authority.switches.fail = 0
    assert bearer(stored).token("")


def test_a_silent_authority_is_not_waited_for(sandbox, mailbox, monkeypatch):
    row = connect(mailbox, sandbox, timedelta(0))
    sandbox.authority.switches.slow_seconds = 1.5
    monkeypatch.setattr(signin, "ANSWER_SECONDS", 0.3)
    with pytest.raises(AuthorityUnavailable, match="in time"):
        bearer(row).token("")


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"oauth_client_secret": "entered-wrongly"}, ClientRefused),
        ({"oauth_client_id": "unknown"}, ClientRefused),
        ({"ca_certificate": ""}, CertificateRejected),
    ],
)
def test_what_is_wrong_with_the_profile_is_told_apart(sandbox, mailbox, columns, kind):
    row = connect(mailbox, sandbox, timedelta(0))
    for name, value in columns.items():
        setattr(row.email_server_profile, name, value)
    with pytest.raises(kind) as caught:
        bearer(row).token("")
    assert "entered-wrongly" not in str(caught.value)
    assert fresh(mailbox).oauth_refused_code == ""


def test_denied_networks_hold_for_the_authority(sandbox, mailbox, settings):
    row = connect(mailbox, sandbox, timedelta(0))
    settings.MAIL_DENIED_NETWORKS = ["127.0.0.0/8"]
    with pytest.raises(HostDenied):
        bearer(row).token("")


def test_missing_consent_has_a_code_of_its_own(sandbox, mailbox):
    row = connect(mailbox, sandbox, timedelta(0))
    sandbox.authority.switches.consent_missing = True
    with pytest.raises(ConsentMissing):
        bearer(row).token("")
    assert fresh(mailbox).is_oauth_refresh_token_set


def test_before_the_first_sign_in_nothing_is_asked(sandbox, mailbox):
    with pytest.raises(SignInNeeded) as caught:
        settings_for(mailbox, organization(), Direction.INCOMING)
    assert caught.value.code == "SignInNeeded"
    assert sandbox.authority.requests == []


def test_a_profile_that_lacks_something_names_it(mailbox):
    mailbox.email_server_profile.oauth_client_id = ""
    with pytest.raises(signin.NotArranged, match="client id") as caught:
        settings_for(mailbox, organization(), Direction.INCOMING)
    assert caught.value.missing == ("oauth_client_id",)


def test_tokens_count_connections_by_mailbox(mailbox):
    key = account_key(mailbox, mailbox.email_server_profile, Direction.INCOMING)
    assert key == f"mailbox:{mailbox.pk}"


def test_nothing_shows_a_token(connected):
    made = settings_for(connected, organization(), Direction.INCOMING)
    token = connected.oauth_access_token.reveal()
    assert isinstance(made.credentials, Bearer)
    shown = (
        repr(made)
        + repr(connected.oauth_access_token)
        + repr(incoming_server(connected, organization()))
    )
    assert token not in shown
    assert connected.oauth_refresh_token.reveal() not in shown


# -- other accounts ------------------------------------------------------------------------------


def nothing_left(mailbox):
    row = fresh(mailbox)
    return not (
        row.is_oauth_access_token_set or row.is_oauth_refresh_token_set or row.oauth_signed_in_on
    )


@pytest.mark.rule("R1.43")
def test_a_changed_address_forgets_the_sign_in(connected):
    services.change_address(mailbox=connected, address="new@sandbox.example", now=NOW)
    assert nothing_left(connected)


@pytest.mark.rule("R1.45")
def test_the_sign_in_of_a_deleted_user_goes_with_the_user(connected):
    SuperuserFactory()
    connected.regarding_user.delete()
    assert nothing_left(connected)


@pytest.mark.rule("R1.44")
@pytest.mark.parametrize("column", ["user_name", "email_server_profile"])
def test_another_account_or_profile_forgets_the_sign_in(connected, profile, column):
    value = EmailServerProfileFactory() if column == "email_server_profile" else "somebody"
    setattr(connected, column, value)
    services.save_mailbox(mailbox=connected, changed_fields=[column], now=NOW)
    assert nothing_left(connected)


@pytest.mark.rule("R1.44")
@pytest.mark.parametrize(
    ("column", "value", "forgotten"),
    [
        ("oauth_client_id", "another", True),
        ("oauth_scopes", "mail", True),
        ("description", "words", False),
    ],
)
def test_another_client_forgets_the_sign_ins_of_all_its_mailboxes(
    connected, profile, column, value, forgotten
):
    setattr(profile, column, value)
    services.save_profile(profile=profile, changed_fields=[column], now=NOW)
    assert nothing_left(connected) is forgotten


def test_an_answer_for_a_former_account_is_nobodys(sandbox, mailbox, monkeypatch):
    """Between the question and the answer somebody gives the mailbox another address."""
    row = connect(mailbox, sandbox, timedelta(0))
    ask_authority = oauth.refresh

    def meanwhile(*args, **kwargs):
        tokens = ask_authority(*args, **kwargs)
        services.change_address(mailbox=row, address="new@sandbox.example", now=NOW)
        return tokens

    monkeypatch.setattr(oauth, "refresh", meanwhile)
    with pytest.raises(AuthorityUnavailable, match="changed meanwhile"):
        bearer(fresh(mailbox)).token("")
    assert nothing_left(mailbox)


# -- applications --------------------------------------------------------------------------------


@pytest.fixture
def application(profile):
    profile.incoming_credential_retrieval = CredentialRetrieval.ENTRA_OAUTH
    profile.oauth_scopes = "https://outlook.office365.com/.default"
    profile.save()
    return profile


def application_token(mailbox, refused=""):
    retrieval = CredentialRetrieval.ENTRA_OAUTH
    return signin.bearer_for(mailbox, mailbox.email_server_profile, retrieval).token(refused)


@pytest.mark.rule("R1.20")
def test_a_client_opens_every_mailbox_with_one_token(sandbox, mailbox, application):
    row = fresh(mailbox)
    for _ in range(2):
        server = incoming_server(row, organization()).open()
        server.close()
    assert sandbox.authority.requests == ["token client_credentials"]
    assert nothing_left(mailbox)


def test_an_authority_that_takes_basic_only_is_understood(sandbox, mailbox, application):
    sandbox.authority.switches.basic_only = True
    assert sandbox.authority.introspect(application_token(fresh(mailbox))).is_application


def test_a_changed_secret_is_not_served_the_former_token(sandbox, mailbox, application):
    row = fresh(mailbox)
    application_token(row)
    row.email_server_profile.oauth_client_secret = "another"
    with pytest.raises(ClientRefused):
        application_token(row)


def test_a_refused_application_token_is_asked_for_anew(sandbox, mailbox, application):
    row = fresh(mailbox)
    first = application_token(row)
    assert application_token(row) == first
    assert application_token(row, first) != first


def test_owners_sign_in_at_entra_where_the_profile_says_so(sandbox, mailbox, application):
    application.oauth_grant = OAuthGrant.MAILBOX
    application.save()
    with pytest.raises(SignInNeeded):
        settings_for(fresh(mailbox), organization(), Direction.INCOMING)


# -- signing out, looking ahead ------------------------------------------------------------------


def test_signing_out_forgets_and_revokes(sandbox, connected):
    token = connected.oauth_access_token.reveal()
    assert signin.sign_out(connected) is True
    assert nothing_left(connected)
    assert sandbox.authority.introspect(token) is None


def test_signing_out_forgets_though_the_provider_is_away(sandbox, connected):
    connected.email_server_profile.oauth_token_endpoint = "https://localhost:1/token"
    connected.email_server_profile.save()
    with pytest.raises(AuthorityUnavailable):
        signin.sign_out(connected)
    assert nothing_left(connected)


@pytest.mark.rule("R1.9")
def test_signing_out_shows_the_token_to_no_other_authority(sandbox, connected):
    Mailbox.objects.filter(pk=connected.pk).update(secrets_place="another")
    assert signin.sign_out(connected) is False
    assert nothing_left(connected)
    assert sandbox.authority.requests == []


@pytest.mark.rule("R1.21")
def test_the_forecast_tells_what_is_to_be_done(sandbox, mailbox):
    def outlook(**columns):
        row = fresh(mailbox)
        for name, value in columns.items():
            setattr(row, name, value)
        return signin.forecast(row, NOW).outlook

    assert outlook() is Outlook.NEVER
    connect(mailbox, sandbox)
    assert outlook() is Outlook.GOOD
    assert outlook(oauth_refresh_token="") is Outlook.ENDS
    over = NOW - timedelta(days=1)
    assert outlook(oauth_refresh_token="", oauth_token_expires_on=over) is Outlook.REFUSED
    assert outlook(oauth_refused_code="SignInExpired") is Outlook.REFUSED
    profile = mailbox.email_server_profile
    profile.oauth_client_secret_expires_on = (NOW + timedelta(days=3)).date()
    assert outlook(email_server_profile=profile) is Outlook.SECRET_ENDS
    profile.oauth_client_id = ""
    assert outlook(email_server_profile=profile) is Outlook.NOT_ARRANGED
    profile.incoming_credential_retrieval = CredentialRetrieval.USER_OR_QUEUE
    assert outlook(email_server_profile=profile) is Outlook.NOT_NEEDED


@pytest.mark.rule("R1.21")
def test_a_token_that_lies_unused_is_told_before_it_dies(mailbox, sandbox):
    row = connect(mailbox, sandbox)
    profile = row.email_server_profile
    profile.oauth_token_endpoint = profile.oauth_authorization_endpoint = ""
    row.oauth_token_expires_on = NOW - timedelta(days=170)
    seen = signin.forecast(row, NOW)
    assert (seen.outlook, seen.at) == (Outlook.IDLE, NOW + timedelta(days=10))


@pytest.mark.rule("R1.21")
def test_gmail_profiles_are_counted_before_the_provider_counts(mailbox, sandbox, monkeypatch):
    row = connect(mailbox, sandbox)
    assert signin.connected_mailboxes(row.email_server_profile) == 1
    assert signin.crowded_gmail_profiles() == []
    monkeypatch.setattr(signin, "GMAIL_WARNING_AT", 1)
    assert signin.crowded_gmail_profiles() == [(row.email_server_profile, 1)]


# -- races and crashes ---------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_no_network_inside_a_transaction(sandbox, mailbox):
    row = connect(mailbox, sandbox, timedelta(0))
    with transaction.atomic(), pytest.raises(RuntimeError):
        bearer(row).token("")
    assert sandbox.authority.requests == []


@pytest.mark.rule("R1.21")
@pytest.mark.django_db(transaction=True)
def test_two_that_renew_at_once_keep_the_one_rotated_token(sandbox, mailbox):
    """The authority ends the whole sign-in if a refresh token comes twice."""
    connect(mailbox, sandbox, timedelta(0))
    sandbox.authority.switches.slow_seconds = 0.3
    rows = [fresh(mailbox) for _ in range(3)]
    together, tokens = threading.Barrier(len(rows)), []

    def work(row):
        try:
            together.wait()
            tokens.append(bearer(row).token(""))
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 3 and len(set(tokens)) == 1
    assert sandbox.authority.requests == ["token refresh_token"]
    stored = fresh(mailbox)
    Mailbox.objects.filter(pk=mailbox.pk).update(oauth_token_expires_on=NOW)
    assert bearer(fresh(mailbox)).token("") not in tokens
    assert stored.oauth_refused_code == ""


def test_a_dead_worker_is_waited_for_no_longer_than_its_lease(sandbox, mailbox):
    row = connect(mailbox, sandbox, timedelta(0))
    until = NOW + timedelta(minutes=1)
    Mailbox.objects.filter(pk=row.pk).update(oauth_renewal_until=until)
    clock = iter([NOW, NOW, NOW, *[until + timedelta(seconds=1)] * 20])
    waits = []
    token = bearer(fresh(row), clock=lambda: next(clock), sleep=waits.append).token("")
    assert token and waits


def test_a_crash_before_the_answer_is_stored_asks_for_a_person_where_tokens_rotate(
    sandbox, mailbox
):
    """The honest limit: the authority has rotated, and its answer is gone."""
    row = connect(mailbox, sandbox, timedelta(0))
    sandbox.authority.switches.lose_answer = True
    with pytest.raises(AuthorityUnavailable):
        bearer(row).token("")
    sandbox.authority.switches.lose_answer = False
    with pytest.raises(SignInExpired):
        bearer(fresh(mailbox)).token("")


def test_a_crash_before_the_answer_is_stored_costs_nothing_where_they_stay(sandbox, mailbox):
    sandbox.authority.switches.rotate = False
    row = connect(mailbox, sandbox, timedelta(0))
    sandbox.authority.switches.lose_answer = True
    with pytest.raises(AuthorityUnavailable):
        bearer(row).token("")
    sandbox.authority.switches.lose_answer = False
    assert bearer(fresh(mailbox)).token("")
