"""May a workload run, and if not: which cure comes first?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from mailboxes import choices, eligibility
from mailboxes.choices import (
    AccessApproval,
    ActDeliveryMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    ServerType,
    StateCode,
    WorkloadState,
)
from mailboxes.conditions import TABLE
from mailboxes.eligibility import WorkloadFacts, approval_required, eligible, facts_of

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(minutes=5), NOW - timedelta(minutes=5)
READY = WorkloadFacts(operation=Operation.INCOMING, server_side=True)

# Each broken condition with its code, in the order in which the cures are to be done.
BROKEN = [
    ("server_side", {"server_side": False}, "DeliveryMethodNotServerSide"),
    ("retired", {"retired": True}, "MailboxDisabled"),
    ("user disabled", {"user_disabled": True}, "UserDisabled"),
    ("queue inactive", {"queue_inactive": True}, "MailboxDisabled"),
    ("inactive", {"mailbox_active": False}, "MailboxDisabled"),
    ("no profile", {"has_profile": False}, "InvalidIncomingEmailServerProfile"),
    ("profile inactive", {"profile_active": False}, "InvalidIncomingEmailServerProfile"),
    ("pending", {"approval": AccessApproval.PENDING}, "EmailAddressNotApproved"),
    (
        "disabled",
        {"enabled": False, "state": WorkloadState.DISABLED, "because_of": "InvalidCredentials"},
        "InvalidCredentials",
    ),
    ("leased", {"leased_until": LATER}, "InProgress"),
    ("postponed", {"postponed_until": LATER}, "Postponed"),
]
NAMES = [name for name, _, _ in BROKEN]


@pytest.mark.rule("R1.39")
def test_a_workload_for_which_all_holds_runs():
    assert eligible(READY, NOW).ok
    assert eligible(replace(READY, postponed_until=EARLIER, leased_until=EARLIER), NOW).ok
    assert eligible(replace(READY, postponed_until=NOW), NOW).ok


@pytest.mark.rule("R1.39", "R1.40", "R1.42")
@pytest.mark.parametrize(("name", "broken", "code"), BROKEN, ids=NAMES)
def test_each_condition_alone_stops_it_and_says_why(name, broken, code):
    verdict = eligible(replace(READY, **broken), NOW)

    assert not verdict.ok
    assert verdict.code == code
    assert str(verdict.because).strip()


@pytest.mark.parametrize("position", range(len(BROKEN)), ids=NAMES)
def test_of_several_causes_the_one_to_cure_first_is_named(position):
    everything = {}
    for _, broken, _ in reversed(BROKEN[position:]):
        everything |= broken

    assert eligible(replace(READY, **everything), NOW).code == BROKEN[position][2]


@pytest.mark.parametrize("name", NAMES)
def test_every_reason_is_a_known_condition_and_names_rule_or_cure(name):
    _, broken, code = BROKEN[NAMES.index(name)]
    text = str(eligible(replace(READY, **broken), NOW).because)

    assert code in TABLE
    assert "(R" in text


@pytest.mark.rule("R2.3", "R2.7")
def test_an_unapproved_address_stops_for_good_and_names_the_cure():
    for approval in (AccessApproval.PENDING, AccessApproval.REJECTED, AccessApproval.EMPTY):
        verdict = eligible(replace(READY, approval=approval), NOW)
        assert verdict.permanent
        assert verdict.code == "EmailAddressNotApproved"
        assert "pprove" in str(verdict.because)
        assert "Test & Enable" in str(verdict.because)


@pytest.mark.rule("R2.3")
def test_approval_is_ignored_where_the_organization_does_not_ask_for_it():
    facts = replace(READY, approval_required=False, approval=AccessApproval.PENDING)

    assert eligible(facts, NOW).ok


@pytest.mark.rule("R2.3")
@pytest.mark.parametrize("for_users", [True, False])
@pytest.mark.parametrize("for_queues", [True, False])
def test_each_switch_speaks_about_its_kind_of_mailbox_only(for_users, for_queues):
    organization = SimpleNamespace(
        require_approval_for_user_email=for_users, require_approval_for_queue_email=for_queues
    )

    def asked(user, queue):
        mailbox = SimpleNamespace(regarding_user_id=user, regarding_queue_id=queue)
        return approval_required(mailbox, organization)

    assert asked("u", None) is for_users
    assert asked(None, "q") is for_queues
    assert asked(None, None) is False


@pytest.mark.rule("R1.42")
def test_a_flag_that_no_test_has_set_asks_for_the_test():
    facts = replace(READY, enabled=False, tested=choices.TestStatus.NOT_RUN)

    assert eligible(facts, NOW).code == "NotTested"
    assert eligible(replace(facts, tested=choices.TestStatus.FAILURE), NOW).code == "TestFailed"


def test_a_paused_workload_runs_as_soon_as_its_probe_is_due():
    paused = replace(
        READY,
        state=WorkloadState.PAUSED,
        because_of="SocketTimedOut",
        postponed_until=LATER,
    )

    assert eligible(paused, NOW).code == "SocketTimedOut"
    assert not eligible(paused, NOW).permanent
    assert eligible(paused, LATER).ok


@pytest.mark.rule("R1.41")
def test_the_cure_for_a_disabled_user_is_the_user_not_the_mailbox():
    verdict = eligible(replace(READY, user_disabled=True, mailbox_active=False), NOW)

    assert "Enable the user" in str(verdict.because)


def test_a_test_needs_no_flag_but_an_address_and_a_person_who_may_write():
    untested = replace(READY, enabled=False, tested=choices.TestStatus.NOT_RUN)

    assert eligibility.testable(untested).ok
    assert eligibility.testable(
        replace(untested, state=WorkloadState.DISABLED, because_of="HostNotFound")
    ).ok
    assert eligibility.testable(replace(untested, user_read_write=False)).code == "UserNotLicensed"
    assert eligibility.testable(replace(untested, act_possible=False)).code == "ActNotSupported"
    assert (
        eligibility.testable(replace(untested, has_address=False, approval_required=False)).code
        == "EmailAddressMissing"
    )
    assert eligibility.testable(replace(untested, profile_active=False)).code == (
        "InvalidIncomingEmailServerProfile"
    )


def rows(**changes):
    user = SimpleNamespace(is_disabled=False, is_licensed=True, access_mode=0)
    profile = SimpleNamespace(state_code=StateCode.ACTIVE, server_type=ServerType.IMAP_SMTP)
    mailbox = SimpleNamespace(
        email_server_profile=profile,
        regarding_user=user,
        regarding_user_id="u",
        regarding_queue_id=None,
        is_forward_mailbox=False,
        state_code=StateCode.ACTIVE,
        incoming_email_delivery_method=IncomingDeliveryMethod.SERVER_SIDE_SYNC,
        outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE,
        act_delivery_method=ActDeliveryMethod.NONE,
        email_address="ada@example.com",
        email_router_access_approval=AccessApproval.APPROVED,
    )
    workload = SimpleNamespace(
        operation=Operation.INCOMING,
        enabled=True,
        test_status=1,
        state="ready",
        state_code="",
        postponed_until=None,
        lease_token=None,
        lease_expires_at=None,
    )
    organization = SimpleNamespace(
        require_approval_for_user_email=True, require_approval_for_queue_email=True
    )
    for path, value in changes.items():
        name, column = path.split("__")
        setattr(locals()[name], column, value)
    return mailbox, workload, organization


@pytest.mark.rule("R1.39", "R1.40", "R1.41")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "Eligible"),
        ({"mailbox__state_code": StateCode.INACTIVE}, "MailboxDisabled"),
        ({"user__is_disabled": True}, "UserDisabled"),
        ({"mailbox__email_server_profile": None}, "InvalidIncomingEmailServerProfile"),
        ({"profile__state_code": StateCode.INACTIVE}, "InvalidIncomingEmailServerProfile"),
        ({"workload__operation": Operation.OUTGOING}, "DeliveryMethodNotServerSide"),
        ({"workload__operation": Operation.ACT}, "DeliveryMethodNotServerSide"),
        ({"mailbox__email_router_access_approval": 2}, "EmailAddressNotApproved"),
        ({"organization__require_approval_for_user_email": False}, "Eligible"),
        ({"workload__enabled": False}, "NotTested"),
        ({"workload__lease_token": "t", "workload__lease_expires_at": LATER}, "InProgress"),
        ({"workload__postponed_until": LATER}, "Postponed"),
    ],
)
def test_rows_are_read_as_they_stand(changes, code):
    assert eligible(facts_of(*rows(**changes)), NOW).code == code


@pytest.mark.rule("R1.32")
def test_an_inactive_profile_is_reported_per_direction():
    mailbox, workload, organization = rows(
        profile__state_code=StateCode.INACTIVE,
        workload__operation=Operation.OUTGOING,
        mailbox__outgoing_email_delivery_method=OutgoingDeliveryMethod.SERVER_SIDE_SYNC,
    )

    verdict = eligible(facts_of(mailbox, workload, organization), NOW)

    assert verdict.code == "InvalidOutgoingEmailServerProfile"
    assert verdict.permanent


def test_the_mailbox_of_a_deleted_user_is_retired_and_a_forward_mailbox_is_not():
    gone = rows(mailbox__regarding_user=None, mailbox__regarding_user_id=None)
    assert facts_of(*gone).retired

    forward = rows(
        mailbox__regarding_user=None,
        mailbox__regarding_user_id=None,
        mailbox__is_forward_mailbox=True,
    )
    assert not facts_of(*forward).retired
    assert eligible(facts_of(*forward), NOW).ok


@pytest.mark.rule("R1.35")
@pytest.mark.parametrize("method", IncomingDeliveryMethod)
def test_only_server_side_mailboxes_are_polled(method):
    """Mail for a user or queue with *forward mailbox* arrives elsewhere, its own account is left be."""
    mailbox, workload, organization = rows(mailbox__incoming_email_delivery_method=method)

    verdict = eligible(facts_of(mailbox, workload, organization), NOW)

    assert verdict.ok is (method == IncomingDeliveryMethod.SERVER_SIDE_SYNC)


@pytest.mark.rule("R1.41")
def test_the_mailbox_of_an_inactive_queue_says_that_the_queue_is_to_be_activated():
    mailbox, workload, organization = rows(mailbox__state_code=StateCode.INACTIVE)
    mailbox.regarding_user, mailbox.regarding_user_id = None, None
    mailbox.regarding_queue_id = "q"
    mailbox.regarding_queue = SimpleNamespace(state_code=StateCode.INACTIVE)

    verdict = eligible(facts_of(mailbox, workload, organization), NOW)
    assert "Activate the queue" in str(verdict.because)

    mailbox.regarding_queue = SimpleNamespace(state_code=StateCode.ACTIVE)
    verdict = eligible(facts_of(mailbox, workload, organization), NOW)
    assert "Activate it, then" in str(verdict.because)
