"""Stored secrets stay with the servers that they were entered for (R1.9)."""

from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied, ValidationError

from mailboxes import services
from mailboxes.alerts import raise_alert
from mailboxes.choices import CredentialRetrieval, Reach, ServerType
from mailboxes.connect import Direction, SecretsKeptBack, settings_for
from mailboxes.models import EmailServerProfile, Mailbox, TraceLog
from mailboxes.services import SecretsStayBehind
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    ForwardMailboxFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
    organization,
    ready_mailbox,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.rule("R1.9"),
]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVIL = "evil.example"


def save_profile(profile, actor=None, move=False, **columns):
    row = EmailServerProfile.objects.get(pk=profile.pk)
    for name, value in columns.items():
        setattr(row, name, value)
    services.save_profile(
        profile=row, changed_fields=list(columns), now=NOW, actor=actor, move_secrets=move
    )
    return EmailServerProfile.objects.get(pk=profile.pk)


def save_mailbox(mailbox, actor=None, **columns):
    row = fresh(mailbox)
    for name, value in columns.items():
        setattr(row, name, value)
    services.save_mailbox(mailbox=row, changed_fields=list(columns), now=NOW, actor=actor)
    return fresh(mailbox)


def fresh(mailbox):
    return Mailbox.objects.select_related("email_server_profile", "regarding_user").get(
        pk=mailbox.pk
    )


def password_of(mailbox):
    """What would be sent, or None if it is kept back."""
    try:
        return settings_for(fresh(mailbox), organization(), Direction.INCOMING).credentials.password
    except SecretsKeptBack:
        return None


def tokens_for(mailbox):
    Mailbox.objects.filter(pk=mailbox.pk).update(
        oauth_access_token="an-access-token", oauth_refresh_token="a-refresh-token"
    )


# -- secrets of the profile


def test_a_profiles_password_is_entered_again_for_another_server():
    profile = EmailServerProfileFactory(own_credentials=True)

    with pytest.raises(SecretsStayBehind) as refused:
        save_profile(profile, incoming_server_location=EVIL)
    assert set(refused.value.message_dict) == {"incoming_password"}
    profile.refresh_from_db()
    assert profile.incoming_server_location == "mail.example.com"

    moved = save_profile(profile, incoming_server_location=EVIL, incoming_password="another")
    assert moved.incoming_password.reveal() == "another"
    gone = save_profile(moved, incoming_port_number=1993, incoming_password="")
    assert not gone.incoming_password


def test_a_profiles_secrets_cannot_be_moved_step_by_step():
    """Each step alone looks harmless: the outgoing server isn't sent the incoming password yet."""
    profile = EmailServerProfileFactory(
        own_credentials=True, use_same_settings_for_outgoing_connections=False
    )
    save_profile(profile, outgoing_server_location=EVIL)

    with pytest.raises(SecretsStayBehind):
        save_profile(profile, use_same_settings_for_outgoing_connections=True)


def test_the_client_secret_stays_with_its_token_authority():
    profile = EmailServerProfileFactory(
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
        oauth_client_id="client",
        oauth_client_secret="client-secret",
    )
    endpoints = {
        "oauth_authorization_endpoint": f"https://{EVIL}/authorize",
        "oauth_token_endpoint": f"https://{EVIL}/token",
    }
    with pytest.raises(SecretsStayBehind) as refused:
        save_profile(profile, **endpoints)
    assert set(refused.value.message_dict) == {"oauth_client_secret"}
    assert save_profile(profile, incoming_port_number=1993).oauth_client_secret


def test_only_who_may_move_secrets_takes_them_along():
    profile = EmailServerProfileFactory(own_credentials=True)
    manager = profile.owning_user
    group_of(manager, "view_emailserverprofile", "change_emailserverprofile", reach=Reach.OWN)

    with pytest.raises(PermissionDenied, match=r"mailboxes\.move_secrets"):
        save_profile(profile, actor=manager, move=True, incoming_server_location=EVIL)
    group_of(manager, "move_secrets", reach=Reach.OWN)
    moved = save_profile(
        profile, actor=manager, move=True, incoming_server_location="new.example.com"
    )
    assert moved.incoming_password.reveal() == "profile-secret"


def test_the_sites_own_client_is_used_only_by_who_may_move_secrets():
    manager = SystemUserFactory()
    group_of(manager, "add_emailserverprofile", "view_emailserverprofile", reach=Reach.ALL)
    profile = EmailServerProfileFactory.build(
        name="Tenant",
        server_type=ServerType.EXCHANGE_ONLINE,
        incoming_credential_retrieval=CredentialRetrieval.SERVER_TO_SERVER,
        incoming_server_location=f"https://{EVIL}/EWS/Exchange.asmx",
        outgoing_server_location=f"https://{EVIL}/EWS/Exchange.asmx",
        owning_user=manager,
    )
    with pytest.raises(ValidationError, match="move_secrets"):
        services.save_profile(profile=profile, changed_fields=[], now=NOW, actor=manager)
    assert not EmailServerProfile.objects.filter(name="Tenant").exists()
    services.save_profile(profile=profile, changed_fields=[], now=NOW, actor=SuperuserFactory())
    assert EmailServerProfile.objects.filter(name="Tenant").exists()


# -- secrets of mailboxes


