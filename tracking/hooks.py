"""A site's own code on receipt: hears of each accepted message, within a budget (R3.52a, R9.11).

    decided ──> each hook, in a thread ──in time──> None, a record to file under, or a failure
                              └──too late──> the email is stored, the run is a HookRun row beside it
    HookRun ──background job──> done │ tried again │ failed

Whatever a hook does, it costs its own message at most: one that overran isn't called again in this cycle,
and its threads, which nobody can end, are few. Without hooks none of this runs a single statement.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock, Thread
from time import monotonic
from typing import Any
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import DataError, connections
from django.db.models import F, Model, QuerySet
from django.utils.module_loading import import_string

from activities import blobs
from activities.mime.message import Address, ParsedMessage
from activities.mime.parse import parse
from activities.models import ActivityPointer, Email
from mailboxes.alerts import raise_alert
from mailboxes.models import Mailbox, Organization
from tracking import trace
from tracking.choices import HookState
from tracking.models import HookRun
from tracking.reading import Plan
from tracking.receipts import Hook, Person, Receipt, ReceivedFile, Record, Refuse, Result

log = logging.getLogger(__name__)

CODE = "HookFailed"  # R8.20
CYCLE_SECONDS = 30.0  # of all hooks together in one cycle; then all of them run later
LATE_SECONDS = 60.0  # of one late run, well under the job's time-out
MOST_STRAYS = 4  # threads of a process that overran and still run; then no new one is begun
CLAIMED = timedelta(minutes=10)  # a late run whose worker was killed is begun again after this
KEEP_DONE = timedelta(days=30)
PORTION = 20


# -- one call ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What one hook came to. None of them: it had nothing to say. `late`: it wasn't waited for."""

    regarding: Record | None = None
    error: str = ""
    refused: bool = False
    late: bool = False


LATE = Answer(late=True)


class _Strays:
    """Threads that overran. Nobody can end them, so they are counted."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads: list[Thread] = []

    def add(self, thread: Thread) -> None:
        with self._lock:
            self._threads.append(thread)

    @property
    def count(self) -> int:
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return len(self._threads)


strays = _Strays()


def call(name: str, receipt: Receipt, seconds: float) -> Answer:
    """Run one hook, and wait this long. Too late: it goes on by itself, and its answer is lost."""
    if seconds <= 0 or strays.count >= MOST_STRAYS:
        return LATE
    answers: list[Answer] = []
    thread = Thread(
        target=_in_thread, args=(name, receipt, answers), name=f"hook {name}", daemon=True
    )
    thread.start()
    thread.join(seconds)
    if answers:
        return answers[0]
    strays.add(thread)
    log.warning("hook %s took longer than %s s and runs later", name, seconds)
    return LATE


def _in_thread(name: str, receipt: Receipt, answers: list[Answer]) -> None:
    try:
        answers.append(_answer(name, import_string(name), receipt))
    except Refuse as refusal:
        answers.append(Answer(error=f"{name}: {refusal}", refused=True))
    except BaseException as error:
        log.warning("hook %s failed", name, exc_info=True)
        answers.append(Answer(error=f"{name}: {type(error).__name__}: {error}"))
    finally:
        connections.close_all()  # those of this thread


def _answer(name: str, hook: Hook, receipt: Receipt) -> Answer:
    result = hook(receipt)
    if result is None:
        return Answer()
    if not isinstance(result, Result):
        return Answer(error=f"{name}: it returned {type(result).__name__}, not None or a Result")
    return Answer(regarding=result.regarding)


# -- on receipt ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """What all hooks together said of one message. `error`: the first failure, which is the message's;
    `filed_by`: which of them named the record; `late`: those that have to run later."""

    error: str = ""
    regarding: Model | None = None
    filed_by: str = ""
    late: tuple[str, ...] = ()


class Hooks:
    """The hooks of one cycle: how much time is left for them, and which are deferred already."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.names: tuple[str, ...] = tuple(settings.RECEIPT_HOOKS)
        self.deferred: set[str] = set()
        self.seconds: float = settings.RECEIPT_HOOK_SECONDS
        self.left = max(CYCLE_SECONDS, self.seconds)
        self._clock = clock

    def __bool__(self) -> bool:
        return bool(self.names)

    def hear(self, receipt: Receipt) -> Heard:
        """Call each in turn; a later one sees the record that an earlier one named."""
        heard = Heard()
        for name in self.names:
            answer = LATE if name in self.deferred else self._call(name, receipt)
            if answer.late:
                self.deferred.add(name)
                heard = replace(heard, late=(*heard.late, name))
                continue
            if answer.error:
                return Heard(error=answer.error)
            if answer.regarding is not None and receipt.regarding is None:
                record = record_of(answer.regarding)
                if record is None:
                    return Heard(error=f"{name}: there is no {_words(answer.regarding)}")
                receipt = replace(receipt, regarding=answer.regarding)
                heard = replace(heard, regarding=record, filed_by=name)
        return heard

    def _call(self, name: str, receipt: Receipt) -> Answer:
        """Nobody is begun who might not have his time."""
        if self.left < self.seconds:
            return LATE
        began = self._clock()
        answer = call(name, receipt, self.seconds)
        self.left -= self._clock() - began
        return answer


