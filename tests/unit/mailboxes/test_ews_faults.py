"""What an Exchange server says, and which of our errors it is. One row each."""

from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime

import lxml.etree
import pytest
import requests
from exchangelib import errors as ews
from exchangelib.fields import EmailAddressField

from mailboxes.conditions import TABLE
from mailboxes.protocols import errors
from mailboxes.protocols.errors import (
    REFUSALS,
    ConnectionForbidden,
    ConnectionLost,
    ExchangeBusy,
    LoginRefused,
    MessageRefused,
    MessageTooLarge,
    OutgoingLoginRefused,
    PassingFault,
    SocketTimedOut,
    TransientError,
    UnexpectedReply,
    VersionRefused,
    WrongProtocol,
)
from mailboxes.protocols.ews.faults import (
    BY_PHASE,
    CODES,
    Broken,
    Judge,
    fault_for,
    hint_of,
    innermost,
)
from mailboxes.protocols.ews.transport import Answer, Place
from mailboxes.protocols.phases import Phase

ROWS = [(code, kind) for kind, codes in CODES.items() for code in codes]
PHASE_ROWS = [
    (phase, code, kind)
    for phase, table in BY_PHASE.items()
    for kind, codes in table.items()
    for code in codes
]


def answer(status=200, content=b"", place="https://mail.example.com/EWS/Exchange.asmx", **headers):
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return Answer(status, "Reason", message, content, Place.of(place))


def fault(code, text="no", more="", prefix="e"):
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
        f"<faultcode>a:{code}</faultcode><faultstring>{text}</faultstring><detail>"
        f'<{prefix}:ResponseCode xmlns:{prefix}="http://schemas.microsoft.com/exchange/services/2006/errors">'
        f"{code}</{prefix}:ResponseCode>"
        f'<{prefix}:Message xmlns:{prefix}="http://schemas.microsoft.com/exchange/services/2006/errors">'
        f"{text}</{prefix}:Message>{more}</detail></s:Fault></s:Body></s:Envelope>"
    ).encode()


def back_off(milliseconds):
    types = "http://schemas.microsoft.com/exchange/services/2006/types"
    return (
        f'<t:MessageXml xmlns:t="{types}">'
        f'<t:Value Name="BackOffMilliseconds">{milliseconds}</t:Value></t:MessageXml>'
    )


SUCCESS = (
    b'<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">'
    b"<s:Body><m:GetFolderResponse/></s:Body></s:Envelope>"
)


# -- response codes


def test_no_code_is_listed_twice():
    assert len({code for code, _ in ROWS}) == len(ROWS)
    assert len({(phase, code) for phase, code, _ in PHASE_ROWS}) == len(PHASE_ROWS)


@pytest.mark.parametrize("code", sorted({code for code, _ in ROWS} | {r[1] for r in PHASE_ROWS}))
def test_every_code_is_one_that_exchange_knows(code):
    assert issubclass(getattr(ews, code), ews.ResponseMessageError)


@pytest.mark.rule("R8.20")
@pytest.mark.parametrize(("code", "kind"), ROWS, ids=[code for code, _ in ROWS])
def test_a_code_is_the_error_of_the_table_raised_or_in_a_fault(code, kind):
    raised = Judge().of_exception(getattr(ews, code)("what it said"), None)
    told = Judge().of_answer(answer(500, fault(code, "what it said")))

    for found in (raised, told):
        assert type(found) is kind
        assert found.server_code == code
        assert "what it said" in found.detail
        assert found.code in TABLE


@pytest.mark.parametrize(("phase", "code", "kind"), PHASE_ROWS)
def test_a_phase_tells_that_something_else_is_meant(phase, code, kind):
    assert type(fault_for(code, "", phase=phase)) is kind
    assert type(Judge().of_answer(answer(500, fault(code)), phase)) is kind


