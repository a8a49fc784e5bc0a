"""What the quick start does once the site is prepared: one whole synchronization, told step by step."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from activities.mime.message import Address
from activities.models import Email
from mailboxes.choices import (
    ActDeliveryMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    TestStatus,
)
from mailboxes.models import Mailbox, Organization, Queue, SystemUser
from mailboxes.protocols.base import SENT
from serversync import outbox
from serversync.choices import ItemState
from serversync.engine import Report, run_one
from serversync.models import SyncItem
from serversync.sandbox import seeds
from serversync.sandbox.balance import on_server, way
from serversync.sandbox.mailfiles import message_files, messages
from serversync.sandbox.servers import Sandbox
from serversync.sandbox.site import ARCHIVE
from serversync.testing import test_mailbox
from tracking import creation_words, report_words
from tracking.choices import SkipReason, Way
from tracking.creation import Said, Why
from tracking.telling import summary

SEEDED_NOTE = "seeded"
COMPOSED_NOTE = "composed"
DELIVERED_NOTE = "delivered:"
BATCH = 200  # messages delivered in one transaction of the sandbox


class Step(Protocol):
    """One progress bar."""

    def expect(self, total: int) -> None: ...
    def advance(self, by: int = 1, now_doing: str = "") -> None: ...


class Progress(Protocol):
    def step(self, title: str) -> AbstractContextManager[Step]: ...


@dataclass(slots=True)
class Run:
    """What went wrong on the way, one sentence each."""

    problems: list[str] = field(default_factory=list)


def deliver_seeds(sandbox: Sandbox, progress: Progress) -> None:
    """Once for a sandbox: they keep their keys, so a second run finds nothing new."""
    if sandbox.store.note(SEEDED_NOTE):
        return
    with (
        progress.step(_("Filling the mailboxes")) as step,
        sandbox.store.batch(),
        sandbox.exchange.store.writing(),
    ):
        made = seeds.seeds(timezone.now())
        step.expect(len(made))
        for seed in made:
            for inbox in seed.inboxes:
                _deliver(sandbox, inbox, seed)
            step.advance()
        sandbox.store.set_note(SEEDED_NOTE, "1")


def _deliver(sandbox: Sandbox, inbox: str, seed: seeds.Seed) -> None:
    if not sandbox.exchange.has_account(inbox):
        sandbox.store.deliver(inbox, seed.mime, received_at=seed.received_at)
        return
    sandbox.exchange.deliver(
        inbox,
        seed.mime,
        folder=seed.folder or "inbox",
        received_at=seed.received_at,
        is_read=seed.folder == seeds.SENT_ITEMS,
        categories=seed.categories,
    )


def deliver_files(sandbox: Sandbox, path: Path, progress: Progress) -> int:
    """Everything under `path` into the archive; a path that was delivered before is not again."""
    files = message_files(path)
    note = f"{DELIVERED_NOTE}{path.resolve()}"
    if sandbox.store.note(note):
        return 0
    count = 0
    with progress.step(_("Reading messages")) as step:
        step.expect(sum(file.stat().st_size for file in files))
        for batch in _batches(files, step):
            with sandbox.store.batch():
                for message in batch:
                    sandbox.store.deliver(ARCHIVE, message)
            count += len(batch)
        sandbox.store.set_note(note, str(count))
    return count


def _batches(files: Iterable[Path], step: Step) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for file in files:
        for message in messages(file):
            batch.append(message)
            step.advance(len(message))
            if len(batch) >= BATCH:
                yield batch
                batch = []
    yield batch


def enable(mailboxes: list[Mailbox], run: Run, progress: Progress) -> None:
    """Test & Enable whatever is not enabled yet."""
    with progress.step(_("Test & Enable")) as step:
        step.expect(len(mailboxes))
        for mailbox in mailboxes:
            step.advance(0, mailbox.name)
            if not _is_enabled(mailbox):
                report = test_mailbox(mailbox)
                mailbox.refresh_from_db()
                if not _is_enabled(mailbox):
                    run.problems.append(f"{mailbox.name}: {report.summary()}")
            step.advance()


def receive_all(
    mailboxes: list[Mailbox], sandbox: Sandbox, run: Run, progress: Progress, title: str
) -> None:
    """Every mailbox until nothing more is there."""
    reading = [mailbox for mailbox in mailboxes if _receives(mailbox)]
    with progress.step(title) as step:
        known = SyncItem.objects.filter(mailbox__in=reading, parent__isnull=True).count()
        total = sum(on_server(mailbox, sandbox) for mailbox in reading)
        step.expect(max(0, total - known))
        for mailbox in reading:
            step.advance(0, mailbox.name)
            for report in _until_done(mailbox, Operation.INCOMING, run):
                if report.result is not None:
                    step.advance(sum(report.result.by_state.values()))


def send_all(mailboxes: list[Mailbox], run: Run, progress: Progress) -> None:
    sending = [mailbox for mailbox in mailboxes if _sends(mailbox)]
    with progress.step(_("Sending")) as step:
        step.expect(len(sending))
        for mailbox in sending:
            step.advance(0, mailbox.name)
            for _report in _until_done(mailbox, Operation.OUTGOING, run):
                pass
            step.advance()


def synchronize_all(
    mailboxes: list[Mailbox], run: Run, progress: Progress, title: str
) -> dict[UUID, Counter[str]]:
    """Appointments, contacts and tasks of every mailbox that has them; what was done, by mailbox."""
    planning = [mailbox for mailbox in mailboxes if _plans(mailbox)]
    done: dict[UUID, Counter[str]] = {}
    with progress.step(title) as step:
        step.expect(len(planning))
        for mailbox in planning:
            step.advance(0, mailbox.name)
            counts = done.setdefault(mailbox.pk, Counter())
            for report in _until_done(mailbox, Operation.ACT, run):
                if report.result is not None:
                    counts += report.result.by_state
            step.advance()
    return done


def _until_done(mailbox: Mailbox, operation: Operation, run: Run) -> Iterator[Report]:
    while True:
        report = run_one(mailbox, operation, force=True)
        yield report
        if not report.ok:
            run.problems.append(str(report))
        if report.result is None or not (report.result.more or report.result.soon):
            return


def _receives(mailbox: Mailbox) -> bool:
    return mailbox.incoming_email_delivery_method == IncomingDeliveryMethod.SERVER_SIDE_SYNC


def _sends(mailbox: Mailbox) -> bool:
    return mailbox.outgoing_email_delivery_method == OutgoingDeliveryMethod.SERVER_SIDE_SYNC


def _plans(mailbox: Mailbox) -> bool:
    return mailbox.act_delivery_method == ActDeliveryMethod.SERVER_SIDE_SYNC


def _is_enabled(mailbox: Mailbox) -> bool:
    incoming = mailbox.incoming_email_status == TestStatus.SUCCESS
    outgoing = mailbox.outgoing_email_status == TestStatus.SUCCESS
    act = mailbox.act_status == TestStatus.SUCCESS
    return (
        (incoming or not _receives(mailbox))
        and (outgoing or not _sends(mailbox))
        and (act or not _plans(mailbox))
    )


# -- outgoing ------------------------------------------------------------------------------------


def compose(sandbox: Sandbox, progress: Progress, now: datetime) -> int:
    """Some mail of users and queues, written once; returns how many were put into the queue."""
    if sandbox.store.note(COMPOSED_NOTE):
        return 0
    with progress.step(_("Writing mail")) as step:
        written = 0
        step.expect(len(LETTERS) + 1)
        for letter in LETTERS:
            sender = _party(letter.sender)
            draft = outbox.create_draft(
                outbox.Draft(
                    sender=sender,
                    to=tuple(Address(address) for address in letter.to),
                    cc=tuple(Address(address) for address in letter.cc),
                    subject=letter.subject,
                    body=letter.body,
                ),
                actor=_actor(sender),
                now=now,
            )
            if letter.file:
                outbox.attach(
                    draft,
                    file_name=letter.file,
                    content=b"%PDF-1.4\n%%EOF\n",
                    mime_type="application/pdf",
                    organization=Organization.objects.current(),
                )
            outbox.submit(draft, actor=_actor(sender), now=now)
            written += 1
            step.advance()
        written += _answer_the_first_question(now)
        step.advance()
        sandbox.store.set_note(COMPOSED_NOTE, "1")
    return written


def _answer_the_first_question(now: datetime) -> int:
    """A reply to mail that came in, so that a whole conversation can be seen."""
    question = Email.objects.filter(message_id__contains=seeds.FIRST_QUESTION.strip("<>")).first()
    if question is None:
        return 0
    support = Queue.objects.get(email_address=seeds.SUPPORT)
    actor = _actor(support)
    outbox.submit(outbox.reply(question, actor=actor, now=now), actor=actor, now=now)
    return 1


@dataclass(frozen=True, slots=True)
class Letter:
    sender: str
    to: tuple[str, ...]
    subject: str
    body: str = "<p>Hello,</p><p>does next week suit you?</p>"
    cc: tuple[str, ...] = ()
    file: str = ""


LETTERS = (
    Letter(seeds.ADA, (seeds.RITA,), "Visit next week"),
    Letter(seeds.BEN, (seeds.NOOR,), "Date for the handover", cc=(seeds.LENA,)),
    Letter(seeds.CHLOE, (seeds.ANN,), "Your invoice", file="invoice-1001.pdf"),
    Letter(seeds.SALES, (seeds.GUS,), "Our new price list"),
    Letter(seeds.EMI, (seeds.RITA,), "納期について", "<p>ご確認ください。</p>"),
    Letter(seeds.ADA, (seeds.BEN,), "The offer for tomorrow is ready"),
    Letter(seeds.FAY, (seeds.RITA,), "Terms of delivery, second draft"),
    Letter(seeds.ORDERS, (seeds.NOOR,), "Your order is on its way", cc=(seeds.GIL,)),
)


def _party(address: str) -> SystemUser | Queue:
    user = SystemUser.objects.filter(internal_email_address=address).first()
    return user or Queue.objects.get(email_address=address)


def _actor(sender: SystemUser | Queue) -> SystemUser:
    if isinstance(sender, SystemUser):
        return sender
    assert sender.owning_user is not None
    return sender.owning_user


# -- examples ------------------------------------------------------------------------------------


def examples(mailboxes: list[Mailbox], limit: int = 16) -> list[str]:
    """One decision of each kind in a sentence, as the item's page tells it."""
    told: dict[tuple[str, str, Way], str] = {}
    items = (
        SyncItem.objects.filter(mailbox__in=mailboxes)
        .exclude(reason=SkipReason.OWN_PROBE)
        .select_related("mailbox", "email")
        .order_by("first_seen_at", "pk")
    )
    for item in items.iterator(chunk_size=200):
        key = (item.state, item.reason, way(item.folder, item.sub_reason))
        if key not in told and item.decision:
            told[key] = f"{_course(item)}: {summary(item.decision)}"
            if len(told) >= limit:
                break
    return list(told.values())


