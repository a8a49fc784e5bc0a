"""PURE  may this workload of a mailbox run now, and if not, why not and what to do first (R1.39-R1.42).

The engine asks before each cycle, the mailbox page asks to explain. The checks stand in the order in
which their cures are to be done: approving an address helps nobody whose mailbox has no profile, and
a test is worth running only after both.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import (
    AccessApproval,
    AccessMode,
    ActDeliveryMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    ServerType,
    StateCode,
    TestStatus,
    WorkloadState,
)
from mailboxes.conditions import explain

PROFILE_CODES = {
    Operation.INCOMING: "InvalidIncomingEmailServerProfile",
    Operation.OUTGOING: "InvalidOutgoingEmailServerProfile",
    Operation.ACT: "InvalidIncomingEmailServerProfile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadFacts:
    """What the answer depends on.

    `user_disabled`, `user_read_write`: of the user whose mailbox it is; for queues and forward
    mailboxes nobody is disabled and everybody may write. `queue_inactive`: of its queue. `retired`: its user or queue was deleted.
    `approval_required`: the organization asks for it from this kind of mailbox.
    `because_of`: the condition that paused or disabled the workload, if any.
    """

    operation: Operation
    server_side: bool
    mailbox_active: bool = True
    retired: bool = False
    user_disabled: bool = False
    queue_inactive: bool = False
    user_read_write: bool = True
    has_profile: bool = True
    profile_active: bool = True
    act_possible: bool = True
    has_address: bool = True
    approval_required: bool = True
    approval: AccessApproval = AccessApproval.APPROVED
    enabled: bool = True
    tested: TestStatus = TestStatus.SUCCESS
    state: WorkloadState = WorkloadState.READY
    because_of: str = ""
    postponed_until: datetime | None = None
    leased_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`because` names the rule and the cure. `permanent`: only a person can change it (R2.7)."""

    ok: bool
    code: str
    because: str | Promise
    permanent: bool = False


def eligible(facts: WorkloadFacts, now: datetime) -> Verdict:
    """May it run now?"""
    return (
        _not_set_up(facts)
        or _not_enabled(facts)
        or _not_now(facts, now)
        or Verdict(True, "Eligible", _("It runs: everything that R1.39 asks for holds."))
    )


def testable(facts: WorkloadFacts) -> Verdict:
    """May it be tested? The preconditions of a test (R2.19), which looks further than a run does."""
    return (
        _not_set_up(facts)
        or _not_worth_testing(facts)
        or Verdict(True, "Eligible", _("It can be tested."))
    )


def _not_set_up(facts: WorkloadFacts) -> Verdict | None:
    if not facts.server_side:
        # A choice, not a fault; and while it stands, no other cure changes anything.
        return Verdict(
            False,
            "DeliveryMethodNotServerSide",
            _(
                "It doesn't run, because its delivery method isn't server-side synchronization "
                "(R1.39). To run it, choose that method, then run Test & Enable."
            ),
        )
    if facts.retired:
        return _refuse(
            "MailboxDisabled",
            _(
                "The user or queue of this mailbox was deleted, and the mailbox keeps its history "
                "only (R1.45). Nothing can start it again."
            ),
        )
    if facts.user_disabled:
        return _refuse(
            "UserDisabled",
            _(
                "The user of this mailbox is disabled (R1.41). Enable the user, which activates "
                "the mailbox; then run Test & Enable."
            ),
        )
    if facts.queue_inactive:
        return _refuse(
            "MailboxDisabled",
            _(
                "The queue of this mailbox is inactive (R1.41). Activate the queue, which activates "
                "the mailbox; then run Test & Enable."
            ),
        )
    if not facts.mailbox_active:
        return _refuse(
            "MailboxDisabled",
            _("The mailbox is inactive (R1.40). Activate it, then run Test & Enable."),
        )
    if not facts.has_profile:
        return _refuse(
            PROFILE_CODES[facts.operation],
            _("The mailbox has no server profile (R1.40). Choose one, then run Test & Enable."),
        )
    if not facts.profile_active:
        return _refuse(
            PROFILE_CODES[facts.operation],
            _(
                "The server profile of this mailbox is inactive (R1.32). Activate the profile or "
                "choose another one, then run Test & Enable."
            ),
        )
    if not facts.act_possible:
        return _refuse(
            "ActNotSupported",
            _(
                "Appointments, contacts and tasks need an Exchange profile and a user's mailbox "
                "(R1.34). Set their delivery method to None, or choose an Exchange profile."
            ),
        )
    if facts.approval_required and facts.approval != AccessApproval.APPROVED:
        if facts.approval == AccessApproval.REJECTED:
            return _refuse(
                "EmailAddressNotApproved",
                _(
                    "The email address was rejected, and the organization processes approved ones "
                    "only (R2.3). Approve it after all, or change it; then run Test & Enable."
                ),
            )
        if facts.approval == AccessApproval.EMPTY:
            return _refuse(
                "EmailAddressNotApproved",
                _(
                    "The mailbox has no email address that could be approved (R2.1, R2.3). Enter "
                    "one at its user or queue, approve it, then run Test & Enable."
                ),
            )
        return _refuse(
            "EmailAddressNotApproved",
            _(
                "The email address isn't approved yet, and the organization processes approved "
                "ones only (R2.3). Approve it, then run Test & Enable."
            ),
        )
    return None


