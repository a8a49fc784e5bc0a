"""A secret shows itself nowhere but to `reveal`."""

import copy
import json
import logging
import pickle
import traceback
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.exceptions import ValidationError
from django.forms.models import model_to_dict, modelform_factory

from mailboxes.models import EmailServerProfile, Mailbox
from mailboxes.protocols.base import ConnectionSettings, Credentials, Security
from mailboxes.secrets import Secret, SecretUnreadable

TEXT = "correct-horse-battery"
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()

pytestmark = pytest.mark.rule("R1.9")


def test_it_comes_back_only_when_revealed():
    secret = Secret.conceal(TEXT)

    assert secret.reveal() == TEXT
    assert TEXT not in secret.token
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        format(secret),
        f"{[secret]}",
    ):
        assert TEXT not in shown
        assert secret.token not in shown


def test_a_page_says_whether_it_is_set():
    assert str(Secret.conceal(TEXT)) == "set"
    assert str(Secret.conceal("")) == "not set"


def test_an_empty_secret_is_false_and_reveals_nothing():
    assert not Secret.conceal("")
    assert Secret.conceal("").reveal() == ""
    assert Secret.conceal("").set_on is None


def test_a_model_instance_never_holds_the_text():
    mailbox = Mailbox(name="Ada", password=TEXT)

    assert isinstance(mailbox.password, Secret)
    assert TEXT not in repr(vars(mailbox))
    assert TEXT not in str(model_to_dict(mailbox))
    assert mailbox.is_password_set


def test_copies_are_made_and_pickles_refused():
    mailbox = Mailbox(name="Ada", password=TEXT)

    assert copy.deepcopy(mailbox).password.reveal() == TEXT
    with pytest.raises(TypeError):
        pickle.dumps(mailbox)


@pytest.mark.parametrize("form", ["json", "python", "xml", "jsonl"])
def test_exports_leave_it_out(form):
    profile = EmailServerProfile(
        name="P", incoming_password=TEXT, outgoing_password=TEXT, oauth_client_secret=TEXT
    )
    exported = str(serializers.serialize(form, [profile, Mailbox(name="Ada", password=TEXT)]))

    assert TEXT not in exported
    for secret in (profile.incoming_password, profile.outgoing_password):
        assert secret.token not in exported


def test_json_refuses_it():
    with pytest.raises(TypeError):
        json.dumps({"password": Secret.conceal(TEXT)})


def test_logs_and_tracebacks_do_not_show_it(caplog):
    secret = Secret.conceal(TEXT)
    settings = ConnectionSettings(
        host="h", port=1, security=Security.PLAIN, credentials=Credentials("ada", TEXT)
    )
    try:
        raise ValueError("failed with", secret, settings)
    except ValueError as error:
        logging.getLogger("tests").exception("with %s and %r", secret, settings)
        assert TEXT not in "".join(traceback.format_exception(error))
    assert TEXT not in caplog.text


@pytest.mark.parametrize("model", [Mailbox, EmailServerProfile])
def test_forms_show_when_it_was_set_and_never_what(model):
    columns = [field.name for field in model._meta.fields if getattr(field, "is_secret", False)]
    columns = [name for name in columns if model._meta.get_field(name).editable]
    form = modelform_factory(model, fields=columns)
    instance = model(**dict.fromkeys(columns, TEXT))

    shown = str(form(instance=instance))

    assert columns
    assert TEXT not in shown
    assert str(datetime.now(UTC).year) in shown
    for name in columns:
        assert getattr(instance, name).token not in shown


def test_a_form_that_comes_back_with_a_fault_does_not_repeat_what_was_typed():
    form = modelform_factory(Mailbox, fields=["name", "password"])(
        {"name": "", "password": TEXT}, instance=Mailbox()
    )

    assert not form.is_valid()
    assert TEXT not in str(form)
    assert TEXT not in str(form.errors)


@pytest.mark.parametrize(
    ("data", "expected", "changed"),
    [
        ({}, "before", False),
        ({"password": ""}, "before", False),
        ({"password": TEXT}, TEXT, True),
        ({"password": "", "password-clear": "on"}, "", True),
    ],
    ids=["absent", "left empty", "typed", "removed"],
)
def test_a_form_writes_only_what_was_typed_or_ticked(data, expected, changed):
    mailbox = Mailbox(name="Ada", password="before")
    form = modelform_factory(Mailbox, fields=["password"])(data, instance=mailbox)

    assert form.is_valid(), form.errors
    assert form.save(commit=False).password.reveal() == expected
    assert ("password" in form.changed_data) is changed


@pytest.mark.rule("R1.8")
@pytest.mark.parametrize(
    ("model", "column", "limit"),
    [
        (Mailbox, "email_address", 100),
        (Mailbox, "name", 200),
        (Mailbox, "user_name", 200),
        (Mailbox, "password", 200),
        (EmailServerProfile, "name", 100),
        (EmailServerProfile, "incoming_user_name", 250),
        (EmailServerProfile, "outgoing_user_name", 250),
        (EmailServerProfile, "incoming_password", 250),
        (EmailServerProfile, "outgoing_password", 250),
        (EmailServerProfile, "incoming_server_location", 2084),
        (EmailServerProfile, "outgoing_server_location", 2084),
    ],
)
def test_limits_of_the_columns(model, column, limit):
    tail = "@example.com" if column == "email_address" else ""
    field = model._meta.get_field(column)

    with pytest.raises(ValidationError) as refused:
        field.formfield().clean("a" * (limit + 1 - len(tail)) + tail)

    assert field.max_length == limit
    assert any(error.code == "max_length" for error in refused.value.error_list)


def test_after_a_key_is_gone_the_error_names_cure_and_no_value(settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    secret = Secret.conceal(TEXT)
    settings.FIELD_ENCRYPTION_KEYS = [NEW]

    with pytest.raises(SecretUnreadable) as raised:
        secret.reveal()

    assert "FIELD_ENCRYPTION_KEYS" in str(raised.value)
    assert secret.token not in str(raised.value)


def test_rotation_opens_with_the_new_key_alone_and_keeps_the_time(settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    secret = Secret.conceal(TEXT)
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]

    rotated = secret.rotated()

    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert rotated.reveal() == TEXT
    assert rotated.set_on is not None
    settings.FIELD_ENCRYPTION_KEYS = [OLD, NEW]
    assert rotated.set_on == secret.set_on