def consequences(mailboxes: list[Mailbox], limit: int = 16) -> list[str]:
    """What mail made, and what it told of mail that was sent, a sentence each."""
    items = (
        SyncItem.objects.filter(mailbox__in=mailboxes, state=ItemState.TRACKED)
        .select_related("mailbox", "email")
        .order_by("first_seen_at", "pk")
    )
    told = (
        f"{_course(item)}: {text} ({rule})"
        for item in items.iterator(chunk_size=200)
        for text, rule in _came_of(item.decision)
    )
    return list(islice(told, limit))


def _came_of(decision: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from creation_words.lines_of(
        [note for note in decision.get("made", ()) if _is_told(note)]
    )
    report = decision.get("report") or {}
    if report.get("told"):
        yield from report_words.lines_of(report)


def _is_told(note: Mapping[str, Any]) -> bool:
    """Not what was left undone, but where that is because a case goes on."""
    made = (Said.PERSON, Said.CASE, Said.ANSWER)
    return note.get("said") in made or note.get("why") == Why.RELATED_OPEN


def _course(item: SyncItem) -> str:
    address = item.mailbox.email_address
    if item.folder == SENT:
        return _("Sent items of %(address)s") % {"address": address}
    sender = item.sender or _("an unreadable sender")  # messages aren't collected out of f-strings
    return f"{sender} → {address}"