def _not_worth_testing(facts: WorkloadFacts) -> Verdict | None:
    if not facts.has_address:
        return _refuse(
            "EmailAddressMissing",
            _(
                "The mailbox has no email address (R2.1). Enter one at its user or queue, then run "
                "Test & Enable."
            ),
        )
    if not facts.user_read_write:
        return _refuse(
            "UserNotLicensed",
            _(
                "The user of this mailbox has no licence, or no read-write access (R2.19, R3.29). "
                "Assign both, then run Test & Enable."
            ),
        )
    return None


def _not_enabled(facts: WorkloadFacts) -> Verdict | None:
    if facts.enabled and facts.state != WorkloadState.DISABLED:
        return None
    if facts.because_of:
        condition = explain(facts.because_of)
        return _refuse(
            facts.because_of,
            _Joined(_("It was disabled (R8.2)."), condition.meaning, condition.advice),
        )
    if facts.tested == TestStatus.FAILURE:
        return _refuse(
            "TestFailed",
            _(
                "Its last test failed (R2.17). Look at the failing step, cure it, then run "
                "Test & Enable again."
            ),
        )
    return Verdict(
        False,
        "NotTested",
        _(
            "It hasn't been tested since it was set up or changed (R1.42). Run Test & Enable, "
            "which switches it on."
        ),
        permanent=True,
    )


def _not_now(facts: WorkloadFacts, now: datetime) -> Verdict | None:
    if facts.leased_until is not None and facts.leased_until > now:
        return Verdict(False, "InProgress", _("A worker is processing it right now (R9.7)."))
    if facts.postponed_until is None or facts.postponed_until <= now:
        return None
    until = facts.postponed_until
    if facts.state == WorkloadState.PAUSED:
        condition = explain(facts.because_of)
        return Verdict(
            False,
            facts.because_of or "WorkloadPaused",
            _Joined(
                _("It is paused after repeated failures and tried again by itself (R8.5)."),
                condition.meaning if facts.because_of else "",
            ),
        )
    if facts.because_of:  # its last run went well, and a limit keeps the rest back
        return Verdict(
            False,
            facts.because_of,
            _Joined(
                explain(facts.because_of).meaning,
                _("It goes on at"),
                f"{until:%Y-%m-%d %H:%M} UTC.",
            ),
        )
    return Verdict(
        False,
        "Postponed",
        _Joined(_("It waits after its last run (R9.5) until"), f"{until:%Y-%m-%d %H:%M} UTC."),
    )


def _refuse(code: str, because: "str | Promise | _Joined") -> Verdict:
    return Verdict(False, code, because, permanent=True)


class _Joined(Promise):
    """Lazy sentences with a blank between them, translated when they are shown."""

    def __init__(self, *parts: object) -> None:
        self.parts = parts

    def __str__(self) -> str:
        return " ".join(text for part in self.parts if (text := str(part)))


# -- from rows -----------------------------------------------------------------------------------


def is_server_side(mailbox: Any, operation: Operation) -> bool:
    """Is the delivery method of this workload server-side synchronization?"""
    return bool(
        {
            Operation.INCOMING: mailbox.incoming_email_delivery_method
            == IncomingDeliveryMethod.SERVER_SIDE_SYNC,
            Operation.OUTGOING: mailbox.outgoing_email_delivery_method
            == OutgoingDeliveryMethod.SERVER_SIDE_SYNC,
            Operation.ACT: mailbox.act_delivery_method == ActDeliveryMethod.SERVER_SIDE_SYNC,
        }[operation]
    )


def approval_required(mailbox: Any, organization: Any) -> bool:
    """Does the organization ask for approval from this kind of mailbox (R2.3)?

    A forward mailbox serves neither user nor queue, so neither switch speaks about it.
    """
    if mailbox.regarding_user_id is not None:
        return bool(organization.require_approval_for_user_email)
    if mailbox.regarding_queue_id is not None:
        return bool(organization.require_approval_for_queue_email)
    return False


def facts_of(mailbox: Any, workload: Any, organization: Any) -> WorkloadFacts:
    """The facts of rows already read; select `email_server_profile` and `regarding_user` with the
    mailbox. `workload` None: the engine has no row for it."""
    operation = Operation(workload.operation)
    profile, user = mailbox.email_server_profile, mailbox.regarding_user
    serves = mailbox.regarding_user_id is not None or mailbox.regarding_queue_id is not None
    return WorkloadFacts(
        operation=operation,
        server_side=is_server_side(mailbox, operation),
        mailbox_active=mailbox.state_code == StateCode.ACTIVE,
        retired=not serves and not mailbox.is_forward_mailbox,
        user_disabled=user is not None and user.is_disabled,
        # Asked of inactive mailboxes only: active ones have active queues, and need no look-up.
        queue_inactive=mailbox.state_code != StateCode.ACTIVE
        and mailbox.regarding_queue_id is not None
        and mailbox.regarding_queue.state_code != StateCode.ACTIVE,
        user_read_write=user is None
        or (user.is_licensed and user.access_mode == AccessMode.READ_WRITE),
        has_profile=profile is not None,
        profile_active=profile is not None and profile.state_code == StateCode.ACTIVE,
        act_possible=operation != Operation.ACT
        or profile is None
        or (ServerType(profile.server_type).is_exchange and user is not None),
        has_address=bool(mailbox.email_address),
        approval_required=approval_required(mailbox, organization),
        approval=AccessApproval(mailbox.email_router_access_approval),
        enabled=workload.enabled,
        tested=TestStatus(workload.test_status),
        state=WorkloadState(workload.state),
        because_of=workload.state_code,
        postponed_until=workload.postponed_until,
        leased_until=workload.lease_expires_at if workload.lease_token else None,
    )