@pytest.mark.parametrize(
    "change",
    [
        {"incoming_server_location": EVIL},
        {"outgoing_server_location": EVIL},
        {"incoming_port_number": 143},
        {"incoming_tls_mode": 2},
        {"incoming_authentication_protocol": 3},
    ],
)
def test_passwords_of_mailboxes_are_kept_back_from_other_servers(change):
    profile = EmailServerProfileFactory()
    mailbox, other = ready_mailbox(email_server_profile=profile), ready_mailbox()

    saved = save_profile(profile, **change)

    assert password_of(mailbox) is None
    assert password_of(other) == "mailbox-secret"
    assert list(services.kept_back(saved)) == [mailbox]
    assert fresh(mailbox).password.reveal() == "mailbox-secret"


def test_a_profile_that_is_changed_back_gets_them_again():
    profile = EmailServerProfileFactory()
    mailbox = ready_mailbox(email_server_profile=profile)

    save_profile(profile, incoming_server_location=EVIL)
    save_profile(profile, incoming_server_location="mail.example.com")

    assert password_of(mailbox) == "mailbox-secret"


def test_a_password_that_is_entered_again_goes_to_the_new_server():
    profile = EmailServerProfileFactory()
    mailbox = ready_mailbox(email_server_profile=profile)
    save_profile(profile, incoming_server_location="new.example.com")

    save_mailbox(mailbox, password="for-the-new-one")

    assert password_of(mailbox) == "for-the-new-one"


def test_another_profile_does_not_get_a_mailboxs_password():
    """Who may change the mailbox and owns a profile of his own."""
    mailbox = ready_mailbox()
    theirs = EmailServerProfileFactory(incoming_server_location=EVIL)

    save_mailbox(mailbox, email_server_profile=theirs)

    assert password_of(mailbox) is None
    assert list(services.kept_back(theirs)) == [mailbox]


def test_a_password_without_a_profile_is_for_no_server_yet():
    mailbox = ForwardMailboxFactory()
    save_mailbox(mailbox, password="typed-too-early")

    theirs = EmailServerProfileFactory(incoming_server_location=EVIL)
    save_mailbox(
        mailbox,
        email_server_profile=theirs,
        user_name="forward",
        allow_email_connector_to_use_credentials=True,
    )
    assert password_of(mailbox) is None


def test_default_settings_do_not_carry_passwords_to_another_profile():
    mailbox = ready_mailbox()
    theirs = EmailServerProfileFactory(incoming_server_location=EVIL)
    organization(default_email_server_profile=theirs, default_incoming_email_delivery_method=2)

    services.apply_default_settings(
        mailboxes=Mailbox.objects.filter(pk=mailbox.pk), now=NOW, test=False
    )

    assert fresh(mailbox).email_server_profile == theirs
    assert password_of(mailbox) is None


def test_with_discovery_another_address_does_not_carry_the_password_to_its_domain():
    found = EmailServerProfileFactory(exchange=True, use_auto_discover=True)
    mailbox = ready_mailbox(email_server_profile=found)

    services.change_address(mailbox=fresh(mailbox), address=f"ada@{EVIL}", now=NOW)

    assert list(services.kept_back(found)) == [mailbox]


def test_a_new_password_does_not_carry_tokens_along():
    """Who may change a mailbox types any password for a server of his own, and the tokens stay out."""
    mailbox = ready_mailbox()
    tokens_for(mailbox)
    theirs = EmailServerProfileFactory(
        incoming_server_location=EVIL,
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
    )
    saved = save_mailbox(mailbox, email_server_profile=theirs, password="anything")

    assert not saved.is_oauth_access_token_set
    assert not saved.is_oauth_refresh_token_set


def test_a_new_password_for_the_same_server_leaves_the_sign_in():
    mailbox = ready_mailbox()
    tokens_for(mailbox)

    assert save_mailbox(mailbox, password="another").is_oauth_refresh_token_set


# -- confirming


def test_who_may_move_secrets_confirms_the_new_servers():
    profile = EmailServerProfileFactory()
    mailbox = ready_mailbox(email_server_profile=profile)
    saved = save_profile(profile, incoming_server_location="new.example.com")
    raise_alert(mailbox, "SecretsKeptBack", now=NOW)
    manager = SystemUserFactory()
    group_of(manager, "change_emailserverprofile", reach=Reach.ALL)

    with pytest.raises(PermissionDenied, match=r"mailboxes\.move_secrets"):
        services.confirm_places(profile=saved, now=NOW, actor=manager)
    assert password_of(mailbox) is None

    group_of(manager, "move_secrets", reach=Reach.ALL)
    outcome = services.confirm_places(profile=saved, now=NOW, actor=manager)
    assert outcome.done == 1
    assert password_of(mailbox) == "mailbox-secret"
    assert not services.kept_back(saved).exists()
    assert not TraceLog.objects.filter(closed_on__isnull=True).exists()
    assert LogEntry.objects.filter(user=manager, object_id=str(mailbox.pk)).exists()


def test_taking_along_moves_what_belonged_here_and_nothing_else():
    profile = EmailServerProfileFactory()
    mine = ready_mailbox(email_server_profile=profile)
    stranger = ready_mailbox()
    save_mailbox(stranger, email_server_profile=profile)  # entered for another place, so kept back
    profile.mailboxes.filter(pk=stranger.pk).update(secrets_place="of another profile")

    save_profile(profile, move=True, incoming_server_location="new.example.com")

    assert password_of(mine) == "mailbox-secret"
    assert password_of(stranger) is None


def test_the_statements_of_a_changed_profile_do_not_grow_with_its_mailboxes(statements):
    counts = []
    for size in (1, 5):
        profile = EmailServerProfileFactory()
        for _number in range(size):
            ready_mailbox(email_server_profile=profile)
        with statements() as made:
            save_profile(profile, incoming_server_location="new.example.com")
        counts.append(len(made))
    assert counts[0] == counts[1]
