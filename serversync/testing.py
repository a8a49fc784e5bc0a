"""Test & Enable (section 2.2): prove that a workload can run, step by step, and switch it on.

    scheduled ──> preconditions ──> lease ──> the steps of the conversation ──┬─> success: enabled
                       │                          │ passing fault, 3 times    ├─> failure: disabled
                       └──> failure               └──> again in 1, 2, 5 min   ┘

Each workload is judged alone. The test holds the lease of the workload it tests, so that no cycle uses
the account at the same time. A job that dies leaves the mailbox scheduled, and the next one tests again.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from activities.mime.dkim import Signer
from activities.mime.message import Address, OutgoingMessage
from activities.outgoing import Recipients, sealed
from activities.signing import signer_of
from mailboxes import alerts
from mailboxes.choices import Operation, TestStatus
from mailboxes.conditions import explain
from mailboxes.connect import incoming_server, items_server, outgoing_server
from mailboxes.eligibility import Verdict, facts_of, is_server_side, testable
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import INBOX, IncomingServer, OutgoingServer
from mailboxes.protocols.errors import ServerError
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS, ItemsServer
from mailboxes.protocols.phases import Phase, Watcher, watched
from serversync import testing_return
from serversync.act import marker
from serversync.act.filters import copy_templates
from serversync.choices import WorkloadState
from serversync.cycle import Clock
from serversync.dkim_record import check_record
from serversync.leases import Busy, Claim, claim_one, finish, this_worker
from serversync.models import ActState, FolderCursor, Workload
from serversync.outages import clear_told, tell_owners
from serversync.probe import probe_fields
from serversync.testing_steps import Step, StepWatcher, meaning_of, told
from serversync.waking import enqueue_tests
from tracking.rights import refusal_of

log = logging.getLogger(__name__)

RETRY_AFTER = (timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=5))  # R2.18
BUSY_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Result:
    """One workload's outcome. `status` None: not decided yet, it is tried again at `again_at`."""

    operation: Operation
    status: TestStatus | None
    text: str
    steps: list[Step] = field(default_factory=list)
    code: str = ""
    again_at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.operation.label}: {self.text}"


@dataclass(frozen=True, slots=True)
class TestReport:
    """What one round of a mailbox's test found. `ok`: nothing failed and nothing is left to try."""

    __test__ = False  # no test class

    mailbox: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        decided = {result.status for result in self.results}
        return decided <= {TestStatus.SUCCESS, TestStatus.NOT_RUN}

    def summary(self) -> str:
        return f"{self.mailbox}: " + (
            "; ".join(str(result) for result in self.results) or _("nothing to test")
        )


ConnectIn = Callable[[Mailbox, Organization, StepWatcher], IncomingServer]
ConnectOut = Callable[[Mailbox, Organization, StepWatcher], OutgoingServer]
ConnectItems = Callable[[Mailbox, Organization, Watcher], ItemsServer]

#: What the test opens of appointments, contacts and tasks (R2.15), under names of their own.
FOLDERS = {Phase.CALENDAR: CALENDAR, Phase.CONTACTS: CONTACTS, Phase.TASKS: TASKS}


class Opening:
    """Of a conversation whose requests have steps of their own, tells only how the line was opened."""

    PHASES = frozenset(
        {
            Phase.DISCOVER, Phase.AUTHORIZE, Phase.RESOLVE, Phase.CONNECT, Phase.TLS, Phase.GREET,
            Phase.LOGIN,
        }
    )  # fmt: skip

    def __init__(self, watcher: StepWatcher) -> None:
        self.watcher = watcher
        self.asked, self.answered, self.found = watcher.asked, watcher.answered, watcher.found

    def begin(self, phase: Phase) -> None:
        if phase in self.PHASES:
            self.watcher.begin(phase)

    def end(self, phase: Phase, error: Exception | None) -> None:
        if phase in self.PHASES:
            self.watcher.end(phase, error)


