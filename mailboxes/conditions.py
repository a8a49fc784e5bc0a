"""PURE  every condition that the product can report: what it means, and what to do about it.

The table of R8.20, with the conditions that are ours beside the original's. A number belongs to its
code for good: never renumber, never reuse. Hundreds: 1 configuration and approval, 2 the connection,
3 logging in, 4 the server's account, 5 one incoming message, 6 one outgoing message, 7 decisions about
mail, 8 appointments, contacts and tasks, 9 what only informs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import TraceLevel
from mailboxes.protocols.errors import MessageError, ServerError

Words = str | Promise


class Nature(StrEnum):
    """What happens next (R8.1)."""

    TRANSIENT = "transient"  # tried again by itself
    PERMANENT = "permanent"  # needs a person; the workload is disabled (R8.2)
    EMAIL = "email"  # about one item; the mailbox goes on (R8.4)
    INFORMATION = "information"


class Scope(StrEnum):
    """Whose condition it is (R8.1, R8.12)."""

    EMAIL = "email"
    MAILBOX = "mailbox"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class Condition:
    """`meaning` may name parameters as %(name)s; `explain(...).sentence` fills them in."""

    code: str
    number: int
    nature: Nature
    level: Scope
    meaning: Words
    advice: Words

    @property
    def permanent(self) -> bool:
        return self.nature == Nature.PERMANENT

    @property
    def trace_level(self) -> TraceLevel:
        return trace_level_of(self.nature)

    def sentence(self, parameters: Mapping[str, Any] | None = None) -> str:
        """Meaning and advice in the active language."""
        known = _Parameters({"code": self.code, **(parameters or {})})
        parts = (str(self.meaning) % known, str(self.advice) % known)
        return " ".join(part for part in parts if part)


class _Parameters(dict[str, Any]):
    """A parameter that the caller did not know leaves an ellipsis, not an exception."""

    def __missing__(self, key: str) -> str:
        return "…"


def trace_level_of(nature: Nature) -> TraceLevel:
    """Transient: warning, permanent: error (R8.11). One failed e-mail is an error of its own."""
    return {
        Nature.TRANSIENT: TraceLevel.WARNING,
        Nature.PERMANENT: TraceLevel.ERROR,
        Nature.EMAIL: TraceLevel.ERROR,
        Nature.INFORMATION: TraceLevel.INFORMATION,
    }[nature]


T, P, E, I = Nature.TRANSIENT, Nature.PERMANENT, Nature.EMAIL, Nature.INFORMATION  # noqa: E741
ITEM, MAILBOX, PROFILE = Scope.EMAIL, Scope.MAILBOX, Scope.PROFILE
NONE_NEEDED = _("Nothing needs to be done.")

_ROWS: tuple[tuple[str, int, Nature, Scope, Words, Words], ...] = (
    # -- 1xx configuration and approval
    (
        "EmailAddressNotApproved",
        101,
        P,
        MAILBOX,
        _("The address of this mailbox isn't approved, and the organization asks for it (R2.3)."),
        _("Approve the address, then run Test & Enable."),
    ),
    (
        "TenantAdminApprovalRequired",
        102,
        P,
        MAILBOX,
        _("The mail tenant's administrator hasn't approved this address."),
        _("Have an authorised administrator approve it, then run Test & Enable."),
    ),
    (
        "MailboxDisabled",
        103,
        P,
        MAILBOX,
        _("This mailbox is inactive, so nothing of it is processed (R1.40)."),
        _("Activate the mailbox, then run Test & Enable."),
    ),
    (
        "UserDisabled",
        104,
        P,
        MAILBOX,
        _("The user of this mailbox is disabled (R1.41)."),
        _("Enable the user, which activates the mailbox; then run Test & Enable."),
    ),
    (
        "InvalidIncomingEmailServerProfile",
        105,
        P,
        MAILBOX,
        _("This mailbox has no server profile for incoming mail, or an inactive one (R1.32)."),
        _("Set a profile or activate it, then run Test & Enable."),
    ),
    (
        "InvalidOutgoingEmailServerProfile",
        106,
        P,
        MAILBOX,
        _("This mailbox has no server profile for outgoing mail, or an inactive one (R1.32)."),
        _("Set a profile or activate it, then run Test & Enable."),
    ),
    (
        "MailboxLocationNotDetermined",
        107,
        P,
        MAILBOX,
        _("The server of this mailbox could not be discovered (R1.24)."),
        _("Check autodiscover, or switch it off in the profile and enter the location."),
    ),
    (
        "DeliveryMethodNotServerSide",
        108,
        I,
        MAILBOX,
        _("The delivery method of this workload isn't server-side synchronization (R1.39)."),
        _("If it should run, choose server-side synchronization, then run Test & Enable."),
    ),
    (
        "EmailAddressMissing",
        109,
        P,
        MAILBOX,
        _("This mailbox has no email address (R2.1)."),
        _("Enter the address, have it approved, then run Test & Enable."),
    ),
    (
        "NotTested",
        110,
        I,
        MAILBOX,
        _("This workload hasn't been tested since it was set up or changed (R1.42)."),
        _("Run Test & Enable."),
    ),
    (
        "TestFailed",
        111,
        P,
        MAILBOX,
        _("The last test of this workload failed, so it is switched off (R2.17)."),
        _("Look at the steps of the test, cure the failing one, then run Test & Enable again."),
    ),
    (
        "NotSupported",
        112,
        P,
        MAILBOX,
        _("This server type or way of authenticating can't be used yet: %(what)s."),
        _("Choose another way of authenticating, or another server type, in the server profile."),
    ),
    (
        "ForwardMailboxMisconfigured",
        113,
        P,
        MAILBOX,
        _("Mail for this address should arrive in a forward mailbox, and there is none (R1.35)."),
        _("Create and enable a forward mailbox, or choose another delivery method."),
    ),
    (
        "ActNotSupported",
        114,
        P,
        MAILBOX,
        _(
            "Appointments, contacts and tasks need an Exchange profile and a user's mailbox (R1.34)."
        ),
        _("Set the delivery method of appointments, contacts and tasks to None."),
    ),
    (
        "UserNotLicensed",
        115,
        P,
        MAILBOX,
        _("The user of this mailbox has no licence, or doesn't have read-write access (R2.19)."),
        _("Assign a licence and read-write access, then run Test & Enable."),
    ),
    # -- 2xx the connection
    (
        "HostNotFound",
        201,
        P,
        PROFILE,
        _("The mail server can't be found: the host is unknown, or nothing answers at its port."),
        _("Check location and port in the server profile."),
    ),
    (
        "SocketTimedOut",
        202,
        T,
        PROFILE,
        _("The mail server didn't answer in time."),
        _("It is tried again by itself. If this lasts, check port, firewall and time-out."),
    ),
    (
        "SecureConnectionFailed",
        203,
        P,
        PROFILE,
        _("No secure connection could be made to the mail server."),
        _("Check the port, how TLS starts, and which TLS versions the server offers."),
    ),
    (
        "CertificateRejected",
        204,
        P,
        PROFILE,
        _(
            "The mail server's certificate can't be trusted: expired, for another name, or signed "
            "by nobody we trust."
        ),
        _("Renew it, enter the name that it is for, or give its authority in the profile."),
    ),
    (
        "InsecureConnection",
        205,
        P,
        PROFILE,
        _(
            "Mail or a password would travel without TLS, which the organization doesn't allow "
            "(R1.26)."
        ),
        _("Use TLS in the server profile. Lines without TLS are allowed in the organization."),
    ),
    (
        "HostDenied",
        206,
        P,
        PROFILE,
        _("This site doesn't allow connections to the network of that server."),
        _("Use another location, or have the operator change MAIL_DENIED_NETWORKS."),
    ),
    (
        "WrongProtocol",
        207,
        P,
        PROFILE,
        _("Another kind of server answers there."),
        _("Check server type and port: 993 for IMAP, 995 for POP3, 587 or 465 for SMTP."),
    ),
    (
        "SmtpSyntax",
        208,
        P,
        PROFILE,
        _("The outgoing server doesn't know our commands: wrong port, or not a mail server."),
        _("Check the outgoing port: 587 with STARTTLS, 465 with TLS from the first byte."),
    ),
    (
        "Forbidden",
        209,
        P,
        PROFILE,
        _("The server's policy refuses to talk to us."),
        _("Check access policy, allow-list and block lists for the address of this site."),
    ),
    (
        "ServiceUnavailable",
        210,
        T,
        PROFILE,
        _("The mail server has a passing fault or asks for patience."),
        _("It is tried again by itself."),
    ),
    (
        "UnexpectedReply",
        211,
        T,
        PROFILE,
        _("The server answered something outside its protocol."),
        _("It is tried again by itself. If this lasts, check server type, port and proxies."),
    ),
    (
        "ErrorServerBusy",
        212,
        T,
        PROFILE,
        _("The mail server is busy and asked us to wait."),
        _("It is tried again when the server said."),
    ),
    (
        "ErrorInvalidServerVersion",
        213,
        P,
        MAILBOX,
        _(
            "The Exchange server refuses every version of its web service that we speak, or the one "
            "that holds this mailbox does."
        ),
        _(
            "Update the server: 2007 SP1 is the oldest that is spoken. If the mailbox was moved, check "
            "location or autodiscover, then run Test & Enable."
        ),
    ),
    (
        "TestMessageNotBack",
        214,
        T,
        MAILBOX,
        _(
            "The test message of this mailbox left, but did not come back to its inbox within %(minutes)s "
            "minutes (R2.14): mail may not arrive."
        ),
        _(
            "Look into junk and quarantine at the provider, and whether the address is forwarded or another "
            "account's; check that MX records lead there. Then run Test & Enable again."
        ),
    ),
    # -- 3xx logging in
    (
        "InvalidCredentials",
        301,
        P,
        MAILBOX,
        _("The server refuses user name or password, or one of them is missing (R1.16)."),
        _(
            "Check user name, password and “allow to use credentials”, that the address and the "
            "profile are the right ones, and that the account may log in this way; then run "
            "Test & Enable."
        ),
    ),
    (
        "OutgoingEmailAuthenticationError",
        302,
        P,
        MAILBOX,
        _("The outgoing server refuses user name or password."),
        _("Check them; many providers want an app password. Then run Test & Enable."),
    ),
    (
        "ImpersonationDenied",
        303,
        P,
        MAILBOX,
        _("The profile's account may not impersonate this mailbox (R1.17)."),
        _("Grant it the right for this mailbox on the server, then run Test & Enable."),
    ),
    (
        "SecretUnreadable",
        304,
        P,
        MAILBOX,
        _("The stored password can't be decrypted with the site's keys."),
        _("Put the former key back into FIELD_ENCRYPTION_KEYS, or enter the password again."),
    ),
    (
        "8005E272",
        305,
        P,
        PROFILE,
        _("The server refuses the profile's own account."),
        _("Correct user name and password of the server profile, then run Test & Enable."),
    ),
    (
        "8005E259",
        306,
        P,
        MAILBOX,
        _("The user or team of this mailbox lacks privileges."),
        _("Assign a group that may read and create email, then run Test & Enable."),
    ),
    (
        "OwnerTeamHasNoRole",
        307,
        P,
        MAILBOX,
        _("The team that owns this queue has no privileges (original: −2147209462)."),
        _("Give the team's members a group that may own email."),
    ),
    (
        "SignInNeeded",
        308,
        P,
        MAILBOX,
        _("This mailbox opens by a sign-in at its provider, and nobody has signed in yet (R1.21)."),
        _("Have the owner connect the mailbox, then run Test & Enable."),
    ),
    (
        "SignInExpired",
        309,
        P,
        MAILBOX,
        _(
            "The provider accepts the sign-in of this mailbox no more: it expired, was revoked, or the "
            "password was changed (R1.21)."
        ),
        _("Have the owner connect the mailbox again, then run Test & Enable."),
    ),
    (
        "SignInWrongAccount",
        310,
        P,
        MAILBOX,
        _("Somebody signed in to another account than that of this mailbox (R1.21)."),
        _("Sign in to the mailbox's own account, or correct its address or user name."),
    ),
    (
        "TokenRefused",
        311,
        P,
        MAILBOX,
        _("The server refuses the token of this mailbox, also a renewed one."),
        _(
            "Check that the account may be read this way on the server, that address and user name are "
            "right and that the scopes of the profile fit; then connect the mailbox again."
        ),
    ),
    (
        "ClientRefused",
        312,
        P,
        PROFILE,
        _(
            "The provider refuses the client id or client secret of the profile, or what it asks for."
        ),
        _(
            "Correct client id, secret, tenant and scopes in the server profile; a secret may be over."
        ),
    ),
    (
        "ConsentMissing",
        313,
        P,
        MAILBOX,
        _("Nobody has granted the rights that the profile asks the provider for."),
        _(
            "Have the owner connect the mailbox again and agree, or have the tenant's administrator "
            "grant the rights to the client."
        ),
    ),
    (
        "AuthorityUnavailable",
        314,
        T,
        PROFILE,
        _("The provider's sign-in service doesn't answer, or asks for patience."),
        _("It is tried again by itself. If this lasts, check its address in the server profile."),
    ),
    (
        "SecretsKeptBack",
        315,
        P,
        MAILBOX,
        _(
            "Password or sign-in of this mailbox were entered for another server or way of connecting, "
            "so they aren't sent to this one (R1.9)."
        ),
        _(
            "Enter the password again, or connect the mailbox again. Or have somebody who may move "
            "stored secrets confirm the new servers on the profile. Then run Test & Enable."
        ),
    ),
    (
        "DkimKeyUnusable",
        316,
        P,
        PROFILE,
        _("Mail of this profile is to be signed, and its DKIM key can't be used (R5.32)."),
        _(
            "Enter the key again on the profile, or have a new one made and publish its record; or "
            "switch signing off. Mail waits meanwhile. Then run Test & Enable."
        ),
    ),
    (
        "DkimRecordWrong",
        317,
        P,
        PROFILE,
        _("What is published in DNS doesn't fit the DKIM key of this profile (R5.32)."),
        _(
            "Publish the record that the profile shows, or switch signing off, then run Test & Enable. A "
            "new record can take hours to be seen everywhere."
        ),
    ),
    # -- 4xx the server's account
    (
        "ErrorNonExistentMailbox",
        401,
        P,
        MAILBOX,
        _("The server knows no mailbox with this address."),
        _("Correct the address, and use the mail-style user name."),
    ),
    (
        "NoUserFound",
        402,
        P,
        MAILBOX,
        _("No account with this address exists in the mail tenant."),
        _("Correct the address, or use a profile for the other tenant."),
    ),
    (
        "ErrorInvalidLicense",
        403,
        P,
        MAILBOX,
        _("The account on the server has no licence, or the user isn't read-write."),
        _("License it (a queue: use a shared mailbox), or set the user's access mode."),
    ),
    (
        "8005E276",
        404,
        P,
        MAILBOX,
        _("The account on the server has no licence, or the user isn't read-write."),
        _("License it (a queue: use a shared mailbox), or set the user's access mode."),
    ),
    (
        "8005E273",
        405,
        P,
        MAILBOX,
        _("The account is disabled on the server."),
        _("Enable it on the server, then run Test & Enable."),
    ),
    (
        "MailboxNotEnabledForRESTAPI",
        406,
        P,
        MAILBOX,
        _("The account is inactive, on-premises or unlicensed (original: 8005E274)."),
        _("Choose the right profile, or license the account."),
    ),
    (
        "ErrorQuotaExceeded",
        407,
        T,
        MAILBOX,
        _("The account on the server is full."),
        _("Free some space. Mail waits meanwhile and is tried again (R5.13)."),
    ),
    (
        "ErrorSubmissionQuotaExceeded",
        408,
        T,
        MAILBOX,
        _("The server takes no more mail from this account for now (R5.14)."),
        _("Mail waits and goes out later. Use another channel for bulk mail."),
    ),
    (
        "SendingTooFast",
        416,
        T,
        MAILBOX,
        _("The server asks to send slower (R5.14)."),
        _("Mail waits and leaves more slowly for some hours. Nothing needs to be done."),
    ),
    (
        "SendingLimitReached",
        417,
        T,
        MAILBOX,
        _("Mail leaves no faster than the limits of its mailbox and profile allow (R5.14)."),
        _("Mail waits and leaves by itself. Raise the limit if the provider allows more."),
    ),
    (
        "FolderMissing",
        409,
        P,
        MAILBOX,
        _("A folder of this account doesn't exist or can't be opened: %(folder)s."),
        _("Create it on the server, or correct the folder rule."),
    ),
    (
        "UidlUnusable",
        410,
        P,
        PROFILE,
        _(
            "This POP3 server gives its messages no unique names (UIDL), so none could be told "
            "from the next."
        ),
        _("Use IMAP for this account, or switch UIDL on at the server."),
    ),
    (
        "ErrorInternalServerTransientError",
        411,
        T,
        MAILBOX,
        _("The mail server had a passing fault."),
        _("It is tried again by itself."),
    ),
    (
        "ErrorMailboxStoreUnavailable",
        412,
        T,
        MAILBOX,
        _("The server's store of this account is not available at the moment."),
        _("It is tried again by itself."),
    ),
    (
        "ErrorTimeoutExpired",
        413,
        T,
        MAILBOX,
        _("The mail server ran out of time."),
        _("It is tried again by itself."),
    ),
    (
        "ErrorImpersonateUserDenied",
        414,
        P,
        MAILBOX,
        _("The profile's account may not impersonate this mailbox (R1.17)."),
        _("Grant it the right for this mailbox on the server, then run Test & Enable."),
    ),
    (
        "ErrorAccessDenied",
        415,
        P,
        MAILBOX,
        _("The account logged in, and the server doesn't let it open this mailbox (R1.17)."),
        _(
            "Give it full access to the mailbox on the server, or let the profile use impersonation; "
            "then run Test & Enable."
        ),
    ),
    # -- 5xx one incoming message
    (
        "InvalidSender",
        501,
        E,
        ITEM,
        _("The message has no usable From address (R3.12)."),
        _("Ignore it, or correct whatever sends such mail."),
    ),
    (
        "InvalidForwardMailItem",
        502,
        E,
        ITEM,
        _(
            "The message in the forward mailbox holds no forwarded original, or its recipient "
            "doesn't use a forward mailbox (R3.75)."
        ),
        _("Forward as attachment, and set incoming email of the recipient to Forward Mailbox."),
    ),
    (
        "MessageTooLarge",
        503,
        E,
        ITEM,
        _("The message is larger than what is taken (R3.10, or the outgoing server's limit)."),
        _("Track it without the attachment, or send it with smaller ones."),
    ),
    (
        "MessageGone",
        504,
        E,
        ITEM,
        _("The message is no longer on the server: somebody deleted or moved it."),
        NONE_NEEDED,
    ),
    (
        "MessageOfFormerAccount",
        516,
        E,
        ITEM,
        _(
            "The message was to be fetched once more, and lies in an account that the mailbox means no "
            "longer (R1.43)."
        ),
        _(
            "Nothing needs to be done if the account of now holds it as well: it is recognised there. Else "
            "import it from a file (R3.72)."
        ),
    ),
    (
        "MessageUnreadable",
        505,
        E,
        ITEM,
        _("The server could not hand out this message."),
        _("It is tried as often as is set. If it stays so, move it in a mail program, then retry."),
    ),
    (
        "ActionRefused",
        506,
        E,
        ITEM,
        _("The server refused to delete, move or mark a message."),
        _("Check the account's rights on the folder. The message itself is stored."),
    ),
    (
        "HookFailed",
        507,
        E,
        ITEM,
        _("Custom code refused the record (original: −2147220891, 80040265)."),
        _("Correct the code, then retry the item."),
    ),
    (
        "PrivilegeDenied",
        508,
        E,
        ITEM,
        _("Who accepts the message may not own email (R3.29)."),
        _(
            "Enable and license the user or the owner of the queue, or give a group with the permission"
            " to add email; a team needs a member who has all that. Then retry the item."
        ),
    ),
    (
        "Quarantined",
        509,
        E,
        MAILBOX,
        _("%(count)s message(s) could not be stored and are kept in quarantine (R3.72)."),
        _("Open the quarantine: retry, download or dismiss them."),
    ),
    (
        "MessageIdReused",
        510,
        I,
        ITEM,
        _(
            "Another message with the same Message-ID but another Date or sender is stored; both "
            "are kept (R3.20)."
        ),
        _("Look at both if you don't trust the sender."),
    ),
    (
        "IncomingMailboxInternalCrmError",
        511,
        T,
        MAILBOX,
        _("The site itself failed while it processed this mailbox."),
        _("It is tried again by itself. If this lasts, tell the operator the time and the text."),
    ),
    (
        "80040216",
        512,
        T,
        MAILBOX,
        _("The site itself had an unexpected fault."),
        _("It is tried again by itself."),
    ),
    (
        "MessageKeysReset",
        513,
        I,
        MAILBOX,
        _("The server renumbered its messages; they were matched with what is stored."),
        NONE_NEEDED,
    ),
    (
        "RecordsHeldBack",
        514,
        I,
        ITEM,
        _(
            "More unknown senders wrote than may become records by %(who)s, so the emails of the others "
            "are tracked without one (R3.58)."
        ),
        _(
            "If it is spam, have the server stop it. If they are customers, raise the numbers in the "
            "organization; then make the records by hand."
        ),
    ),
    (
        "RuleOwnerLacksRights",
        515,
        E,
        ITEM,
        _(
            "The rule %(who)s makes no records: its owner, %(owner)s, may not, or is disabled (R3.58)."
        ),
        _(
            "Give the owner a group with the permissions to add cases and contacts, or choose another."
        ),
    ),
    # -- 6xx one outgoing message
    (
        "ErrorSendAsDenied",
        601,
        E,
        ITEM,
        _("The account has no right to send as that sender."),
        _("Grant it on the server (send as, or send on behalf), or change From."),
    ),
    (
        "SendAsPrivilegeMissing",
        602,
        E,
        ITEM,
        _("Whoever pressed Send may not use that sender (R5.24)."),
        _("The submitter needs “send email as another user”, and that user must allow it."),
    ),
    (
        "MessageRefused",
        603,
        E,
        ITEM,
        _("The server refused this message for good."),
        _("Read the server's answer at the email, correct it and send it again."),
    ),
    (
        "MessageDeferred",
        604,
        T,
        ITEM,
        _("The server put this message off."),
        _("It is tried again by itself (R5.11)."),
    ),
    (
        "RecipientsRefused",
        605,
        E,
        ITEM,
        _("The server refused some of the recipients; the others got the message (R5.16)."),
        _("Correct the marked addresses and send to them again."),
    ),
    (
        "DeliveryUnknown",
        606,
        E,
        ITEM,
        _(
            "The connection broke after the message was handed over: nobody knows whether it left "
            "(R5.17)."
        ),
        _("Look in the sent items or ask a recipient; then mark it as sent, or send it again."),
    ),
    (
        "EmailWaiting",
        607,
        T,
        ITEM,
        _("Email of this mailbox waits because outgoing mail doesn't run (R5.7)."),
        _("See on the mailbox why, cure it and run Test & Enable; then it goes out by itself."),
    ),
    (
        "DeliveryAttemptsExhausted",
        608,
        E,
        ITEM,
        _("The message was tried as often as the organization allows (R5.11)."),
        _("Read the last answer, cure it and send the email again."),
    ),
    (
        "ErrorInvalidRecipients",
        609,
        E,
        ITEM,
        _("The server accepts none of the recipients."),
        _("Correct the addresses and send the email again."),
    ),
    (
        "MailboxMissing",
        610,
        E,
        ITEM,
        _("The sender of this email has no mailbox that can send (R5.23)."),
        _("Choose another From, or set outgoing email of that mailbox."),
    ),
    (
        "Undelivered",
        611,
        E,
        ITEM,
        _("A server on the way reports that an email which left did not reach everybody (R5.21)."),
        _(
            "Read its answer at the marked recipients, correct the addresses and send to them again."
        ),
    ),
    (
        "AnswerOverdue",
        612,
        I,
        ITEM,
        _(
            "This automatic answer waited longer than answers may be late, so it was cancelled and not "
            "sent (R3.59)."
        ),
        _("Answer by hand if it still matters."),
    ),
    # -- 7xx decisions about mail (R3.15; the decision itself carries Dataverse's own number)
    (
        "NoCorrelationMatch",
        701,
        I,
        ITEM,
        _("No recipient's filter accepted the message (R3.24)."),
        _("Change the filter of the user or queue, or track the message by hand."),
    ),
    (
        "NoRecipientMatch",
        702,
        I,
        ITEM,
        _("No known user or queue is among the recipients (R3.22)."),
        _("Add the address to the user or queue, or track the message by hand."),
    ),
    (
        "InternalEmailReject",
        703,
        I,
        ITEM,
        _("Mail between own users is stored once only (R3.40)."),
        _(
            "To store both copies, switch “track mail between users once only” off in the "
            "organization."
        ),
    ),
    (
        "Duplicate",
        704,
        I,
        ITEM,
        _("This message is already stored (R3.20)."),
        NONE_NEEDED,
    ),
    # -- 8xx appointments, contacts and tasks
    (
        "OrganizerMissing",
        801,
        E,
        ITEM,
        _("The appointment has no organizer (R6.20)."),
        _("Fill in the organizer."),
    ),
    (
        "ExchangeSyncSchedulingConflictsError",
        802,
        E,
        ITEM,
        _("A party of the appointment is busy here at that time (R6.26)."),
        _("Decide whether it should be stored all the same."),
    ),
    (
        "DuplicateRecordsFound",
        803,
        E,
        ITEM,
        _("An item on the server looks like a record that exists already (R6.51)."),
        _("Decide whether both are the same."),
    ),
    (
        "PreviouslyLinkedItems",
        804,
        E,
        ITEM,
        _("The item was linked before (R6.51)."),
        _("Decide whether to link it again."),
    ),
    (
        "ConfiguredWithOtherOrganization",
        805,
        P,
        MAILBOX,
        _(
            "The account synchronizes its appointments, contacts and tasks with another "
            "organization (R6.61)."
        ),
        _("Run Test & Enable with the override, or set appointments, contacts and tasks to None."),
    ),
    (
        "ServerError383",
        806,
        E,
        ITEM,
        _("The server refused the time zone of an appointment (R6.35)."),
        _("Retry the item."),
    ),
    (
        "MassDeleteStopped",
        807,
        P,
        MAILBOX,
        _("The synchronization would delete or cancel unusually much and was stopped (R6.46)."),
        _("Look at the list, then confirm or cancel."),
    ),
    (
        "ActWaitsForApproval",
        808,
        P,
        MAILBOX,
        _(
            "%(count)s changes of appointments, contacts and tasks wait for somebody to approve them; "
            "%(people)s people would be mailed (R6.46, R6.51)."
        ),
        _("Look at what would happen, then approve it or drop it. Everything else goes on."),
    ),
    (
        "ActOrganizerChanged",
        809,
        E,
        ITEM,
        _("Somebody else organizes the meeting now (R6.32)."),
        _("Decide whether it is handed over, which calls the former meeting off."),
    ),
    (
        "RecordNotWritable",
        810,
        E,
        ITEM,
        _("The user may not store this here (R6.7)."),
        _(
            "Give a group of the user the permission, with a reach that covers the record; or take the "
            "category off the item."
        ),
    ),
    (
        "RecordNotStorable",
        811,
        E,
        ITEM,
        _("What the server told can't be stored here as it is (R6.14)."),
        _(
            "The item's error says what is wrong. Change the item on the server; it is tried again then."
        ),
    ),
    # -- 9xx what only informs
    (
        "AddressMovedToOtherMailbox",
        901,
        I,
        MAILBOX,
        _(
            "The address %(address)s moved from mailbox “%(from_mailbox)s” to “%(to_mailbox)s” "
            "(R1.5)."
        ),
        _("Approve the address where it is now, then run Test & Enable."),
    ),
    (
        "AddressChanged",
        902,
        I,
        MAILBOX,
        _(
            "The address changed from “%(before)s” to “%(after)s”; approval and tests start over "
            "(R1.43)."
        ),
        _("Approve the new address, then run Test & Enable."),
    ),
    (
        "TestAndEnableSucceeded",
        903,
        I,
        MAILBOX,
        _("Test & Enable succeeded (R2.16)."),
        NONE_NEEDED,
    ),
    (
        "CategoryEnabled",
        904,
        I,
        MAILBOX,
        _("The tracking category was added to the account."),
        NONE_NEEDED,
    ),
    (
        "WorkloadPaused",
        905,
        T,
        MAILBOX,
        _("This workload is paused after repeated failures and probed by itself (R8.5)."),
        _("It recovers by itself once the cause is gone."),
    ),
    (
        "Postponed",
        906,
        I,
        MAILBOX,
        _("This workload waits until %(until)s."),
        _("It runs then by itself."),
    ),
    (
        "InProgress",
        907,
        I,
        MAILBOX,
        _("A worker is processing this workload right now."),
        NONE_NEEDED,
    ),
    (
        "MailboxRetired",
        908,
        I,
        MAILBOX,
        _("The user or queue of this mailbox was deleted; its history is kept (R1.45)."),
        NONE_NEEDED,
    ),
    (
        "Eligible",
        909,
        I,
        MAILBOX,
        _("This workload runs."),
        "",
    ),
    (
        "LeaseLost",
        910,
        T,
        MAILBOX,
        _("Another worker took this workload over, so this run stopped before its next write."),
        NONE_NEEDED,
    ),
    (
        "ProfileRecovered",
        911,
        I,
        PROFILE,
        _("The mail server answers again."),
        NONE_NEEDED,
    ),
    (
        "SignInEndsSoon",
        912,
        I,
        MAILBOX,
        _("The sign-in of this mailbox ends on %(date)s and isn't renewed by itself (R1.21)."),
        _("Have the owner connect the mailbox again before."),
    ),
    (
        "ClientSecretEndsSoon",
        913,
        I,
        PROFILE,
        _("The client secret of this profile is valid until %(date)s (R1.21)."),
        _("Make a new one at the provider, and enter it in the profile with its date."),
    ),
    (
        "ProviderUsersNearLimit",
        914,
        I,
        PROFILE,
        _("%(count)s accounts are connected by the client of this profile (R1.21)."),
        _(
            "Google lets a client that it hasn't verified open 100. Have it verified, or give further "
            "mailboxes a profile with a client of its own."
        ),
    ),
    (
        "AlertMailNotSent",
        915,
        I,
        PROFILE,
        _(
            "The owner of this profile was to be told of a major event by mail, and it could not be sent."
        ),
        _("Look at the mailboxes; then choose a mailbox for alerts in the organization (R8.15)."),
    ),
    (
        "CertificateEndsSoon",
        916,
        I,
        PROFILE,
        _("The certificate of %(host)s is valid until %(date)s (R1.21)."),
        _("Have it renewed before: afterwards no mailbox of this profile connects."),
    ),
    (
        "MailboxSilent",
        917,
        I,
        MAILBOX,
        _(
            "This mailbox is unusually quiet: %(seen)s messages in the last %(hours)s hours, where "
            "there are usually %(usual)s (R8.19)."
        ),
        _(
            "See whether mail still reaches it: a rule on the server, a changed MX record or an alias."
        ),
    ),
    (
        "ProfileSilent",
        918,
        I,
        PROFILE,
        _(
            "All %(count)s mailboxes of this server that usually get mail are quiet: %(seen)s messages in the "
            "last %(hours)s hours, where there are usually %(usual)s (R8.19)."
        ),
        _("On a holiday nothing needs to be done; else see whether mail still reaches the server."),
    ),
)

TABLE: Mapping[str, Condition] = {row[0]: Condition(*row) for row in _ROWS}

#: 0 belongs to whatever has no row: a server's error that this version doesn't know.
_UNKNOWN = (
    _("An error that this version doesn't know: %(code)s."),
    _("It is tried again by itself. If this lasts, look at the details."),
)


def explain(code: str) -> Condition:
    """The condition of a code. An unknown one is transient (R5.15) and says its own name."""
    if found := TABLE.get(code):
        return found
    meaning, advice = _UNKNOWN
    return Condition(code or "Unknown", 0, T, MAILBOX, meaning, advice)


def nature_of(error: ServerError, *, strict_parity: bool = False) -> Nature:
    """What an adapter's error means for the workload.

    The adapter knows more than the code: "refused" is HostNotFound, too, but may be a restart, and is
    tried again. Under strict parity the code alone decides, as in the original.
    """
    if isinstance(error, MessageError):
        return Nature.EMAIL
    if strict_parity and error.code in TABLE:
        return TABLE[error.code].nature
    return Nature.PERMANENT if error.permanent else Nature.TRANSIENT
