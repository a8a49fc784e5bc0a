"""A decision is carried out by the services that forms call, and noted as forms note it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, transaction
from django.utils import translation
from django.utils.text import capfirst
from django.utils.translation import gettext as __

from mailboxes import services
from mailboxes.choices import AccessApproval
from mailboxes.fields import SecretField
from mailboxes.models import Mailbox, SystemUser
from mailboxes.screens import name_in_logs
from serversync.choices import ImportKind, Verdict
from serversync.importing.planning import Decision, Reason
from serversync.people import audit
from serversync.people.choices import AuditKind

BATCH = 50


def apply(
    kind: ImportKind,
    decisions: Sequence[Decision],
    shown: Mapping[int, Any],
    *,
    actor: SystemUser | None,
    now: datetime,
) -> list[Decision]:
    """Carry out one batch: what was shown, and nothing else. A row that would now do something else is held
    back; one that fails costs itself. Call it in a transaction."""
    failed: set[Any] = set()
    return [
        _apply_one(kind, decision, shown.get(decision.number), failed, actor, now)
        for decision in decisions
    ]


def _apply_one(
    kind: ImportKind,
    decision: Decision,
    shown: Any,
    failed: set[Any],
    actor: SystemUser | None,
    now: datetime,
) -> Decision:
    if not decision.is_written:
        return decision
    if shown is not None and shown != told(decision):
        return replace(decision, verdict=Verdict.HELD_BACK)
    reason = _failing(kind, decision, failed, actor, now)
    if reason is None:
        return decision
    record = decision.record
    if decision.verdict == Verdict.CREATE:
        failed.add(record.pk)
        record = None
    return replace(
        decision, verdict=Verdict.REFUSED, changes=(), reasons=tuple(reason), record=record
    )


def _failing(
    kind: ImportKind, decision: Decision, failed: set[Any], actor: Any, now: datetime
) -> list[Reason] | None:
    """Write it, or say why it can't be."""
    named = {getattr(decision.record, field.attname) for field in _links(decision.record)}
    if named & failed:
        return [Reason("", __("A row above that it names could not be made."))]
    try:
        with transaction.atomic():
            _WRITE[kind](decision, actor, now)
            _note(decision, actor)
    except ValidationError as error:
        return [Reason("", words) for words in error.messages]
    except PermissionDenied as error:
        return [Reason("", " ".join(map(str, error.args)))]
    except (IntegrityError, DataError, ObjectDoesNotExist, OverflowError):
        words = __("The database refused it: somebody was faster. Make the dry run again.")
        return [Reason("", words)]
    return None


def _links(record: Any) -> Iterator[Any]:
    return (field for field in record._meta.concrete_fields if field.is_relation)


def told(decision: Decision) -> list[Any]:
    """What a person agreed to, to be compared: the verdict, and each change in words."""
    changes = [[one.name, one.before, one.after] for one in decision.changes]
    return [str(decision.verdict.value), changes]


# -- writing -------------------------------------------------------------------------------------


def _write_user(decision: Decision, actor: Any, now: datetime) -> None:
    services.save_user(user=decision.record, changed_fields=decision.changed, actor=actor, now=now)


def _write_queue(decision: Decision, actor: Any, now: datetime) -> None:
    services.save_queue(
        queue=decision.record, changed_fields=decision.changed, actor=actor, now=now
    )
    if decision.members is not None:
        decision.record.members.set(decision.members)


def _write_profile(decision: Decision, actor: Any, now: datetime) -> None:
    services.save_profile(
        profile=decision.record, changed_fields=decision.changed, actor=actor, now=now
    )


def _write_mailbox(decision: Decision, actor: Any, now: datetime) -> None:
    if decision.changed or decision.verdict == Verdict.CREATE:
        services.save_mailbox(
            mailbox=decision.record, changed_fields=decision.changed, actor=actor, now=now
        )
    if decision.approval is None:
        return
    approves = decision.approval == AccessApproval.APPROVED
    deed = services.approve if approves else services.reject
    chosen = Mailbox.objects.filter(pk=decision.record.pk)
    outcome = deed(mailboxes=chosen, actor=actor, now=now)
    if not outcome.done:
        raise ValidationError(str(outcome.why))


_WRITE: Mapping[ImportKind, Callable[[Decision, Any, datetime], None]] = {
    ImportKind.USERS: _write_user,
    ImportKind.QUEUES: _write_queue,
    ImportKind.PROFILES: _write_profile,
    ImportKind.MAILBOXES: _write_mailbox,
}


def _note(decision: Decision, actor: SystemUser | None) -> None:
    """As a form does, in the record's history and from there in the audit trail: columns, never values, and in
    no language but that of the code, so that each reader has his own."""
    if actor is None:
        return
    record = decision.record
    made = decision.verdict == Verdict.CREATE
    with translation.override(None):
        fields = [_label(record, change.name) for change in decision.changes]
    message = [{"added": {}}] if made else [{"changed": {"fields": fields}}]
    LogEntry.objects.create(
        user_id=str(actor.pk),
        content_type=ContentType.objects.get_for_model(record),
        object_id=str(record.pk),
        object_repr=name_in_logs(record)[:200],
        action_flag=ADDITION if made else CHANGE,
        change_message=json.dumps(message),
    )
    is_noted = made and audit.hears()  # with the saving of what is new
    for name in () if is_noted else sorted(decision.changed):
        if isinstance(record._meta.get_field(name), SecretField):
            kind = AuditKind.SECRET_SET if getattr(record, name) else AuditKind.SECRET_REMOVED
            audit.record(kind, actor=actor, subject=record, detail=name)


def _label(record: Any, name: str) -> str:
    return capfirst(str(record._meta.get_field(name).verbose_name))