def test_mailbox(
    mailbox: Mailbox,
    *,
    clock: Clock = timezone.now,
    reset_watermark: bool | None = None,
    take_over: bool = False,
    connect_incoming: ConnectIn = incoming_server,
    connect_outgoing: ConnectOut = outgoing_server,
    connect_items: ConnectItems = items_server,
) -> TestReport:
    """One round of Test & Enable of a mailbox: every workload it has to be tested, or those whose
    retry is due. `reset_watermark`: look again at older mail (R2.21); None: only at the first test.
    `take_over`: synchronize with this organization even if the account was set to another one (R2.20)."""
    mailbox = Mailbox.objects.select_related(
        "email_server_profile", "regarding_user", "regarding_queue"
    ).get(pk=mailbox.pk)
    tester = _Tester(
        mailbox,
        Organization.objects.current(),
        clock,
        reset_watermark,
        take_over,
        {
            Operation.INCOMING: connect_incoming,
            Operation.OUTGOING: connect_outgoing,
            Operation.ACT: connect_items,
        },
    )
    return tester.run()


test_mailbox.__test__ = False  # type: ignore[attr-defined]  # no test function


class _Tester:
    def __init__(
        self,
        mailbox: Mailbox,
        organization: Organization,
        clock: Clock,
        reset_watermark: bool | None,
        take_over: bool,
        connect: dict[Operation, Callable[..., Any]],
    ) -> None:
        self.mailbox = mailbox
        self.organization = organization
        self.clock = clock
        self.reset_watermark = reset_watermark
        self.take_over = take_over
        self.connect = connect
        self._probe_id = ""

    def run(self) -> TestReport:
        requested_on = self.mailbox.test_and_enable_last_attempted_on
        rows = list(Workload.objects.filter(mailbox=self.mailbox).order_by("operation"))
        chosen = [row for row in rows if is_server_side(self.mailbox, Operation(row.operation))]
        # After a first round only what it left undecided is tested again.
        undecided = [row for row in chosen if row.test_postponed_until is not None]
        now = self.clock()
        results = [
            self._test(row)
            for row in undecided or chosen
            if row.test_postponed_until is None or row.test_postponed_until <= now
        ]
        still = Workload.objects.filter(mailbox=self.mailbox, test_postponed_until__isnull=False)
        if not still.exists():
            # Unless somebody has asked for another test meanwhile.
            Mailbox.objects.filter(
                pk=self.mailbox.pk, test_and_enable_last_attempted_on=requested_on
            ).update(test_email_configuration_scheduled=False)
        return TestReport(self.mailbox.name, tuple(results))

    def _test(self, row: Workload) -> Result:
        operation = Operation(row.operation)
        now = self.clock()
        try:
            claim = claim_one(
                self.mailbox.pk,
                operation,
                now,
                this_worker(),
                force=True,
                organization=self.organization,
            )
        except Busy as busy:
            again = now + BUSY_AGAIN
            Workload.objects.filter(pk=row.pk).update(test_postponed_until=again)
            return Result(operation, None, str(busy), again_at=again)
        verdict = self._verdict(row)
        if not verdict.ok:
            return self._refused(row, claim, verdict)
        watcher = StepWatcher()
        try:
            self._converse(operation, watcher)
        except Exception as error:  # the outermost frame: each workload is judged alone
            if not isinstance(error, ServerError):
                log.exception("%s: test of %s failed", self.mailbox, operation.label)
            return self._failed(row, claim, error, watcher.steps)
        return self._succeeded(row, claim, watcher.steps)

    def _verdict(self, row: Workload) -> Verdict:
        """The preconditions (R2.19), and of incoming mail whether anybody may own it (R3.29)."""
        verdict = testable(facts_of(self.mailbox, row, self.organization))
        if verdict.ok and row.operation == Operation.INCOMING:
            return refusal_of(self.mailbox, self.organization) or verdict
        return verdict

    # -- the conversation

    def _converse(self, operation: Operation, watcher: StepWatcher) -> None:
        if operation == Operation.ACT:
            self._look_into_calendar(watcher)
            return
        server = self.connect[operation](self.mailbox, self.organization, watcher)
        if operation == Operation.OUTGOING:
            signer = signer_of(self.mailbox.email_server_profile)
            if signer is not None:
                self._check_signature(signer, watcher)
            self._probe_id = self._send_probe(server, signer)
        else:
            self._look_into_inbox(server)

    def _look_into_inbox(self, server: IncomingServer) -> None:
        """R2.13: log in, open the inbox, list one item."""
        try:
            server.open()
            server.list_new(INBOX, "", 1)
        finally:
            server.close()

    def _look_into_calendar(self, watcher: StepWatcher) -> None:
        """R2.15: open each of the three folders, then say on the account that it is ours. That is written into the
        calendar folder, and no client shows it; so it proves as well that we may write there."""
        server: ItemsServer = self.connect[Operation.ACT](
            self.mailbox, self.organization, Opening(watcher)
        )
        try:
            server.open()
            for phase, folder in FOLDERS.items():
                with watched(watcher, phase):
                    server.changes(folder, "", 1)
            with watched(watcher, Phase.MARKER):
                self._mark(server, watcher)
        finally:
            server.close()

    def _mark(self, server: ItemsServer, watcher: StepWatcher) -> None:
        """R6.60, R6.61. Raises OtherOrganization."""
        try:
            marker.require_ours(server, self.organization)
        except marker.OtherOrganization as other:
            if not self.take_over:
                raise
            words = _("Taken over from “%(name)s”.") % {"name": other.detail}
            watcher.steps[-1]["text"] = words
        server.set_marker(marker.ours(self.organization, self.clock()))

    def _note_marker(self, now: datetime) -> None:
        told = {"marker_organization": str(self.organization.pk), "marker_checked_at": now}
        ActState.objects.update_or_create(
            mailbox=self.mailbox,
            defaults=told,
            create_defaults=told | {"generation": self.mailbox.account_generation},
        )

    def _check_signature(self, signer: Signer, watcher: StepWatcher) -> None:
        """R5.32: before anything leaves that receivers would find falsely signed."""
        with watched(watcher, Phase.SIGN):
            watcher.steps[-1]["text"] = check_record(signer)

    def _send_probe(self, server: OutgoingServer, signer: Signer | None) -> str:
        """R2.14: one short message from the mailbox to itself, which the incoming side ignores. Returns
        the id under which it goes on."""
        address = self.mailbox.email_address
        message = OutgoingMessage(
            message_id=f"probe.{uuid.uuid4().hex}@{address.rpartition('@')[2] or 'localhost'}",
            sender=Address(address),
            to=(Address(address),),
            subject=_("This mailbox is now connected"),
            text=_(
                "Mail of this mailbox can be sent. This message was sent by Test & Enable and needs "
                "no answer; it is not tracked."
            ),
            date=self.clock(),
            extra_headers=probe_fields(self.mailbox),
        )
        envelope = sealed(message, Recipients((address,)), signer)
        try:
            server.open()
            told = server.send(envelope, hand_over=lambda: None)
        finally:
            server.close()
        return told.server_message_id or message.message_id

    # -- the outcome

    def _refused(self, row: Workload, claim: Claim, verdict: Verdict) -> Result:
        """A precondition is missing (R2.19); no network."""
        condition = explain(verdict.code)
        step: Step = {
            "step": "preconditions",
            "ms": 0,
            "ok": False,
            "code": verdict.code,
            "text": str(verdict.because),
            "cause": meaning_of(condition),
            "cure": str(condition.advice),
        }
        return self._store_failure(row, claim, verdict.code, str(verdict.because), [step])

    def _failed(self, row: Workload, claim: Claim, error: Exception, steps: list[Step]) -> Result:
        if not any(not step["ok"] for step in steps):
            # Refused before the first phase, e.g. nothing to log in with, or between two.
            steps = [*steps, {"step": "settings" if not steps else "conversation", "ms": 0}]
            steps[-1] |= told(error)
        failed = next(step for step in steps if not step["ok"])
        text = f"{failed['cause']} {failed['cure']} [{failed['text']}]"
        transient = not getattr(error, "permanent", False)
        if transient and row.test_attempts < len(RETRY_AFTER):
            return self._again(row, claim, failed["code"], text, steps)
        return self._store_failure(row, claim, failed["code"], text, steps)

    def _again(
        self, row: Workload, claim: Claim, code: str, text: str, steps: list[Step]
    ) -> Result:
        """R2.18: a passing fault. What was known of the workload stays until it is decided."""
        now = self.clock()
        again = now + RETRY_AFTER[row.test_attempts]
        finish(
            claim,
            row.next_run_at,
            now,
            test_attempts=F("test_attempts") + 1,
            test_postponed_until=again,
            test_steps=steps,
        )
        if self.take_over or self.reset_watermark is not None:
            # Others are found by dispatch, which doesn't know what was asked for.
            enqueue_tests(
                [self.mailbox.pk],
                reset_watermark=self.reset_watermark,
                take_over=self.take_over,
                at=again,
            )
        operation = Operation(row.operation)
        return Result(operation, None, text, steps, code, again)

    def _store_failure(
        self, row: Workload, claim: Claim, code: str, text: str, steps: list[Step]
    ) -> Result:
        """R2.17."""
        now = self.clock()
        operation = Operation(row.operation)
        with transaction.atomic():
            if finish(
                claim,
                row.next_run_at,
                now,
                test_status=TestStatus.FAILURE,
                enabled=False,
                state=WorkloadState.DISABLED,
                state_code=code,
                state_since=now,
                tested_at=now,
                test_steps=steps,
                test_postponed_until=None,
                last_error_code=code,
                last_error_text=text[:2048],
                last_error_at=now,
                last_error_host=this_worker(),
                **(testing_return.NONE if operation == Operation.OUTGOING else {}),
            ):
                tell_owners(self.mailbox, self.organization, code, text, now)
        return Result(operation, TestStatus.FAILURE, text, steps, code)

    def _succeeded(self, row: Workload, claim: Claim, steps: list[Step]) -> Result:
        """R2.16."""
        now = self.clock()
        operation = Operation(row.operation)
        reset = self.reset_watermark
        if reset is None:
            reset = row.tested_at is None
        probe = {}
        if operation == Operation.OUTGOING:
            probe = testing_return.sent(self.mailbox, self._probe_id, now)
        with transaction.atomic():
            if finish(
                claim,
                now,
                now,
                test_status=TestStatus.SUCCESS,
                enabled=True,
                state=WorkloadState.READY,
                state_code="",
                state_since=now,
                tested_at=now,
                test_steps=steps,
                test_attempts=0,
                test_postponed_until=None,
                consecutive_failures=0,
                postponed_until=None,
                last_error_code="",
                last_error_text="",
                **probe,
            ):
                if reset and operation == Operation.INCOMING:
                    self._look_again()
                if operation == Operation.ACT:
                    self._note_marker(now)
                if operation == Operation.ACT and self.mailbox.regarding_user is not None:
                    # Before the first cycle, so that he finds them and can change them (R6.9).
                    copy_templates(self.mailbox.regarding_user, now)
                if codes := {row.state_code, row.last_error_code} - {""}:
                    clear_told(self.mailbox, codes, now)
                alerts.raise_alert(
                    self.mailbox,
                    "TestAndEnableSucceeded",
                    now=now,
                    organization=self.organization,
                    object_key=operation.name.lower(),
                    machine=this_worker(),
                )
        took = sum(step["ms"] for step in steps)
        text = _("success, enabled (%(ms)d ms)") % {"ms": took}
        return Result(operation, TestStatus.SUCCESS, text, steps)

    def _look_again(self) -> None:
        """R2.21: everything on the server is looked at once more, as at first contact. What the
        ledger knows is recognised, so that nothing is doubled."""
        FolderCursor.objects.filter(
            mailbox=self.mailbox, generation=self.mailbox.account_generation
        ).update(cursor="", watermark=None, onboarded=False, before_start=0)
