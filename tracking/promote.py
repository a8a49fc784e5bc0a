"""Read candidates, decide, write a page of e-mail activities. Called by the incoming cycle.

`plan_page` reads and decides outside any transaction and touches nothing; `write_page` writes inside
the caller's. Between the two another worker may have stored the same message: that is no failure,
the loser becomes a duplicate (activities.store).

A page's decisions are made in order, and each sees the outcomes of those before it: a reply finds
the message right in front of it, and the second copy of a message is a duplicate of the first.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from activities import blobs
from activities.choices import Direction
from activities.mime.message import ParsedMessage
from activities.mime.parse import forwarded_originals, parse
from activities.store import Standing, add_queue_items, write_emails
from mailboxes.models import Organization
from tracking import rows, trace
from tracking.acceptance import Acceptance
from tracking.choices import AcceptReason
from tracking.choices import Outcome as State
from tracking.copies import is_copy
from tracking.creating import answer_of, are_within_limits, number_answers
from tracking.creating import write as write_creations
from tracking.decide import Accepted, judge, skip
from tracking.deliveries import heard_from, note
from tracking.forwards import unwrap
from tracking.lookups import Page, page_of
from tracking.reading import (
    FolderRule,
    Incoming,
    Outcome,
    Plan,
    Reading,
    Unit,
    reading_of,
)
from tracking.reports import Effect

log = logging.getLogger(__name__)

REUSED = "message_id_reused"  # R3.20

__all__ = [
    "FolderRule",
    "Incoming",
    "Outcome",
    "PageStale",
    "Plan",
    "Reading",
    "answering_mailboxes",
    "plan_page",
    "reading_of",
    "rests_on",
    "write_page",
]


class PageStale(Exception):
    """A message of this page lost a collision to what another worker stored, and others of the page
    rest on it: answers, copies, or those that left its id to it; or other workers made or answered so
    much that a brake holds by now. Plan the page again: then they rest on what stands."""


# -- plan ----------------------------------------------------------------------------------------


def plan_page(reading: Reading, incoming: Sequence[Incoming], staged: blobs.Staged) -> list[Plan]:
    """Decide a page. Bytes that accepted messages need are added to `staged`.

    A message whose deciding fails gets a plan with `error`, and the others go on (R3.67).
    """
    plans: list[Plan] = []
    units: list[Unit] = []
    for one in incoming:
        decision = skip(reading, one)
        if decision is not None:
            plans.append(Plan(key=one.key, message=one.message, decision=decision))
        else:
            units.append(
                Unit(incoming=one, part=0, message=one.message, raw=one.raw, reading=reading.party)
            )
    if not units:
        return plans
    originals = _originals(units) if reading.mailbox.is_forward_mailbox else {}
    inside = [message for part in originals.values() for _raw, message in part]
    page = page_of(reading, [*(unit.message for unit in units), *inside])
    if reading.mailbox.is_forward_mailbox:
        wrappers, units = units, []
        for wrapper in wrappers:
            one = wrapper.incoming
            decision, inner = unwrap(reading, wrapper, originals[one.key], page)
            plans.append(Plan(key=one.key, message=one.message, decision=decision))
            units += inner
    return [*plans, *(_plan(reading, unit, page, staged) for unit in units)]


def _originals(units: Sequence[Unit]) -> dict[str, list[tuple[bytes, ParsedMessage]]]:
    return {
        unit.incoming.key: [(raw, parse(raw)) for raw in forwarded_originals(unit.message)]
        for unit in units
    }


def _plan(reading: Reading, unit: Unit, page: Page, staged: blobs.Staged) -> Plan:
    plan = Plan(key=unit.incoming.key, part=unit.part, message=unit.message)
    try:
        judgement = judge(reading, unit, page)
        if judgement.accepted is not None:
            plan.new_email = rows.new_email(
                reading,
                unit,
                judgement.accepted,
                judgement.decision,
                page.switches.matching,
                staged,
            )
            _plan_creation(plan, judgement.accepted, reading, page)
        plan.decision = judgement.decision
        plan.duplicate_of = judgement.duplicate_of
        plan.extra_queue_id = judgement.extra_queue_id
        plan.effect = judgement.effect
        if judgement.denied is not None and judgement.decision.failure is not None:
            failure = judgement.decision.failure
            plan.error, plan.error_code = failure.text, failure.code
    except Exception as error:
        log.exception("deciding %s failed", unit.incoming.key)
        plan.error = f"{type(error).__name__}: {error}"
    return plan


def _plan_creation(plan: Plan, accepted: Accepted, reading: Reading, page: Page) -> None:
    plan.creation, plan.rests_on = accepted.creation, accepted.rests_on
    if accepted.creation.answer is not None:
        plan.answer = answer_of(
            accepted.creation.answer,
            plan.message,
            reading.organization,
            reading.now,
            email_id=accepted.id,
            conversation=accepted.conversation,
            rules=page.switches.matching,
        )


# -- write ---------------------------------------------------------------------------------------


def write_page(
    plans: Sequence[Plan],
    staged: blobs.Staged,
    now: datetime,
    organization: Organization | None = None,
) -> dict[tuple[str, int], Outcome]:
    """Write what was planned, inside the caller's transaction; (key, part) -> where it ended."""
    good = [plan for plan in plans if not plan.error]
    rows = [plan.new_email for plan in good if plan.new_email is not None]
    answers = [plan.answer for plan in good if plan.answer is not None]
    organization = organization or Organization.objects.current()
    if answers:
        number_answers(answers, organization)
    lost = write_emails([*rows, *answers], staged, now).standing
    if any(_is_stale(plan, lost) for plan in good):
        raise PageStale
    if answers and not are_within_limits(answers, organization, now):
        raise PageStale
    for plan in good:
        if plan.new_email is not None and plan.new_email.id in lost:
            plan.duplicate_of = lost[plan.new_email.id].id
    _write_creations(good, organization, now)
    undelivered = note(_effects(good))
    heard_from(_writers(good))
    add_queue_items(
        (
            (plan.extra_queue_id, plan.duplicate_of, *_addresses_line(plan.message))
            for plan in good
            if plan.extra_queue_id and plan.duplicate_of
        ),
        now,
    )
    return {(plan.key, plan.part): _outcome(plan, undelivered) for plan in good}


