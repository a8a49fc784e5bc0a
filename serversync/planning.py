"""What is to become of the items of a page: tracking decides, the site's own code hears of it, and what
people asked for is added. Nothing is written here.
"""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from activities import blobs
from serversync import linking, wishes
from serversync.context import FolderFacts, start_of
from serversync.cycle import Run
from serversync.probe import is_own_probe, is_probe_of
from serversync.seen import Seen
from tracking import hooks
from tracking.byhand import is_quiet
from tracking.creation import Creation
from tracking.promote import Incoming, Outcome, Plan, Reading, plan_page, reading_of, rests_on


class PageDivided(Exception):
    """Something of this page rests on an email that isn't written now. Item by item it doesn't."""


def plan(run: Run, facts: FolderFacts, seen: Sequence[Seen], staged: blobs.Staged) -> None:
    """Fill `plans`, from nothing. Bytes that are to be kept are added to `staged`.

    What is accepted, the site's own code hears of; what that fails, nothing may rest on, so the others
    are decided again without it.
    """
    _judge(run, facts, seen, staged)
    while run.hooks and _listen(run, seen, staged):
        staged.contents.clear()
        _judge(run, facts, seen, staged)
    for one in seen:
        if one.asked:
            wishes.apply(one.plans, one.asked)
    for one in seen:
        if one.raw is not None and (one.error or any(plan.error for plan in one.plans)):
            staged.add(one.raw)


def _judge(run: Run, facts: FolderFacts, seen: Sequence[Seen], staged: blobs.Staged) -> None:
    by_key = {}
    for one in seen:
        one.plans, by_key[one.item.remote_id] = [], one
    if incoming := list(_incoming(run, seen)):
        for plan in plan_page(_reading(run, facts), incoming, staged):
            by_key[plan.key].plans.append(plan)


def _reading(run: Run, facts: FolderFacts) -> Reading:
    return Reading(
        mailbox=run.mailbox,
        organization=run.organization,
        party=reading_of(run.mailbox),
        start=start_of(run.mailbox, facts),
        watermark=facts.watermark,
        now=run.clock(),
        way=facts.way,
        rule=linking.rule_of(facts.rule) if facts.rule is not None else None,
        is_probe_of=is_probe_of,
    )


def _incoming(run: Run, seen: Sequence[Seen]) -> Iterator[Incoming]:
    for one in seen:
        if one.message is None or one.raw is None or one.error:
            continue
        yield Incoming(
            key=one.item.remote_id,
            message=one.message,
            raw=one.raw,
            received_at=one.item.received_at,
            is_own_probe=is_own_probe(one.message.own_header, run.mailbox),
            quiet=is_quiet(one.asked),
        )


# -- the site's own code


def _listen(run: Run, seen: Sequence[Seen], staged: blobs.Staged) -> bool:
    """Each message is told once a cycle, however often its page is done. True: some failed."""
    failed = False
    with run.timed("hooks"):
        for one in seen:
            for plan in one.plans:
                if plan.new_email is not None and not plan.error and not one.error:
                    _tell(run, one, plan, staged)
                    failed |= bool(one.error)
    return failed


def _tell(run: Run, one: Seen, plan: Plan, staged: blobs.Staged) -> None:
    if plan.part not in one.heard:
        assert plan.new_email is not None  # nothing else is told
        raw = staged.contents[plan.new_email.mime_sha256]
        one.heard[plan.part] = run.hooks.hear(hooks.receipt_of_plan(plan, run.mailbox, raw))
    heard = one.heard[plan.part]
    if heard.error:
        one.error, one.error_code = heard.error, hooks.CODE
    else:
        hooks.apply(plan, heard)


def late_hooks(
    seen: Sequence[Seen], outcomes: Mapping[tuple[str, int], Outcome]
) -> list[tuple[UUID, str]]:
    """Emails that were stored, with the hooks that have to hear of them later."""
    return [
        (plan.new_email.id, name)
        for one in seen
        for plan in one.plans
        if plan.new_email is not None
        and plan.part in one.heard
        and (outcome := outcomes.get((plan.key, plan.part))) is not None
        and outcome.email_id == plan.new_email.id
        for name in one.heard[plan.part].late
    ]


# -- what of it was written


def creations(seen: Sequence[Seen]) -> Iterator[Creation]:
    """What came of emails that were stored beside them, or did not."""
    for one in seen:
        for plan in one.plans:
            if not one.failure[0] and plan.new_email is not None and plan.duplicate_of is None:
                yield plan.creation


# -- what of it can be written


def writable(seen: Sequence[Seen]) -> list[Plan]:
    """A forward is stored with all its originals or not yet: its ledger rows are written with them."""
    plans: list[Plan] = []
    held: set[UUID] = set()
    for one in seen:
        if one.failure[0]:
            held |= {plan.new_email.id for plan in one.plans if plan.new_email is not None}
        else:
            plans += one.plans
    if held and any(rests_on(plan, held) for plan in plans):
        raise PageDivided
    return plans