@pytest.mark.rule("R5.15", "R8.20")
@pytest.mark.parametrize(
    ("code", "permanent", "condition"),
    [
        ("ErrorServerBusy", False, "ErrorServerBusy"),
        ("ErrorTooManyObjectsOpened", False, "ErrorServerBusy"),
        ("ErrorImpersonateUserDenied", True, "ErrorImpersonateUserDenied"),
        ("ErrorImpersonationDenied", True, "ImpersonationDenied"),
        ("ErrorNonExistentMailbox", True, "ErrorNonExistentMailbox"),
        ("ErrorInvalidUserPrincipalName", True, "NoUserFound"),
        ("ErrorInvalidLicense", True, "ErrorInvalidLicense"),
        ("ErrorAccountDisabled", True, "8005E273"),
        ("ErrorQuotaExceeded", False, "ErrorQuotaExceeded"),
        ("ErrorSubmissionQuotaExceeded", False, "ErrorSubmissionQuotaExceeded"),
        ("ErrorMailboxStoreUnavailable", False, "ErrorMailboxStoreUnavailable"),
        ("ErrorInternalServerTransientError", False, "ErrorInternalServerTransientError"),
        ("ErrorTimeoutExpired", False, "ErrorTimeoutExpired"),
        ("ErrorItemNotFound", False, "MessageGone"),
        ("ErrorAccessDenied", True, "ErrorAccessDenied"),
        ("ErrorInvalidServerVersion", True, "ErrorInvalidServerVersion"),
        ("ErrorInvalidSchemaVersionForMailboxVersion", True, "ErrorInvalidServerVersion"),
        ("ErrorSendAsDenied", True, "ErrorSendAsDenied"),
        ("ErrorInvalidRecipients", True, "ErrorInvalidRecipients"),
        ("ErrorMessageSizeExceeded", True, "MessageTooLarge"),
        ("ErrorMimeContentInvalid", True, "MessageRefused"),
    ],
)
def test_codes_lead_to_the_conditions_that_people_read(code, permanent, condition):
    found = fault_for(code, "")

    assert (found.code, found.permanent) == (condition, permanent)


@pytest.mark.rule("R5.15", "R8.20")
@pytest.mark.parametrize(
    ("code", "condition"),
    [
        ("ErrorAccountSuspend", "8005E273"),
        ("ErrorMessageSubmissionBlocked", "8005E273"),
        ("ErrorExceededMessageLimit", "ErrorSubmissionQuotaExceeded"),
    ],
)
def test_codes_that_are_newer_than_the_library_are_known_by_name(code, condition):
    raised = ews.TransportError(
        f"Unknown ResponseCode in ResponseMessage: {code} (MessageText: no, MessageXml: None)"
    )

    assert not hasattr(ews, code)
    assert Judge().of_exception(raised, None).code == condition


@pytest.mark.rule("R5.15")
def test_an_unknown_code_is_named_and_passing():
    unheard = "ErrorFromTheFuture"
    raised = ews.TransportError(
        f"Unknown ResponseCode in ResponseMessage: {unheard} (MessageText: of 2030, MessageXml: None)"
    )

    for found in (
        fault_for(unheard, "of 2030"),
        Judge().of_answer(answer(500, fault(unheard, "of 2030"))),
        Judge().of_exception(raised, None),
    ):
        assert type(found) is UnexpectedReply
        assert not found.permanent
        assert found.detail == f"{unheard}: of 2030"
        assert found.server_code == unheard


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("ErrorSendAsDenied", True),
        ("ErrorServerBusy", True),
        ("ErrorQuotaExceeded", True),
        ("ErrorAccessDenied", True),
        ("ErrorNonExistentMailbox", True),
        ("ErrorSchemaValidation", True),
        ("ErrorInternalServerError", False),
        ("ErrorTimeoutExpired", False),
        ("ErrorMailboxStoreUnavailable", False),
    ],
)
def test_only_a_clear_no_proves_that_a_message_was_not_taken(code, refused):
    assert isinstance(fault_for(code, "", phase=Phase.SEND), REFUSALS) is refused


# -- faults and statuses


def test_an_answer_to_work_with_is_no_fault():
    assert Judge().of_answer(answer(200, SUCCESS)) is None
    assert Judge().of_answer(answer(500, b"\xef\xbb\xbf\r\n" + SUCCESS)) is None


@pytest.mark.parametrize("status", [200, 500])
def test_a_fault_is_read_under_any_prefix_and_status(status):
    found = Judge().of_answer(answer(status, fault("ErrorItemNotFound", prefix="ns0")))

    assert type(found) is errors.MessageGone