def apply(plan: Plan, heard: Heard) -> None:
    """File what is about to be stored under the record that a hook named."""
    new, record = plan.new_email, heard.regarding
    if record is None or new is None or plan.decision is None or new.regarding_id:
        return
    new.regarding_type_id = ContentType.objects.get_for_model(record).pk
    new.regarding_id = str(record.pk)
    named = trace.Named(record._meta.label_lower, str(record.pk), str(record))
    plan.decision = replace(plan.decision, regarding=named, hook=heard.filed_by)
    new.fields["decision"] = trace.to_data(plan.decision)


def later(runs: Iterable[tuple[UUID, str]], now: datetime) -> int:
    """Note (email, hook) to be run by the job; inside the transaction that stores the emails."""
    rows = [
        HookRun(email_id=email, hook=name, created_on=now, next_attempt_at=now)
        for email, name in runs
    ]
    HookRun.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def record_of(told: Record) -> Model | None:
    """The record that a hook names, if there is one."""
    try:
        model = apps.get_model(told.label)
        found: Model | None = model._default_manager.filter(pk=told.key).first()
    except (LookupError, ValidationError, ValueError, TypeError, OverflowError, DataError):
        return None
    return found


def _words(told: Record) -> str:
    return f"{told.label} {told.key}"[:200]


# -- the facts -----------------------------------------------------------------------------------


def receipt_of_plan(plan: Plan, mailbox: Mailbox, raw: bytes) -> Receipt:
    """Of a message that is about to be stored."""
    new = plan.new_email
    assert new is not None
    fields = new.fields
    return Receipt(
        key=fields["message_id_dup_check"],
        mailbox=mailbox.name,
        mailbox_address=mailbox.email_address,
        outgoing=fields["receiving_mailbox_id"] is None,
        received_at=new.sort_date,
        sender_record=_record(fields["email_sender_type_id"], fields["email_sender_id"]),
        regarding=_record(new.regarding_type_id, new.regarding_id),
        accepted_by=_record(fields["accepting_entity_type_id"], fields["accepting_entity_id"]),
        read_raw=lambda: raw,
        **_said(plan.message),
    )


def receipt_of_email(email: Email) -> Receipt:
    """Of a stored one. What its original said is read again, while the original is kept."""
    mailbox = email.receiving_mailbox or email.sender_mailbox
    raw = blobs.read(email.mime) if email.mime is not None else b""
    return Receipt(
        key=email.message_id_dup_check or email.pk,
        email_id=email.pk,
        mailbox=mailbox.name if mailbox else "",
        mailbox_address=mailbox.email_address if mailbox else "",
        outgoing=email.receiving_mailbox_id is None,
        received_at=email.activity.sort_date,
        sender_record=_record(email.email_sender_type_id, email.email_sender_id),
        regarding=_record(email.activity.regarding_type_id, email.activity.regarding_id),
        accepted_by=_record(email.accepting_entity_type_id, email.accepting_entity_id),
        read_raw=lambda: raw,
        **(_said(parse(raw)) if raw else _stored(email)),
    )


def _said(message: ParsedMessage) -> dict[str, Any]:
    return {
        "kind": message.kind.value,
        "message_id": message.message_id,
        "in_reply_to": message.in_reply_to,
        "subject": message.subject,
        "sender": _person(message.sender) if message.sender else None,
        "to": tuple(map(_person, message.to)),
        "cc": tuple(map(_person, message.cc)),
        "bcc": tuple(map(_person, message.bcc)),
        "text": message.text,
        "html": message.html,
        "attachments": tuple(
            ReceivedFile(
                file.filename, file.content_type, len(file.content), file.inline, file.content
            )
            for file in message.attachments
        ),
        "sent_at": message.date,
    }


def _stored(email: Email) -> dict[str, Any]:
    """As far as the columns tell it, once the original is gone."""
    is_html = email.mime_type == "text/html"
    return {
        "kind": "",
        "message_id": email.message_id,
        "in_reply_to": email.in_reply_to,
        "subject": email.activity.subject,
        "sender": Person(email.sender) if email.sender else None,
        "to": tuple(Person(one) for one in email.to_recipients.split("; ") if one),
        "html" if is_html else "text": email.description,
        "sent_at": email.sent_on,
    }


def _person(address: Address) -> Person:
    return Person(address.address, address.name)


def _record(type_id: int | None, key: str) -> Record | None:
    model = ContentType.objects.get_for_id(type_id).model_class() if type_id and key else None
    return Record(model._meta.label_lower, key) if model else None


