"""The table of conditions: complete, stable, readable."""

import re
from pathlib import Path

import pytest
from django.utils import translation

import mailboxes
from mailboxes import connect
from mailboxes.choices import TraceLevel
from mailboxes.conditions import TABLE, Nature, Scope, explain, nature_of, trace_level_of
from mailboxes.protocols import errors

ROOT = Path(mailboxes.__file__).parent.parent


def tree(root):
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


ERRORS = [
    kind
    for kind in tree(errors.ServerError)
    if kind.__module__.startswith(("mailboxes.protocols", "mailboxes.connect"))
]


def test_numbers_and_codes_are_unique_and_every_row_says_something():
    numbers = [condition.number for condition in TABLE.values()]
    assert len(set(numbers)) == len(numbers)
    assert 0 not in numbers
    for code, condition in TABLE.items():
        assert condition.code == code
        assert len(code) <= 64
        assert str(condition.meaning).endswith("."), code
        assert len(condition.sentence()) <= 2000


def test_numbers_never_move():
    """Alerts stored long ago carry them. Add rows, never edit this list."""
    assert {TABLE[code].number: code for code in TABLE}.items() >= {
        101: "EmailAddressNotApproved",
        103: "MailboxDisabled",
        105: "InvalidIncomingEmailServerProfile",
        106: "InvalidOutgoingEmailServerProfile",
        201: "HostNotFound",
        202: "SocketTimedOut",
        203: "SecureConnectionFailed",
        204: "CertificateRejected",
        208: "SmtpSyntax",
        301: "InvalidCredentials",
        302: "OutgoingEmailAuthenticationError",
        407: "ErrorQuotaExceeded",
        410: "UidlUnusable",
        501: "InvalidSender",
        503: "MessageTooLarge",
        509: "Quarantined",
        606: "DeliveryUnknown",
        701: "NoCorrelationMatch",
        704: "Duplicate",
        901: "AddressMovedToOtherMailbox",
        907: "InProgress",
    }.items()


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_adapters_is_explained(kind):
    if kind in (errors.ServerError, errors.MessageError, errors.PermanentError):
        return  # bases, never raised themselves
    if kind is connect.ProfileUnusable:
        codes = [kind(direction, "").code for direction in connect.Direction]
    else:
        codes = [kind.code]
    assert all(code in TABLE for code in codes)


def test_no_adapter_raises_a_base_of_the_tree():
    """Their code is Unknown, which explains nothing."""
    bases = re.compile(r"raise (ServerError|PermanentError|MessageError)\(")
    for path in (ROOT / "mailboxes" / "protocols").glob("*.py"):
        assert not bases.search(path.read_text()), path.name


def test_every_code_that_the_rooms_name_is_in_the_table():
    """Codes given as literals to what raises, clears or explains."""
    literal = re.compile(
        r"(?:explain|raise_alert|raise_outage)\(\s*(?:[\w.]+,\s*)*\"(\w+)\"", re.DOTALL
    )
    found = {
        code
        for room in ("mailboxes", "activities", "tracking", "serversync")
        for path in (ROOT / room).rglob("*.py")
        for code in literal.findall(path.read_text())
    }
    assert "AddressChanged" in found
    assert found <= set(TABLE)


def test_natures_of_the_rule_book():
    natures = {code: condition.nature for code, condition in TABLE.items()}
    for code in [
        "EmailAddressNotApproved",
        "MailboxDisabled",
        "InvalidCredentials",
        "HostNotFound",
        "SmtpSyntax",
        "SecureConnectionFailed",
        "OutgoingEmailAuthenticationError",
        "Forbidden",
        "NoUserFound",
        "8005E273",
    ]:
        assert natures[code] == Nature.PERMANENT, code
    for code in [
        "SocketTimedOut",
        "ServiceUnavailable",
        "IncomingMailboxInternalCrmError",
        "ErrorQuotaExceeded",
        "ErrorInternalServerTransientError",
        "80040216",
        "ErrorSubmissionQuotaExceeded",
    ]:
        assert natures[code] == Nature.TRANSIENT, code
    for code in ["ErrorSendAsDenied", "MessageTooLarge", "HookFailed", "OrganizerMissing"]:
        assert natures[code] == Nature.EMAIL, code
    for code in ["NoCorrelationMatch", "NoRecipientMatch", "InternalEmailReject", "Duplicate"]:
        assert natures[code] == Nature.INFORMATION, code


@pytest.mark.rule("R8.11")
def test_transient_conditions_are_warnings_and_permanent_ones_errors():
    assert trace_level_of(Nature.TRANSIENT) == TraceLevel.WARNING
    assert trace_level_of(Nature.PERMANENT) == TraceLevel.ERROR
    assert explain("SocketTimedOut").trace_level == TraceLevel.WARNING
    assert explain("InvalidCredentials").trace_level == TraceLevel.ERROR


def test_an_unknown_code_is_transient_and_says_its_name():
    condition = explain("ErrorNobodyHasSeen")

    assert condition.nature == Nature.TRANSIENT
    assert condition.level == Scope.MAILBOX
    assert "ErrorNobodyHasSeen" in condition.sentence()
    assert explain("").code == "Unknown"


def test_a_percent_sign_in_an_unknown_code_breaks_nothing():
    assert "100%s" in explain("100%s").sentence()


def test_parameters_fill_the_sentence_and_missing_ones_leave_an_ellipsis():
    moved = explain("AddressMovedToOtherMailbox")

    assert "ada@example.com" in moved.sentence({"address": "ada@example.com"})
    assert "…" in moved.sentence()


def test_texts_are_translated_when_they_are_shown():
    with translation.override("ja"):
        assert explain("MailboxDisabled").sentence()


def test_a_refused_connection_is_tried_again_unless_parity_is_strict():
    refused = errors.ConnectionRefused("nobody listens")

    assert nature_of(refused) == Nature.TRANSIENT
    assert nature_of(refused, strict_parity=True) == Nature.PERMANENT
    assert nature_of(errors.HostNotFound("no such name")) == Nature.PERMANENT


def test_an_error_about_one_message_never_concerns_the_mailbox():
    for error in (errors.MessageRefused(""), errors.MessageTooLarge(""), errors.MessageGone("")):
        assert nature_of(error) == Nature.EMAIL
        assert nature_of(error, strict_parity=True) == Nature.EMAIL
