"""What came of attempts, said by the e-mails themselves, their recipients and the alerts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from random import random
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from activities.choices import RECIPIENTS, ActivityState, DeliveryResult, EmailStatus
from activities.models import ActivityParty, ActivityPointer, Email
from mailboxes.alerts import raise_all
from mailboxes.choices import Operation
from serversync import alarms
from serversync.actions import copies_of
from serversync.attempts import answers
from serversync.choices import SendOutcome, SubmissionState
from serversync.cycle import Run
from serversync.due import back_off
from serversync.leases import renew, request
from serversync.models import ServerAction, Submission
from tracking.correlate import key_of

#: Outcomes that say what becomes of the e-mail.
FINAL = (SubmissionState.ACCEPTED, SubmissionState.REFUSED, SubmissionState.RELEASED)

#: What servers say to a recipient, or have not said yet; the rest is known from reports.
ANSWERED_BY_SERVERS = [DeliveryResult.NONE, DeliveryResult.ACCEPTED, DeliveryResult.REFUSED]

#: Columns of an e-mail that settling may change.
SETTLED = [
    "status_code",
    "sent_on",
    "actual_end",
    "server_message_id",
    "server_message_id_dup_check",
    "postpone_email_processing_until",
    "delivery_attempts",
    "last_error_code",
    "last_error_text",
]


def settle(run: Run) -> None:
    """Let the e-mails say what their attempts came to (R5.12, R5.16, R5.18)."""
    now = run.clock()
    rows = list(
        Submission.objects.filter(
            mailbox=run.mailbox, settled=False, state__in=FINAL
        ).select_related("email__activity")
    )
    if not rows:
        return
    begun = _begun(rows)
    failed = [row for row in rows if _settle_one(run, row, begun, now)]
    sent = [
        row.email
        for row in rows
        if row.email.status_code == EmailStatus.SENT and not row.copy_filed
    ]
    copies = copies_of(sent, run.mailbox, run.organization, now)
    with transaction.atomic():
        renew(run.token, now, run.result.items)
        Email.objects.bulk_update([row.email for row in rows], SETTLED)
        ServerAction.objects.bulk_create(copies)
        Submission.objects.filter(pk__in=[row.pk for row in rows]).update(settled=True)
        _go_on([row for row in rows if row.state == SubmissionState.PARTLY])
        if failed:
            ActivityPointer.objects.filter(pk__in=[row.email_id for row in failed]).update(
                state_code=ActivityState.OPEN
            )
        _settle_recipients(rows, begun)
        _tell(run, rows, failed, now)  # in one with what it tells of: nobody comes back for it
    if copies:
        _wake_incoming(run, now)


def _begun(rows: Sequence[Submission]) -> set[UUID]:
    """E-mails that earlier attempts got to some of their recipients."""
    again = [row.email_id for row in rows if row.attempt > 1]
    if not again:
        return set()
    earlier = Submission.objects.filter(email__in=again, state=SubmissionState.PARTLY)
    return set(earlier.values_list("email_id", flat=True))


def _settle_one(run: Run, row: Submission, begun: Set[UUID], now: datetime) -> bool:
    """Change the e-mail in memory; True if it failed for good."""
    if row.state == SubmissionState.RELEASED:
        _released(row.email)
        return False
    if row.state == SubmissionState.ACCEPTED:
        if _has_more(run, row):
            _partly(run, row, now)
        else:
            _sent(run, row, now)
        return False
    return _refused(run, row, begun, now)


def _has_more(run: Run, row: Submission) -> bool:
    """Others may yet get it. As many as the server takes at once is progress, however often."""
    again = [one for one in row.recipients if one.get("again")]
    if not again or row.redirected_to:
        return False
    limit: int = run.organization.maximum_email_delivery_attempts
    return any(one["left_over"] for one in again) or row.email.delivery_attempts < limit


def _partly(run: Run, row: Submission, now: datetime) -> None:
    email = row.email
    again = [one for one in row.recipients if one["again"]]
    row.state = SubmissionState.PARTLY
    _postpone(run, email, now)
    if any(one["left_over"] for one in again):
        email.postpone_email_processing_until = None
    email.last_error_code = "MessageDeferred"
    email.last_error_text = " ".join(answers(again))[:2048]
    run.result.count(SendOutcome.DEFERRED, "partly")


def _go_on(partly: Sequence[Submission]) -> None:
    if partly:
        rows = Submission.objects.filter(pk__in=[row.pk for row in partly])
        rows.update(state=SubmissionState.PARTLY)


def _postpone(run: Run, email: Email, now: datetime) -> None:
    base = run.organization.mailbox_backoff_on_transient_error
    wait = back_off(base, email.delivery_attempts, None, random())
    email.status_code = EmailStatus.PENDING_SEND
    email.postpone_email_processing_until = now + timedelta(seconds=wait)


def _sent(run: Run, row: Submission, now: datetime) -> None:
    email = row.email
    email.status_code = EmailStatus.SENT
    email.sent_on = email.actual_end = row.finished_at or now
    email.server_message_id = row.server_message_id
    if row.server_message_id:  # answers may name it (R5.10)
        email.server_message_id_dup_check = key_of(row.server_message_id)
    email.postpone_email_processing_until = None
    email.last_error_code = email.last_error_text = ""
    refused = [r for r in row.recipients if not r["accepted"]]
    if refused:
        email.last_error_code = "RecipientsRefused"
        email.last_error_text = " ".join(answers(refused))[:2048]
    run.result.count(SendOutcome.SENT, "partly_refused" if refused else "")


def _released(email: Email) -> None:
    """It never left, so the attempt does not count against the e-mail."""
    email.status_code = EmailStatus.PENDING_SEND
    email.delivery_attempts = max(0, email.delivery_attempts - 1)


def _refused(run: Run, row: Submission, begun: Set[UUID], now: datetime) -> bool:
    email = row.email
    email.last_error_code = row.error_code
    email.last_error_text = " ".join([row.server_reply, *answers(row.recipients)])[:2048]
    limit: int = run.organization.maximum_email_delivery_attempts
    if row.permanent or email.delivery_attempts >= limit:
        if row.email_id in begun:  # others have it, so that nobody may send it again
            _sent(run, row, now)
            return False
        email.status_code = EmailStatus.FAILED
        run.result.count(SendOutcome.FAILED, row.error_code)
        run.result.failed += 1
        run.result.processed -= 1
        return True
    _postpone(run, email, now)
    run.result.count(SendOutcome.DEFERRED, row.error_code)
    return False


def _settle_recipients(rows: Sequence[Submission], begun: Set[UUID]) -> None:
    """A statement for each outcome, however many recipients there are."""
    taken = [row for row in rows if row.state in (SubmissionState.ACCEPTED, SubmissionState.PARTLY)]
    parties = ActivityParty.objects.filter(participation_type_mask__in=RECIPIENTS)
    redirected: dict[str, list[UUID]] = defaultdict(list)
    for row in taken:
        redirected[row.redirected_to].append(row.email_id)
    accepted = redirected.pop("", [])
    # A bounce may have been quicker than the news that the message left.
    for emails, results in (
        ([key for key in accepted if key not in begun], ANSWERED_BY_SERVERS),
        ([key for key in accepted if key in begun], [DeliveryResult.NONE]),
    ):
        if emails:
            parties.filter(activity_id__in=emails, delivery_result__in=results).update(
                delivery_result=DeliveryResult.ACCEPTED, delivery_detail=""
            )
    for address, emails in redirected.items():
        parties.filter(activity_id__in=emails).update(
            delivery_result=DeliveryResult.REDIRECTED, delivery_detail=address
        )
    _note_refused(rows, begun, parties)


def _note_refused(
    rows: Sequence[Submission], begun: Set[UUID], parties: "QuerySet[ActivityParty]"
) -> None:
    refused = {
        (row.email_id, str(one["address"]).lower()): (_said_to(row, one, begun), one)
        for row in rows
        if row.state != SubmissionState.RELEASED
        for one in row.recipients
        if not one["accepted"]
    }
    if not refused:
        return
    changed = []
    for party in parties.filter(activity_id__in={email_id for email_id, _address in refused}):
        if said := refused.get((party.activity_id, party.address_used.lower())):
            result, one = said
            party.delivery_result = result
            party.delivery_detail = f"{one['code']} {one['text']}"[:500]
            changed.append(party)
    ActivityParty.objects.bulk_update(changed, ["delivery_result", "delivery_detail"])


def _said_to(row: Submission, one: Mapping[str, Any], begun: Set[UUID]) -> DeliveryResult:
    """Whoever is tried again has no result yet."""
    goes_on = row.email_id in begun or row.state == SubmissionState.PARTLY
    goes_on = goes_on and row.email.status_code == EmailStatus.PENDING_SEND
    return DeliveryResult.NONE if goes_on and one.get("again") else DeliveryResult.REFUSED


def _wake_incoming(run: Run, now: datetime) -> None:
    """Whoever reads the mailbox files the copies: soon, unless polls are to be rare (R1.29). It runs
    in this job or in another one's turn, so none is added to the queue."""
    profile = run.mailbox.email_server_profile
    assert profile is not None  # eligibility checked it
    if not profile.min_polling_interval_in_minutes:
        request([run.mailbox.pk], Operation.INCOMING, now)


def _tell(
    run: Run, rows: Sequence[Submission], failed: Sequence[Submission], now: datetime
) -> None:
    accepted = [row.email for row in rows if row.email.status_code == EmailStatus.SENT]
    if accepted:
        alarms.settled(accepted, run.mailbox, now)
    if others := [row.email for row in rows if row.email not in accepted]:
        alarms.known(others, run.mailbox, now)
    told = [alarms.email_failed(row.email, row) for row in failed]
    told += [
        alarms.recipients_refused(email)
        for email in accepted
        if email.last_error_code == "RecipientsRefused"
    ]
    raise_all(run.mailbox, told, now=now, organization=run.organization)
