"""How much a mailbox may send now, from rows: the limits that are set or learned, and what has left.

`pacing` decides; here are its facts. What counts are the attempts themselves, claimed ones included, so
that workers who claim at the same moment count each other; `counts_at` is empty where nothing left.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q, Sum

from mailboxes.choices import ServerType
from mailboxes.connect import Direction, account_key
from mailboxes.models import EmailServerProfile, Mailbox
from mailboxes.protocols.errors import ServerBusy, ServerError, SubmissionQuotaExceeded
from serversync.choices import Counted, Window
from serversync.models import LearnedLimit, Submission
from serversync.pacing import (
    LENGTH,
    PACED,
    Allowance,
    Hold,
    Lesson,
    Limit,
    Measured,
    Turn,
    Use,
    Whose,
    allowance,
    learn,
    strictest,
    taught,
)
from serversync.turns import turn_of

#: Columns of mailbox and profile that limit one mailbox, or all mailboxes of a profile together.
COLUMNS = (
    ("messages_per_minute", Window.MINUTE, Counted.MESSAGES),
    ("messages_per_day", Window.DAY, Counted.MESSAGES),
    ("recipients_per_day", Window.DAY, Counted.RECIPIENTS),
)


def allowed(mailbox: Mailbox, now: datetime) -> Allowance:
    """What may leave now. Call it in the transaction that claims: where mailboxes share a limit, it
    makes their claims take turns until that transaction ends.

    One statement without limits; with limits one more, and two more where they are the profile's.
    """
    limits, holds = _holding(mailbox, now)
    if any(limit.whose == Whose.PROFILE for limit in limits):
        _take_turns(mailbox)
    return _decide(mailbox, limits, holds, now)


def foreseen(mailbox: Mailbox, now: datetime) -> Allowance:
    """The same for a page, which claims nothing and so needs no turns."""
    return _decide(mailbox, *_holding(mailbox, now), now)


def _decide(mailbox: Mailbox, limits: list[Limit], holds: list[Hold], now: datetime) -> Allowance:
    shared = any(limit.whose == Whose.PROFILE for limit in limits)
    turn = turn_of(mailbox, now) if shared else Turn()
    return allowance(measured(mailbox, limits, now), holds, turn, now)


def _take_turns(mailbox: Mailbox) -> None:
    """Until the transaction ends. It doesn't stop rows that only refer to the profile."""
    profile = EmailServerProfile.objects.filter(mailboxes=mailbox)
    profile.select_for_update(of=("self",), no_key=True).values_list("pk").first()


# -- which limits --------------------------------------------------------------------------------


def set_limits(mailbox: Mailbox) -> Iterator[Limit]:
    """What administrators have set: a mailbox's own limit goes before what its profile says of each."""
    profile = mailbox.email_server_profile
    for column, window, counted in COLUMNS:
        own = getattr(mailbox, column) or getattr(profile, f"mailbox_{column}", None)
        shared = getattr(profile, column, None)
        if own:
            yield Limit(Whose.MAILBOX, window, counted, own)
        if shared:
            yield Limit(Whose.PROFILE, window, counted, shared)


def _holding(mailbox: Mailbox, now: datetime) -> tuple[list[Limit], list[Hold]]:
    rows = LearnedLimit.objects.filter(
        Q(mailbox=mailbox) | Q(email_server_profile=mailbox.email_server_profile_id)
    )
    learned, holds = taught(((_whose(row), lesson_of(row)) for row in rows), now)
    return strictest([*set_limits(mailbox), *learned]), holds


def _whose(row: LearnedLimit) -> Whose:
    return Whose.MAILBOX if row.mailbox_id else Whose.PROFILE


def lesson_of(row: LearnedLimit) -> Lesson:
    return Lesson(
        Window(row.window),
        Counted(row.counted),
        row.most,
        row.learned_at,
        row.hold_until,
        row.refusals,
    )


def code_of(because: Limit | Hold | None) -> str:
    """The condition that mail waits for."""
    learned = isinstance(because, Hold) or (because is not None and because.learned)
    if not learned:
        return "SendingLimitReached"
    assert because is not None
    is_day = because.window == Window.DAY
    return "ErrorSubmissionQuotaExceeded" if is_day else "SendingTooFast"


# -- what has left -------------------------------------------------------------------------------