# -- late runs -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What one job came to. `more`: it ran out of time, or of threads."""

    done: int = 0
    failed: int = 0
    more: bool = False

    def __str__(self) -> str:
        return f"{self.done} hooks run, {self.failed} failed"


def run_late(
    clock: Callable[[], datetime], seconds: float = 120.0, timer: Callable[[], float] = monotonic
) -> Tally:
    """Run what is due. A hook that overran is left alone for the rest of this job."""
    tally, begun = Tally(), timer()
    organization = Organization.objects.current()
    _give_up(organization, clock())
    overran: set[str] = set()
    while rows := _due(clock(), overran):
        for row in rows:
            if timer() - begun > seconds or strays.count >= MOST_STRAYS:
                tally.more = True
                return tally
            if row.hook in overran or not _claim(row, clock()):
                continue
            answer = _run(row)
            if answer.late:
                overran.add(row.hook)
            _settle(row, answer, organization, clock())
            tally.done += not (answer.error or answer.late)
            tally.failed += bool(answer.error or answer.late)
    return tally


def _due(now: datetime, overran: set[str]) -> Sequence[HookRun]:
    rows = HookRun.objects.filter(state=HookState.PENDING, next_attempt_at__lte=now)
    return list(rows.exclude(hook__in=overran).order_by("next_attempt_at", "pk")[:PORTION])


def _claim(row: HookRun, now: datetime) -> bool:
    """Two jobs may see it; counted before it runs, so that one which kills its worker comes to an end."""
    row.attempts += 1
    return bool(
        HookRun.objects.filter(
            pk=row.pk, state=HookState.PENDING, next_attempt_at=row.next_attempt_at
        ).update(attempts=F("attempts") + 1, next_attempt_at=now + CLAIMED)
    )


def _give_up(organization: Organization, now: datetime) -> None:
    """Those that used up their attempts by killing their worker."""
    killed = Answer(error="The worker that ran it was killed, again and again.")
    rows = HookRun.objects.filter(
        state=HookState.PENDING,
        next_attempt_at__lte=now,
        attempts__gte=organization.promotion_attempts,
    )
    for row in rows[:PORTION]:
        _settle(row, killed, organization, now)


def _run(row: HookRun) -> Answer:
    if row.hook not in settings.RECEIPT_HOOKS:
        return Answer(error=f"{row.hook} is no longer in RECEIPT_HOOKS", refused=True)
    email = Email.objects.select_related(
        "activity", "mime", "receiving_mailbox", "sender_mailbox"
    ).get(pk=row.email_id)
    try:
        receipt = receipt_of_email(email)
    except blobs.BytesMissing as error:
        return Answer(error=str(error))
    answer = call(row.hook, receipt, LATE_SECONDS)
    if answer.regarding is None:
        return answer
    record = record_of(answer.regarding)
    if record is None:
        return Answer(error=f"{row.hook}: there is no {_words(answer.regarding)}")
    row.filed = _file(email, record)
    return answer


def _file(email: Email, record: Model) -> bool:
    """Only what nobody has filed meanwhile."""
    return bool(
        ActivityPointer.objects.filter(pk=email.pk, regarding_id="").update(
            regarding_type=ContentType.objects.get_for_model(record), regarding_id=str(record.pk)
        )
    )


def _settle(row: HookRun, answer: Answer, organization: Organization, now: datetime) -> None:
    if not (answer.error or answer.late):
        row.state, row.done_at, row.last_error = HookState.DONE, now, ""
        row.next_attempt_at = None
    else:
        late = f"It took longer than {LATE_SECONDS:.0f} s."
        row.last_error = _printable(answer.error or late)[:2048]
        if answer.refused or row.attempts >= organization.promotion_attempts:
            row.state, row.next_attempt_at = HookState.FAILED, None
            _tell(row, organization, now)
        else:
            minutes = organization.promotion_retry_minutes
            row.next_attempt_at = now + timedelta(minutes=minutes)
    row.save(update_fields=["state", "done_at", "last_error", "next_attempt_at", "filed"])


def _tell(row: HookRun, organization: Organization, now: datetime) -> None:
    """The email is stored; that the hook didn't hear of it is a matter of its mailbox. What the hook said
    of the mail is for those who may see it, so the alert names the hook alone (R8.30)."""
    email = Email.objects.select_related("receiving_mailbox", "sender_mailbox").get(pk=row.email_id)
    mailbox = email.receiving_mailbox or email.sender_mailbox
    if mailbox is not None:
        raise_alert(mailbox, CODE, now=now, organization=organization, detail=row.hook)


def again(runs: "QuerySet[HookRun]", now: datetime) -> int:
    """By hand: failed runs get all their attempts once more."""
    return runs.filter(state=HookState.FAILED).update(
        state=HookState.PENDING, attempts=0, next_attempt_at=now
    )


def forget(now: datetime) -> int:
    """Runs that were done long ago."""
    old = HookRun.objects.filter(state=HookState.DONE, done_at__lt=now - KEEP_DONE)
    return old.delete()[0]


def _printable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
