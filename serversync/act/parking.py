"""What one cycle may not do by itself waits in a batch, and what of it isn't wanted any more leaves (R6.46, R6.51).

A mailbox has one batch that waits. Its pairs stay noted, and are decided anew when a side changes, when somebody
approves, and once a day: what is still the same goes on waiting without a word, anything else is shown again.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from mailboxes.protocols.items import ItemKind
from serversync.act import batches, guard
from serversync.act.choices import ActOutcome, BatchKind, BatchState
from serversync.act.run import ActRun, count
from serversync.act.stored import reasons_data, reasons_of, side_of, write_data, write_of
from serversync.act.types import Decision, Reason, Table, Verb
from serversync.act.work import Work
from serversync.models import ExchangeSyncIdMapping, ParkedBatch, ParkedChange, SyncRevision

LOOK_AGAIN = timedelta(days=1)


def limits_of(run: ActRun) -> guard.Limits:
    organization = run.organization
    return guard.Limits(
        max_deletes=organization.max_act_deletes,
        percent=organization.max_act_deletes_percent,
        free=organization.free_act_deletes,
        max_people=organization.max_act_invitations,
        first_free=_first_free(run),
        guarded=bool(organization.effective("guard_act")),
    )


def _first_free(run: ActRun) -> int:
    """How much more the first synchronization may make unasked: it is looked at page by page, so what earlier
    pages made counts. Once somebody was asked, whatever comes up later is shown to him as well."""
    began = run.state.first_look_at
    if not run.is_first or began is None:
        return run.organization.max_act_first_creations
    asked = ParkedBatch.objects.filter(
        mailbox=run.mailbox, kind=BatchKind.FIRST, created_on__gte=began
    )
    if asked.exclude(state=BatchState.OVERTAKEN).exists():
        return 0
    made = SyncRevision.objects.filter(
        mailbox=run.mailbox, verb=Verb.CREATE.value, made_on__gte=began
    )
    sides = Counter(made.values_list("side", flat=True))
    return max(0, run.organization.max_act_first_creations - max(sides.values(), default=0))


def sorted_out(run: ActRun, works: Sequence[Work]) -> list[Work]:
    """Those that may go on; the others are parked."""
    approved = _approved(run, works)
    verdict = guard.judge(
        {work.link.pk: work.decision for work in works},
        run.linked,
        limits_of(run),
        first=run.is_first,
        approved=approved,
        held=_held(run, works, approved),
    )
    by_key = {work.link.pk: work for work in works}
    with run.writing():
        parked = {key: (by_key[key], reasons) for key, reasons in verdict.parked.items()}
        _park(run, parked)
        _take_out(run, [by_key[key] for key in verdict.go])
    return [by_key[key] for key in verdict.go]


def _approved(run: ActRun, works: Sequence[Work]) -> set[UUID]:
    """Links of those that somebody agreed to as they are."""
    rows = ParkedChange.objects.filter(
        link__in=[work.link.pk for work in works], approved=True, used_on=None
    )
    agreed: dict[UUID, set[str]] = {}
    for link, digest in rows.values_list("link_id", "digest"):
        agreed.setdefault(link, set()).add(digest)
    run.approved |= agreed.keys()
    mine = [work for work in works if work.link.pk in agreed]
    return {work.link.pk for work in mine if _digest(work) in agreed[work.link.pk]}


def use_up(run: ActRun, works: Sequence[Work]) -> None:
    """What was approved and is carried out by now: the next time is to be asked for anew. What failed goes on under
    its approval."""
    done = [
        work.link.pk for work in works if work.link.pk in run.approved and _is_carried_out(work)
    ]
    if done:
        with run.writing():
            _forget_approvals(run, done)


def _is_carried_out(work: Work) -> bool:
    link = work.link
    return not link.retries and (not link.is_pending or work.has_files)


def _forget_approvals(run: ActRun, links: Collection[UUID]) -> None:
    rows = ParkedChange.objects.filter(link__in=links, approved=True, used_on=None)
    rows.update(used_on=run.clock())


def _digest(work: Work) -> str:
    known = work.link.base
    base = side_of(work.table.kind, known) if known is not None else None
    if base is not None:
        base = replace(base, version=work.link.change_key)
    return guard.shown(work.decision, work.store, work.server, base)


def _held(run: ActRun, works: Sequence[Work], approved: set[UUID]) -> dict[UUID, guard.Held]:
    """Link -> what of it waits undecided, or was approved and is something else by now. Whatever is decided now
    counts together with that."""
    if not any(work.decision.writes for work in works):
        return {}
    overtaken = Q(approved=True, used_on=None, link__in=run.approved - approved)
    rows = ParkedChange.objects.filter(
        Q(approved=False, batch__state=BatchState.WAITING) | overtaken,
        batch__mailbox=run.mailbox,
        link__generation=run.mailbox.account_generation,
    ).order_by("pk")
    columns = ("link_id", "link__object_type_code", "to_store", "to_server", "reasons")
    return {
        key: guard.Held(_decision(Table(code).kind, to_store, to_server), reasons_of(reasons))
        for key, code, to_store, to_server, reasons in rows.values_list(*columns)
        if code is not None
    }


def _decision(kind: ItemKind, to_store: Any, to_server: Any) -> Decision:
    """As far as the guard counts it."""
    return Decision(
        to_store=write_of(kind, to_store) if to_store else None,
        to_server=write_of(kind, to_server) if to_server else None,
    )


def _park(run: ActRun, parked: Mapping[UUID, tuple[Work, Sequence[Reason]]]) -> None:
    if not parked:
        return
    now = run.clock()
    batch = _waiting(run, [work for work, _reasons in parked.values()])
    known = {change.link_id: change for change in batch.changes.all()}
    wanted = [_change(batch, work, reasons) for work, reasons in parked.values()]
    news = [new for new in wanted if _is_news(known.get(new.link_id), new)]
    ParkedChange.objects.filter(batch=batch, link__in=[new.link_id for new in news]).delete()
    ParkedChange.objects.bulk_create(news, batch_size=200)
    if overtaken := run.approved & parked.keys():
        _forget_approvals(run, overtaken)
    ExchangeSyncIdMapping.objects.filter(pk__in=list(parked)).update(
        batch=batch, next_attempt_at=now + LOOK_AGAIN, modified_on=now
    )
    if news:
        count(run.result, ActOutcome.PARKED, len(news))
        _refresh(run, batch)


def _waiting(run: ActRun, works: Sequence[Work]) -> ParkedBatch:
    """The one that waits already, of whatever kind, or a new one for these."""
    undone = all(work.link.undoing is not None for work in works)
    kind = BatchKind.UNDO if undone else BatchKind.LIMITS
    if run.is_first:
        kind = BatchKind.FIRST
    made, _new = ParkedBatch.objects.get_or_create(
        mailbox=run.mailbox,
        state=BatchState.WAITING,
        defaults={"kind": kind, "created_on": run.clock()},
    )
    return made


def _change(batch: ParkedBatch, work: Work, reasons: Sequence[Reason]) -> ParkedChange:
    decision = work.decision
    to_store, to_server = decision.to_store, decision.to_server
    told = to_server.told if to_server and to_server.mails else ()
    return ParkedChange(
        batch=batch,
        link=work.link,
        digest=_digest(work),
        to_store=write_data(to_store, work.store) if to_store else None,
        to_server=write_data(to_server, work.server) if to_server else None,
        told=sorted(told),
        reasons=reasons_data([*reasons, *decision.reasons]),
    )


def _is_news(known: ParkedChange | None, new: ParkedChange) -> bool:
    return known is None or known.approved or known.digest != new.digest


def _refresh(run: ActRun, batch: ParkedBatch) -> None:
    """Counts and reasons of all that waits, and the alert."""
    rows = list(batch.changes.values_list("to_store", "to_server", "told", "reasons"))
    counts: Counter[str] = Counter()
    people: set[str] = set()
    reasons: dict[str, Any] = {}
    for to_store, to_server, told, because in rows:
        for side, write in (("store", to_store), ("server", to_server)):
            if write:
                counts[f"{side}_{write['verb']}"] += 1
        people |= set(told)
        reasons |= {one["code"]: one for one in because if one["code"] in guard.STOPS}
    batch.counts = dict(counts) | {"people": len(people)}
    batch.reasons = list(reasons.values())
    batch.changed_on = run.clock()
    batch.save(update_fields=["counts", "reasons", "changed_on"])
    batches.announce(batch, run.clock(), run.organization)


def _take_out(run: ActRun, works: Sequence[Work]) -> None:
    """What waited and is wanted no more, or is something harmless by now."""
    waited = [work.link.pk for work in works if work.link.batch_id]
    if not waited:
        return
    left = ParkedChange.objects.filter(
        link__in=waited, approved=False, batch__state=BatchState.WAITING
    )
    touched = set(left.values_list("batch_id", flat=True))
    left.delete()
    ExchangeSyncIdMapping.objects.filter(pk__in=waited).update(batch=None)
    for batch in ParkedBatch.objects.filter(pk__in=touched):
        if batch.changes.exists():
            _refresh(run, batch)
        else:
            batch.state, batch.ended_on = BatchState.OVERTAKEN, run.clock()
            batch.save(update_fields=["state", "ended_on"])
            batches.settle(run.mailbox, run.clock())