def measured(mailbox: Mailbox, limits: Iterable[Limit], now: datetime) -> list[Measured]:
    """One statement for all limits, none without: as far back as the longest window, by an index."""
    limits = list(limits)
    if not limits:
        return []
    shared = any(limit.whose == Whose.PROFILE for limit in limits)
    longest = max(LENGTH[limit.window] for limit in limits)
    rows = Submission.objects.filter(_of(mailbox, shared), counts_at__gt=now - longest).order_by()
    found = rows.aggregate(
        **{
            name: column
            for number, limit in enumerate(limits)
            for name, column in _columns(number, limit, mailbox, now)
        }
    )
    return [_measured(number, limit, found) for number, limit in enumerate(limits)]


def _of(mailbox: Mailbox, shared: bool) -> Q:
    if not shared:
        return Q(mailbox=mailbox)
    # What the mailbox sent through a former profile counts for its own limits only, and hardly ever.
    return Q(email_server_profile=mailbox.email_server_profile_id)


def _columns(
    number: int, limit: Limit, mailbox: Mailbox, now: datetime
) -> Iterator[tuple[str, Any]]:
    ours = Q(mailbox=mailbox)
    counted = ours if limit.whose == Whose.MAILBOX else Q()
    for name, span in (("used", LENGTH[limit.window]), ("lately", PACED[limit.window])):
        since = _within(span, now)
        yield f"{name}_{number}", _number(limit, counted & since)
        yield f"{name}_first_{number}", Min("counts_at", filter=counted & since)
    paced = _within(PACED[limit.window], now)
    yield f"mine_{number}", _number(limit, ours & paced)


def _within(span: timedelta, now: datetime) -> Q:
    """Also a little later than now, for clocks of workers differ; not for as long as a clock was wrong
    that has been set back since."""
    return Q(counts_at__gt=now - span, counts_at__lte=now + span)


def _number(limit: Limit, which: Q) -> Any:
    if limit.counted == Counted.MESSAGES:
        return Count("pk", filter=which)
    return Sum("recipient_count", filter=which)


def _measured(number: int, limit: Limit, found: dict[str, Any]) -> Measured:
    def use(name: str) -> Use:
        return Use(found[f"{name}_{number}"] or 0, found[f"{name}_first_{number}"])

    return Measured(limit, use("used"), use("lately"), found[f"mine_{number}"] or 0)


# -- what a server teaches -----------------------------------------------------------------------


def learn_from(mailbox: Mailbox, error: ServerError, now: datetime) -> Lesson | None:
    """Keep what a refusal taught about the account, before anybody sends there again. A server that is
    only busy was asked too much within a minute, or by others: None if by others."""
    window, counted = Window.MINUTE, Counted.MESSAGES
    if isinstance(error, SubmissionQuotaExceeded):
        window = Window(error.window)
        counted = Counted.RECIPIENTS if error.counts_recipients else Counted.MESSAGES
    account = _account(mailbox)
    row = LearnedLimit.objects.filter(**account, window=window, counted=counted).first()
    whose = Whose.MAILBOX if "mailbox" in account else Whose.PROFILE
    (so_far,) = measured(mailbox, [Limit(whose, window, counted, 0)], now)
    if isinstance(error, ServerBusy) and not so_far.used.number:
        return None
    lesson = learn(
        lesson_of(row) if row else None,
        window=window,
        counted=counted,
        used=so_far.used.number,
        now=now,
        hint_seconds=error.hint_seconds,
    )
    LearnedLimit.objects.update_or_create(
        **account,
        window=window,
        counted=counted,
        defaults={
            "most": lesson.most,
            "learned_at": lesson.learned_at,
            "hold_until": lesson.hold_until,
            "refusals": lesson.refusals,
            "server_reply": str(error)[:1000],
        },
    )
    return lesson


def _account(mailbox: Mailbox) -> dict[str, Any]:
    """Whose sending the server counts: the account's that logs in. Exchange counts each mailbox's,
    whoever acts for it."""
    profile = mailbox.email_server_profile
    assert profile is not None  # eligibility checked it
    key = account_key(mailbox, profile, Direction.OUTGOING)
    if ServerType(profile.server_type).is_exchange or key.startswith("mailbox:"):
        return {"mailbox": mailbox}
    return {"email_server_profile": profile}
