"""By which words columns are known, and what cells mean."""

from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from django.utils import translation

from mailboxes.choices import AccessMode, ServerType
from serversync.choices import ImportKind
from serversync.importing.columns import (
    COLUMNS,
    KEYS,
    bare,
    heading_of,
    known_words,
    rows_of,
    value_of,
)
from serversync.importing.files import harmless
from serversync.importing.reading import Row, Table, Unreadable

USERS, QUEUES, PROFILES, MAILBOXES = ImportKind


def column(kind, name):
    return next(each for each in COLUMNS[kind] if each.name == name)


@pytest.mark.parametrize("kind", list(ImportKind))
@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_column_is_known_by_its_label_its_name_and_the_original_one(kind, language):
    with translation.override(language):
        for each in COLUMNS[kind]:
            for words in (each.label, each.name, each.name.replace("_", "").upper()):
                assert (
                    heading_of(kind, [KEYS[kind][-1], words]).columns[1] is each
                    if (each.name != KEYS[kind][-1])
                    else known_words(kind)[bare(words)] is each
                ), words


def test_headers_nobody_knows_come_with_what_may_have_been_meant():
    heading = heading_of(USERS, ["Sign-in name", "frist name", "colour", ""])

    assert [(each.words, each.near) for each in heading.unknown] == [
        ("frist name", ("First name", "Last name")),
        ("colour", ()),
    ]


def test_a_header_that_stands_twice_or_names_no_record_is_refused():
    with pytest.raises(Unreadable, match=r"Two columns are “Sign-in name”.*number 2"):
        heading_of(USERS, ["domain_name", "ｕｓｅｒｎａｍｅ"])
    with pytest.raises(Unreadable, match="Sign-in name, Primary email"):
        heading_of(USERS, ["last name"])


def test_empty_cells_are_left_out_rows_for_people_too_and_secrets_keep_their_blanks():
    heading = heading_of(MAILBOXES, ["email address", "password", "name"])
    table = Table(
        (),
        (Row(2, ("# the address",)), Row(3, (" a@example.com ", " x ", " ")), Row(4, ("b",))),
    )

    assert rows_of(table, heading) == [
        (3, {"email_address": "a@example.com", "password": " x "}),
        (4, {"email_address": "b"}),
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [("yes", True), ("ＹＥＳ", True), ("はい", True), ("0", False), ("FALSE", False)],
)
def test_yes_and_no_in_words_of_people_and_machines(text, meant):
    assert value_of(column(USERS, "is_disabled"), text) is meant


def test_choices_by_number_and_by_label_in_every_language():
    mode = column(USERS, "access_mode")
    with translation.override("ja"):
        japanese = str(AccessMode.NON_INTERACTIVE.label)

    for text in (str(AccessMode.NON_INTERACTIVE.value), "non-interactive", japanese):
        assert value_of(mode, text) == AccessMode.NON_INTERACTIVE
    assert value_of(column(PROFILES, "server_type"), str(ServerType.POP3_SMTP.value)) == 1
    with pytest.raises(ValidationError, match="“often” is none of"):
        value_of(mode, "often")


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("text", ["2026-04-01 09:30", "2026/04/01 09:30", "2026-04-01T09:30:00Z"])
def test_moments_are_read_in_one_way_in_every_language(text, language):
    with translation.override(language):
        at = value_of(column(MAILBOXES, "process_email_received_after"), text)

    assert at == datetime(2026, 4, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["(empty)", "（空）", "( Empty )".replace(" ", "")])
def test_a_cell_empties_a_column_in_so_many_words(text):
    assert value_of(column(USERS, "job_title"), text) == ""
    assert value_of(column(MAILBOXES, "messages_per_day"), text) is None
    with pytest.raises(ValidationError, match="can't be empty"):
        value_of(column(USERS, "is_disabled"), text)


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (USERS, "internal_email_address", "no address"),
        (USERS, "first_name", "x" * 257),
        (MAILBOXES, "password", "x" * 201),
        (MAILBOXES, "messages_per_day", "many"),
        (MAILBOXES, "process_email_received_after", "yesterday"),
        (PROFILES, "oauth_client_secret_expires_on", "2026-13-01"),
        (USERS, "is_disabled", "perhaps"),
    ],
)
def test_what_the_form_would_refuse_is_refused(kind, name, text):
    with pytest.raises(ValidationError):
        value_of(column(kind, name), text)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_that_is_handed_out_is_a_formula(text):
    assert harmless(text) == f"'{text}"
    assert harmless(f"a{text}") == f"a{text}"