def _effects(plans: Iterable[Plan]) -> Iterator[Effect]:
    """What a copy of stored mail tells was noted with the one that is stored."""
    for plan in plans:
        if plan.effect is not None and plan.duplicate_of is None:
            yield plan.effect


def _writers(plans: Iterable[Plan]) -> Iterator[tuple[str, datetime]]:
    """Who wrote what was stored just now, and when it came; machines answer for anybody."""
    for plan in plans:
        new = plan.new_email
        if new is None or plan.duplicate_of is not None or plan.message.kind.is_automatic:
            continue
        if new.fields["direction_code"] == Direction.INCOMING:
            yield new.fields["sender"], new.sort_date


def _write_creations(plans: Sequence[Plan], organization: Organization, now: datetime) -> None:
    """Of those whose email stands: who lost a collision makes nothing."""
    made = [
        (plan.new_email.id, plan.creation)
        for plan in plans
        if plan.new_email is not None and plan.duplicate_of is None
        if plan.creation.makes_something
    ]
    if made and not write_creations(made, organization, now):
        raise PageStale


def answering_mailboxes(plans: Iterable[Plan]) -> set[UUID]:
    """From which automatic answers are to leave, once the plans are written."""
    return {
        plan.answer.fields["sender_mailbox_id"]
        for plan in plans
        if plan.answer is not None and not plan.error and plan.duplicate_of is None
    }


def _addresses_line(message: ParsedMessage) -> tuple[str, str]:
    sender = message.sender.address if message.sender else ""
    return sender, "; ".join(address.address for address in message.to)


def _is_stale(plan: Plan, lost: Mapping[UUID, Standing]) -> bool:
    """Whether this plan rests on one that lost. `lost`: e-mail not written -> who stands there."""
    new = plan.new_email
    if rests_on(plan, lost.keys()):
        return True
    standing = lost.get(new.id) if new else None
    if new is None or standing is None:
        return False
    # Its id belongs to another message, so it needs a key of its own, and so may those of the page
    # that left the id to it (R3.20).
    direction = new.fields["direction_code"]
    return bool(plan.message.message_id) and not is_copy(plan.message, standing, direction)


def rests_on(plan: Plan, missing: Collection[UUID]) -> bool:
    """Whether this plan refers to one of these emails of its page, or to what they make."""
    new = plan.new_email
    if plan.effect is not None and plan.effect.email_id in missing:
        return True
    if new is None:
        return plan.duplicate_of in missing
    if new.id not in missing and not plan.rests_on.isdisjoint(missing):
        return True
    return not {new.fields["correlated_activity_id"], new.fields["about_id"]}.isdisjoint(missing)


def _outcome(plan: Plan, undelivered: Collection[UUID]) -> Outcome:
    assert plan.decision is not None
    decision = plan.decision
    if plan.new_email is not None and plan.duplicate_of is not None:
        # Decided as new, but another worker stored the same message first.
        decision = replace(
            decision,
            outcome=State.DUPLICATE,
            acceptance=replace(
                decision.acceptance or Acceptance(reason=AcceptReason.DUPLICATE),
                reason=AcceptReason.DUPLICATE,
                entity=None,
            ),
            owner=None,
            queue_items=(),
            creation=None,
            duplicate_of=plan.duplicate_of,
        )
    data = trace.to_data(decision)
    return Outcome(
        state=decision.outcome,
        reason=str(data.get("reason", "")),
        sub_reason=REUSED if decision.message_id_reused else str(data.get("sub_reason", "")),
        email_id=plan.duplicate_of or (plan.new_email.id if plan.new_email else None),
        undelivered=tuple({plan.effect.email_id} & set(undelivered)) if plan.effect else (),
        decision=data,
    )
