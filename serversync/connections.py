"""The test of a profile's connection (R2.22): in as far as a mailbox may be read and sent from, nothing sent.

    asked ──worker──> resolve, connect, TLS, greeting, login [, inbox, list] for each direction ──> done

As the profile's own account where it has one, else as a mailbox that somebody chose, whose lease it holds
meanwhile. Nothing is switched on or off by it.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from time import monotonic
from typing import Any

from django.db import transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.tasks import async_task

from mailboxes import access
from mailboxes.choices import CredentialRetrieval, Operation
from mailboxes.connect import (
    Direction,
    incoming_server,
    outgoing_server,
    port_of,
    retrieval_of,
    web_service_of,
)
from mailboxes.models import EmailServerProfile, Mailbox, Organization, SystemUser
from mailboxes.protocols.base import INBOX
from mailboxes.protocols.errors import ServerError
from mailboxes.protocols.phases import Phase
from serversync.choices import ConnectionState
from serversync.cycle import Clock
from serversync.leases import Busy, claim_one, finish, this_worker
from serversync.models import ConnectionTest, Workload
from serversync.testing_steps import Step, StepWatcher, told

log = logging.getLogger(__name__)

PERMISSION = "test_mailbox"
BUSY_AGAIN = timedelta(seconds=10)
BUSY_FOR = timedelta(minutes=5)  # then it is said that the mailbox is never free
OPERATIONS = {Direction.INCOMING: Operation.INCOMING, Direction.OUTGOING: Operation.OUTGOING}
OWN = (CredentialRetrieval.PROFILE, CredentialRetrieval.ANONYMOUS)


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_REACHED = "not_reached"


#: Is what the profile says true: is such a server there, and is it who it says it is?
VALIDATION = frozenset(
    {"settings", Phase.DISCOVER, Phase.RESOLVE, Phase.CONNECT, Phase.TLS, Phase.GREET}
)
#: Does it let us in?
AUTHORIZATION = frozenset({Phase.AUTHORIZE, Phase.LOGIN})


@dataclass(frozen=True, slots=True)
class Result:
    """One direction. `execution`: was everything done that the test does?"""

    direction: str
    server: str
    ms: int
    validation: Status
    authorization: Status
    execution: Status
    steps: list[Step]


# -- asking


def testable(user: Any, profile: EmailServerProfile) -> bool:
    return access.may(user, PERMISSION, profile)


def has_own_account(profile: EmailServerProfile) -> bool:
    """Can it be tested without a mailbox? An Exchange server is entered by an address."""
    if any(retrieval_of(profile, each) not in OWN for each in Direction):
        return False
    return not profile.kind.is_exchange or "@" in profile.incoming_user_name


@transaction.atomic
def ask(
    profile: EmailServerProfile, mailbox: Mailbox | None, actor: SystemUser | None, now: datetime
) -> None:
    """Have a worker test it; what was found before is forgotten."""
    asked: dict[str, Any] = {
        "mailbox": mailbox,
        "state": ConnectionState.ASKED,
        "asked_by": actor,
        "asked_at": now,
        "finished_at": None,
        "results": [],
    }
    ConnectionTest.objects.update_or_create(profile=profile, defaults=asked)
    enqueue(profile.pk)


def enqueue(profile_id: Any, at: datetime | None = None) -> None:
    broker = get_broker()
    broker.not_before = at
    async_task("serversync.jobs.test_connection", str(profile_id), group="test", broker=broker)


# -- testing


def run(
    profile_id: Any,
    clock: Clock = timezone.now,
    connect: dict[Direction, Callable[..., Any]] | None = None,
) -> str:
    """Test what was asked for. A mailbox that is busy is waited for without holding the worker."""
    test = ConnectionTest.objects.select_related("profile", "mailbox").get(profile=profile_id)
    if test.state == ConnectionState.DONE:
        return f"{test.profile}: tested already"
    mailbox = test.mailbox or _stand_in(test.profile)
    connect = connect or {
        Direction.INCOMING: incoming_server,
        Direction.OUTGOING: outgoing_server,
    }
    organization = Organization.objects.current()
    results: list[Result] = []
    try:
        for each in Direction:
            results.append(
                _tested(each, test, mailbox, organization, clock, connect[each], results)
            )
    except Busy as busy:
        if clock() < test.asked_at + BUSY_FOR:
            enqueue(test.profile_id, clock() + BUSY_AGAIN)
            return f"{test.profile}: {busy}"
        results = []
    _store(test, results, clock())
    return f"{test.profile}: " + ", ".join(f"{each.direction} {each.execution}" for each in results)


def _store(test: ConnectionTest, results: Sequence[Result], now: datetime) -> None:
    """Unless somebody has asked again meanwhile."""
    ConnectionTest.objects.filter(pk=test.pk, asked_at=test.asked_at).update(
        state=ConnectionState.DONE,
        finished_at=now,
        results=[asdict(each) for each in results],
    )


def _show(test: ConnectionTest, results: Sequence[Result]) -> None:
    """For whoever watches: what was found so far. What is stored at the end says it again."""
    asked = ConnectionTest.objects.filter(pk=test.pk, asked_at=test.asked_at)
    asked.filter(state=ConnectionState.ASKED).update(results=[asdict(each) for each in results])


class ShownSteps(StepWatcher):
    """Tells of each phase as soon as it is over."""

    def __init__(self, show: Callable[[list[Step]], None]) -> None:
        super().__init__(talk=True)
        self._show = show

    def end(self, phase: Phase, error: Exception | None) -> None:
        super().end(phase, error)
        self._show(self.steps)


def _stand_in(profile: EmailServerProfile) -> Mailbox:
    """The profile's own account as a mailbox, which is stored nowhere."""
    user = profile.incoming_user_name
    address = user if "@" in user else ""
    return Mailbox(name=profile.name, email_server_profile=profile, email_address=address)


