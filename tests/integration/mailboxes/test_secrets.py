"""Secrets in the database: encrypted, never in exports or history, rotated by a command."""

import json
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import construct_change_message
from django.core.management import CommandError, call_command
from django.db import connection
from django.forms.models import modelform_factory

from mailboxes.models import EmailServerProfile, Mailbox
from mailboxes.secrets import Secret
from tests.factories.mailboxes import EmailServerProfileFactory, ready_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))
TEXT = "correct-horse-battery"


def stored(model, column):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {model._meta.db_table}")
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.rule("R1.9")
def test_the_database_holds_ciphertext_only():
    ready_mailbox(password=TEXT)

    for value in stored(Mailbox, "password"):
        assert TEXT not in value
    assert Mailbox.objects.exclude(password="").get().password.reveal() == TEXT


@pytest.mark.rule("R1.9")
def test_no_read_returns_text():
    mailbox = ready_mailbox(password=TEXT)
    rows = Mailbox.objects.filter(pk=mailbox.pk)

    read = [
        rows.values("password").get()["password"],
        rows.values_list("password", flat=True).get(),
        rows.values_list("password", named=True).get().password,
        rows.only("name").get().password,
        rows.defer("password").get().password,
    ]

    assert all(isinstance(value, Secret) for value in read)
    assert {value.reveal() for value in read} == {TEXT}
    assert TEXT not in repr(read)


@pytest.mark.rule("R1.9")
def test_dumpdata_holds_no_secret():
    ready_mailbox(
        password=TEXT, email_server_profile=EmailServerProfileFactory(incoming_password=TEXT)
    )
    tokens = [*stored(Mailbox, "password"), *stored(EmailServerProfile, "incoming_password")]
    out = StringIO()

    call_command("dumpdata", "mailboxes", stdout=out)

    assert len(json.loads(out.getvalue())) > 2
    assert TEXT not in out.getvalue()
    assert not any(token in out.getvalue() for token in tokens if token)


@pytest.mark.rule("R1.9")
def test_a_secret_is_not_searched_for():
    ready_mailbox(password=TEXT)

    assert not Mailbox.objects.filter(password=TEXT).exists()
    for lookup in ("contains", "startswith", "regex", "icontains", "gt"):
        with pytest.raises(Exception, match="Unsupported lookup"):
            Mailbox.objects.filter(**{f"password__{lookup}": "gAAA"}).exists()


def test_whether_one_is_set_can_be_asked():
    ready_mailbox(password=TEXT)
    ready_mailbox(password="")

    assert Mailbox.objects.exclude(password="").filter(user_name__gt="").count() == 1


@pytest.mark.rule("R1.9")
def test_the_history_of_the_admin_names_the_column_only():

    mailbox = ready_mailbox(password=TEXT)
    form = modelform_factory(Mailbox, fields=["password"])(
        {"password": "something-new"}, instance=mailbox
    )
    assert form.is_valid()

    message = json.dumps(construct_change_message(form, [], add=False))

    assert "assword" in message
    assert "something-new" not in message
    assert TEXT not in message
    assert not LogEntry.objects.filter(change_message__contains="something-new").exists()


# -- rotation


def test_rotation_puts_every_secret_under_the_first_key(settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    profile = EmailServerProfileFactory(
        incoming_password=TEXT, outgoing_password=TEXT, oauth_client_secret=TEXT
    )
    mailboxes = [ready_mailbox(email_server_profile=profile, password=TEXT) for _ in range(5)]
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    out = StringIO()

    call_command("rotate_secrets", batch=2, stdout=out)

    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert "mailboxes.Mailbox: 5 re-encrypted" in out.getvalue()
    assert "mailboxes.EmailServerProfile: 3 re-encrypted" in out.getvalue()
    profile.refresh_from_db()
    assert profile.oauth_client_secret.reveal() == profile.outgoing_password.reveal() == TEXT
    for mailbox in mailboxes:
        mailbox.refresh_from_db()
        assert mailbox.password.reveal() == TEXT


def test_rotation_names_what_no_key_opens_and_does_the_rest(settings):
    settings.FIELD_ENCRYPTION_KEYS = [LOST]
    lost = ready_mailbox(password=TEXT)
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    fine = ready_mailbox(password=TEXT)
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    out, err = StringIO(), StringIO()

    with pytest.raises(CommandError, match=r"1 secret"):
        call_command("rotate_secrets", stdout=out, stderr=err)

    assert str(lost.pk) in err.getvalue()
    assert "password" in err.getvalue()
    for token in stored(Mailbox, "password"):
        assert not token or token not in out.getvalue() + err.getvalue()
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    fine.refresh_from_db()
    assert fine.password.reveal() == TEXT


def test_rotation_leaves_a_password_that_was_entered_meanwhile(settings, monkeypatch):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    mailbox = ready_mailbox(password=TEXT)
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    rotated = Secret.rotated

    def somebody_types(secret):
        Mailbox.objects.filter(pk=mailbox.pk).update(password="typed-meanwhile")
        return rotated(secret)

    monkeypatch.setattr(Secret, "rotated", somebody_types)
    call_command("rotate_secrets", stdout=StringIO())

    mailbox.refresh_from_db()
    assert mailbox.password.reveal() == "typed-meanwhile"