def test_a_fault_without_detail_names_its_faultcode():
    content = (
        b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><soap:Fault>'
        b"<faultcode>soap:Client</faultcode><faultstring>Bad things</faultstring></soap:Fault>"
        b"</soap:Body></soap:Envelope>"
    )

    found = Judge().of_answer(answer(500, content))

    assert type(found) is UnexpectedReply
    assert found.detail == "Client: Bad things"


def test_a_schema_violation_is_told():
    violation = (
        '<t:MessageXml xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">'
        "<t:Violation>The element is invalid.</t:Violation></t:MessageXml>"
    )

    found = Judge().of_answer(answer(500, fault("ErrorSchemaValidation", "no", violation)))

    assert "The element is invalid." in found.detail


@pytest.mark.rule("R8.20")
@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (301, {"Location": "https://elsewhere.example.com/ews"}, WrongProtocol),
        (302, {"Location": "/owa/auth/logon.aspx?url=x"}, WrongProtocol),
        (302, {"Location": "/ews/genericerrorpage.htm?aspxerrorpath=/ews/x"}, PassingFault),
        (307, {"Location": "https://elsewhere.example.com/ews"}, WrongProtocol),
        (400, {}, UnexpectedReply),
        (401, {"WWW-Authenticate": 'Basic realm="x"'}, LoginRefused),
        (403, {}, ConnectionForbidden),
        (404, {}, WrongProtocol),
        (405, {}, WrongProtocol),
        (413, {}, MessageTooLarge),
        (429, {}, ExchangeBusy),
        (456, {}, LoginRefused),
        (500, {}, TransientError),
        (
            500,
            {"X-CasErrorCode": "CAS error: ErrorMailboxStoreUnavailable"},
            errors.StoreUnavailable,
        ),
        (502, {}, TransientError),
        (503, {}, TransientError),
        (503, {"Retry-After": "30"}, ExchangeBusy),
        (504, {}, TransientError),
    ],
)
def test_http_statuses(status, headers, kind):
    found = Judge().of_answer(answer(status, b"<html>page</html>", **headers))

    assert type(found) is kind
    assert found.code in TABLE


def test_an_outage_of_the_way_there_proves_nothing_about_a_message():
    for status in (500, 502, 503, 504):
        assert not isinstance(Judge().of_answer(answer(status, b"")), REFUSALS)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"The specified server version is invalid.", VersionRefused),
        (b"Server Error in '/EWS' Application", PassingFault),
        (b"The referenced account is currently locked out", LoginRefused),
    ],
)
def test_pages_that_are_known_words_of_exchange(content, kind):
    assert type(Judge().of_answer(answer(500, content))) is kind


@pytest.mark.parametrize(("known", "kind"), [(False, WrongProtocol), (True, UnexpectedReply)])
@pytest.mark.parametrize("content", [b"<html><form>log in</form></html>", b"hello", b""])
def test_a_page_in_place_of_an_answer_is_a_wrong_place_unless_it_was_right_before(
    content, known, kind
):
    found = Judge(known=known).of_answer(answer(200, content))

    assert type(found) is kind


def test_a_redirect_names_where_it_leads_but_not_with_what():
    found = Judge().of_answer(answer(302, Location="https://b.example.com/ews?token=secret"))

    assert "https://b.example.com/ews" in found.detail
    assert "secret" not in found.detail


def test_a_refused_login_has_the_code_of_its_direction_and_names_what_is_offered():
    header = {"WWW_Authenticate": 'Negotiate, Basic realm="the secret realm"'}

    found = Judge(refused=OutgoingLoginRefused).of_answer(answer(401, **header))

    assert found.code == "OutgoingEmailAuthenticationError"
    assert "Negotiate" in found.detail


@pytest.mark.rule("R1.9")
def test_a_server_that_echoes_the_password_does_not_get_it_into_the_error():
    judge = Judge(secrets=("hunter2",))
    told = judge.of_answer(answer(500, fault("ErrorItemNotFound", "hunter2\x01\n is wrong")))
    raised = judge.of_exception(ews.ErrorItemNotFound("hunter2 is wrong"), None)

    assert "hunter2" not in f"{told} {raised}"
    assert told.detail.endswith("*** is wrong")


