"""What servers say when they refuse mail, and what it means: real words of real providers (R5.15)."""

import pytest

from mailboxes.protocols.errors import (
    REFUSALS,
    MessageError,
    SecureConnectionFailed,
    SendingTooFast,
    SubmissionQuotaExceeded,
)
from mailboxes.protocols.judging import (
    LIMITS,
    TABLE,
    Meaning,
    Step,
    counts_recipients,
    enhanced_of,
    judge,
)
from mailboxes.protocols.smtp import ERRORS, Reply, all_refused, recipient_result, refusal

SENDER, RECIPIENT, CONTENT = Step.SENDER, Step.RECIPIENT, Step.CONTENT

SAID = [
    # -- the line
    (SENDER, "530 5.7.0 Must issue a STARTTLS command first.", Meaning.TLS),
    (SENDER, "554 5.7.3 STARTTLS is required to send mail", Meaning.TLS),
    # -- the login
    (SENDER, "530 5.7.0 Authentication Required.", Meaning.LOGIN),
    (SENDER, "530 5.7.57 Client not authenticated to send mail.", Meaning.LOGIN),
    (SENDER, "535 5.7.139 Authentication unsuccessful", Meaning.LOGIN),
    (SENDER, "534 5.7.9 Application-specific password required", Meaning.LOGIN),
    (SENDER, "503 5.5.1 bad sequence: AUTH first", Meaning.LOGIN),
    (
        RECIPIENT,
        "553 5.7.1 <ada@example.com>: Sender address rejected: not logged in",
        Meaning.LOGIN,
    ),
    (RECIPIENT, "550 5.7.1 Authentication required", Meaning.LOGIN),
    # -- the account
    (SENDER, "550 5.1.8 Access denied, bad outbound sender", Meaning.ACCOUNT),
    (CONTENT, "550 5.7.705 Access denied, tenant has exceeded threshold", Meaning.ACCOUNT),
    (CONTENT, "554 5.7.1 Your account has been suspended", Meaning.ACCOUNT),
    (
        RECIPIENT,
        "550 5.2.1 The email account that you tried to reach is disabled.",
        Meaning.MESSAGE,
    ),
    # -- the sender of the message
    (SENDER, "550 5.7.60 Client does not have permissions to send as this sender", Meaning.SEND_AS),
    (CONTENT, "554 5.2.252 SendAsDenied; ada@example.com not allowed to send as", Meaning.SEND_AS),
    (RECIPIENT, "553 5.7.1 Sender address rejected: not owned by user ada", Meaning.SEND_AS),
    # -- so much a day
    (CONTENT, "550 5.4.5 Daily user sending limit exceeded.", Meaning.DAY),
    (RECIPIENT, "550 5.4.5 Daily SMTP relay limit exceeded for user.", Meaning.DAY),
    (
        CONTENT,
        "550 5.1.90 Your message can't be sent because you've reached your daily limit for message "
        "recipients",
        Meaning.DAY,
    ),
    (
        CONTENT,
        "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
        Meaning.DAY,
    ),
    (CONTENT, "454 Throttling failure: Daily message quota exceeded.", Meaning.DAY),
    (CONTENT, "451 You have exceeded your messaging limits", Meaning.DAY),
    (SENDER, "552 5.2.2 over quota", Meaning.FULL),
    # -- so much an hour
    (
        CONTENT,
        "550 Domain example.com has exceeded the max emails per hour (150/150 (100%)) allowed.",
        Meaning.HOUR,
    ),
    (SENDER, "450 4.7.0 You have exceeded your hourly limit", Meaning.HOUR),
    (
        CONTENT,
        "550 5.4.6 Unusual sending activity detected. Please try after sometime.",
        Meaning.HOUR,
    ),
    # -- so fast
    (SENDER, "450 4.7.1 Error: too much mail from 192.0.2.1", Meaning.MINUTE),
    (RECIPIENT, "450 4.7.1 Error: too many recipients from 192.0.2.1", Meaning.MINUTE),
    (
        SENDER,
        "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
        Meaning.MINUTE,
    ),
    (CONTENT, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", Meaning.MINUTE),
    (CONTENT, "454 Throttling failure: Maximum sending rate exceeded.", Meaning.MINUTE),
    (
        CONTENT,
        "421 4.7.28 Our system has detected an unusual rate of mail originating from your address",
        Meaning.MINUTE,
    ),
    (
        SENDER,
        "421 4.7.0 [TSS04] Messages temporarily deferred due to unexpected volume",
        Meaning.MINUTE,
    ),
    (RECIPIENT, "451 4.7.1 Ratelimit exceeded, slow down", Meaning.MINUTE),
    # -- the server
    (SENDER, "421 4.3.2 Service shutting down", Meaning.BUSY),
    (SENDER, "421 4.7.0 Try again later, closing connection.", Meaning.BUSY),
    (SENDER, "452 4.3.1 Insufficient system storage", Meaning.BUSY),
    (SENDER, "451 4.3.0 Temporary lookup failure", Meaning.BUSY),
    (SENDER, "454 4.7.0 Temporary authentication failure", Meaning.BUSY),
    (SENDER, "421 4.7.0 too many connections", Meaning.BUSY),
    (SENDER, "451 4.7.500 Server busy. Please try again later", Meaning.BUSY),
    (CONTENT, "451 4.3.2 System not accepting network messages", Meaning.BUSY),
    # -- the message, for good
    (
        RECIPIENT,
        "550 5.1.1 The email account that you tried to reach does not exist.",
        Meaning.MESSAGE,
    ),
    (
        RECIPIENT,
        "552 5.2.2 The email account that you tried to reach is over quota",
        Meaning.MESSAGE,
    ),
    (
        RECIPIENT,
        "550 5.2.1 The user you are trying to contact is receiving mail at a rate that is too high",
        Meaning.MESSAGE,
    ),
    (RECIPIENT, "554 5.7.1 Relay access denied", Meaning.MESSAGE),
    (RECIPIENT, "550 5.5.3 Too many recipients", Meaning.MESSAGE),
    (CONTENT, "550 5.7.1 this message is likely unsolicited mail", Meaning.MESSAGE),
    (CONTENT, "554 5.6.0 too many hops, limit is 25", Meaning.MESSAGE),
    (CONTENT, "552 5.2.3 Your message exceeded size limits", Meaning.TOO_LARGE),
    (SENDER, "552 5.3.4 Message size exceeds fixed limit", Meaning.TOO_LARGE),
    (SENDER, "552 message too large", Meaning.TOO_LARGE),
    # -- the message, for now
    (RECIPIENT, "450 4.2.0 <cleo@x.example>: Greylisted, see http://x.example", Meaning.LATER),
    (RECIPIENT, "451 4.7.1 Greylisting in action, please come back later", Meaning.LATER),
    (
        RECIPIENT,
        "450 4.2.1 The user you are trying to contact is receiving mail too quickly.",
        Meaning.LATER,
    ),
    (RECIPIENT, "452 4.2.2 mailbox full", Meaning.LATER),
    (RECIPIENT, "452 4.5.3 Your message has too many recipients", Meaning.LATER),
    (CONTENT, "451 4.3.0 Mail server temporarily rejected message.", Meaning.LATER),
    (CONTENT, "450 something that nobody has ever said", Meaning.LATER),
]


@pytest.mark.rule("R5.15")
@pytest.mark.parametrize(("step", "said", "meaning"), SAID, ids=[said[:60] for _, said, _ in SAID])
def test_what_servers_say(step: Step, said: str, meaning: Meaning) -> None:
    code, _, text = said.partition(" ")

    assert judge(int(code), text, step) == meaning


def test_every_row_of_the_table_is_needed_by_something_that_servers_say() -> None:
    used = set()
    for step, said, _meaning in SAID:
        code, _, text = said.partition(" ")
        reply = Reply(int(code), text)
        used.add(
            next(
                i
                for i, row in enumerate(TABLE)
                if row.fits(reply.code, enhanced_of(text), text, step)
            )
        )

    assert used == set(range(len(TABLE)))


@pytest.mark.rule("R5.17")
@pytest.mark.parametrize("meaning", Meaning)
def test_whatever_is_said_after_the_final_dot_proves_that_it_was_not_taken(
    meaning: Meaning,
) -> None:
    if meaning == Meaning.TLS:
        said = refusal(Reply(530, "5.7.0 Must issue a STARTTLS command first"))
        assert not isinstance(said, SecureConnectionFailed)
        assert isinstance(said, REFUSALS)
    else:
        assert issubclass(ERRORS[meaning], REFUSALS)


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize(
    ("said", "kind", "window", "recipients"),
    [
        ("450 4.7.1 too many messages", SendingTooFast, "minute", False),
        ("450 4.7.0 exceeded your hourly limit", SendingTooFast, "hour", False),
        ("550 5.4.5 Daily limit exceeded", SubmissionQuotaExceeded, "day", False),
        ("550 5.1.90 daily limit for message recipients", SubmissionQuotaExceeded, "day", True),
        ("552 5.2.2 Mailbox full", SubmissionQuotaExceeded, "", False),
    ],
)
def test_a_limit_says_how_long_it_looks_back_and_what_it_counts(
    said: str, kind: type, window: str, recipients: bool
) -> None:
    code, _, text = said.partition(" ")
    error = refusal(Reply(int(code), text), step=Step.SENDER)

    assert type(error) is kind
    assert (error.window, error.counts_recipients) == (window, recipients)
    assert counts_recipients(text) == recipients


@pytest.mark.rule("R5.15")
def test_a_limit_at_one_recipient_is_a_limit_and_passes() -> None:
    results = (
        recipient_result("cleo@x.example", Reply(550, "5.1.1 no such user")),
        recipient_result("dora@x.example", Reply(550, "5.4.5 Daily limit exceeded")),
    )

    assert [result.permanent for result in results] == [True, False]
    assert isinstance(all_refused(results), SubmissionQuotaExceeded)
    assert isinstance(all_refused(results[:1]), MessageError)


def test_limits_have_errors_of_their_own() -> None:
    assert {ERRORS[meaning] for meaning in LIMITS} == {SendingTooFast, SubmissionQuotaExceeded}