def _tested(
    direction: Direction,
    test: ConnectionTest,
    mailbox: Mailbox,
    organization: Organization,
    clock: Clock,
    connect: Callable[..., Any],
    before: Sequence[Result],
) -> Result:
    """`before`: results of the other directions, which are shown with the steps of this one."""
    began = monotonic()

    def so_far(steps: list[Step]) -> Result:
        took = int((monotonic() - began) * 1000)
        return judged(direction, place_of(test.profile, direction), took, steps)

    def show(steps: list[Step]) -> None:
        _show(test, [*before, unfinished(so_far(steps))])

    watcher = ShownSteps(show)
    with _leased(test.mailbox, direction, organization, clock):
        try:
            _converse(direction, connect(mailbox, organization, watcher))
        except Exception as error:  # each direction is judged alone
            if not isinstance(error, ServerError):
                log.exception("%s: test of %s failed", test.profile, direction)
            if all(step["ok"] for step in watcher.steps):
                name = "conversation" if watcher.steps else "settings"
                watcher.steps.append({"step": name, "ms": 0} | told(error))
    return so_far(watcher.steps)


def _converse(direction: Direction, server: Any) -> None:
    try:
        server.open()
        if direction == Direction.INCOMING:
            server.list_new(INBOX, "", 1)
    finally:
        server.close()


@contextmanager
def _leased(
    mailbox: Mailbox | None, direction: Direction, organization: Organization, clock: Clock
) -> Iterator[None]:
    """So that no cycle uses the account at the same time. Raises Busy."""
    rows = Workload.objects.filter(mailbox=mailbox, operation=OPERATIONS[direction])
    row = rows.first() if mailbox is not None else None
    if row is None:
        yield
        return
    claim = claim_one(
        row.mailbox_id,
        OPERATIONS[direction],
        clock(),
        this_worker(),
        force=True,
        organization=organization,
    )
    try:
        yield
    finally:
        finish(claim, row.next_run_at, clock())


def place_of(profile: EmailServerProfile, direction: Direction) -> str:
    """The server as the profile names it."""
    if profile.kind.is_exchange:
        return web_service_of(profile, direction)
    incoming = direction == Direction.INCOMING
    location = profile.incoming_server_location if incoming else profile.outgoing_server_location
    return f"{location} {port_of(profile, direction)}"


# -- judging


def judged(direction: str, server: str, ms: int, steps: list[Step]) -> Result:
    """The three words that sum a conversation up."""
    ok = all(step["ok"] for step in steps)
    validation = _status(steps, VALIDATION)
    authorization = _status(steps, AUTHORIZATION)
    if ok:
        execution = Status.PASSED
    else:
        entered = validation == authorization == Status.PASSED
        execution = Status.FAILED if entered else Status.NOT_REACHED
    return Result(str(direction), server, ms, validation, authorization, execution, steps)


def unfinished(result: Result) -> Result:
    """Nothing has failed so far, and not everything was done."""
    if result.execution == Status.PASSED:
        return replace(result, execution=Status.NOT_REACHED)
    return result


def _status(steps: Sequence[Step], names: frozenset[str]) -> Status:
    these = [step["ok"] for step in steps if step["step"] in names]
    if not these:
        return Status.NOT_REACHED
    return Status.PASSED if all(these) else Status.FAILED