# -- how long to wait


@pytest.mark.parametrize(
    ("value", "expected"),
    [("17", 17.0), ("0", 0.0), ("soon", None), ("", None), ("-5", None), ("1e3", None)],
)
def test_retry_after_in_seconds(value, expected):
    assert hint_of(answer(503, Retry_After=value)) == expected


def test_retry_after_as_a_date_is_compared_with_the_servers_clock():
    server_now = datetime(2020, 1, 1, 12, tzinfo=UTC)
    until = format_datetime(server_now + timedelta(seconds=90), usegmt=True)

    asked = answer(429, Retry_After=until, Date=format_datetime(server_now, usegmt=True))

    assert hint_of(asked) == 90.0
    assert Judge().of_answer(asked).hint_seconds == 90.0


def test_a_date_that_is_over_means_at_once():
    assert hint_of(answer(503, Retry_After="Mon, 06 May 2024 10:00:00 GMT")) == 0.0


def test_the_back_off_of_a_fault_is_in_milliseconds():
    found = Judge().of_answer(answer(500, fault("ErrorServerBusy", more=back_off(1500))))

    assert type(found) is ExchangeBusy
    assert found.hint_seconds == 1.5


def test_what_exchangelib_read_of_a_back_off_is_kept_and_what_it_made_up_is_not():
    told = Judge().of_exception(ews.ErrorServerBusy("busy", back_off=2.5), None)
    silent = Judge().of_exception(ews.ErrorServerBusy("busy", back_off=0), None)
    message_level = Judge().of_exception(ews.ErrorServerBusy("busy", back_off=0), None, 7.0)

    assert (told.hint_seconds, silent.hint_seconds, message_level.hint_seconds) == (2.5, None, 7.0)


# -- exceptions


def raised(error, over=None):
    """As exchangelib raises it, in an exception handler."""
    try:
        try:
            if over is not None:
                raise over
        finally:
            raise error
    except Exception as caught:  # noqa: BLE001 - whatever was asked for
        return caught


def test_our_own_error_comes_out_as_it_went_in():
    ours = SocketTimedOut("no answer")
    wrapped = raised(ews.ErrorTimeoutExpired("Reraised from Broken(...)"), Broken(ours))

    assert innermost(wrapped).fault is ours
    assert Judge().of_exception(wrapped, None) is ours
    assert Judge().of_exception(ours, None) is ours


def test_what_exchangelib_would_try_again_keeps_its_own_name():
    transient = raised(
        ews.ErrorServerBusy("Reraised from ErrorInternalServerTransientError(x)", back_off=0),
        ews.ErrorInternalServerTransientError("x"),
    )

    assert type(Judge().of_exception(transient, None)) is PassingFault


def test_an_error_is_not_mistaken_for_the_one_that_was_handled_before_it():
    later = raised(ews.ErrorItemNotFound("gone"), Broken(SocketTimedOut("earlier")))

    assert type(Judge().of_exception(later, None)) is errors.MessageGone


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.exceptions.ChunkedEncodingError("x"), ConnectionLost),
        (requests.exceptions.ReadTimeout("x"), ConnectionLost),
        (ews.UnauthorizedError("x"), LoginRefused),
        (ews.SOAPError("Bad SOAP response"), UnexpectedReply),
        (ews.MalformedResponseError("no Body"), UnexpectedReply),
        (lxml.etree.XMLSyntaxError("x", 1, 1, 1), UnexpectedReply),
    ],
)
def test_what_libraries_raise(error, kind):
    assert type(Judge().of_exception(error, None)) is kind


def test_what_exchangelib_stumbles_over_is_the_servers_and_our_mistakes_are_not():
    try:
        EmailAddressField("x", field_uri="x").from_xml(None, None)
    except AttributeError as stumbled:
        found = Judge().of_exception(stumbled, None)

    assert type(found) is UnexpectedReply
    assert Judge().of_exception(raised(AttributeError("ours")), None) is None


def test_a_refusal_while_sending_is_about_the_message():
    assert type(fault_for("ErrorItemSave", "", phase=Phase.SEND)) is MessageRefused
