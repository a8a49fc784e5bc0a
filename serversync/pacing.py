"""PURE  how many messages may leave now, when the next may, and why not more (R5.14).

Two kinds of limits: those that an administrator has set, and those that a server has taught by
refusing. Both count over a sliding window, so no two windows touch with a burst on either side.

    a minute   in slices of a quarter, each with a quarter of the limit
    an hour    whatever the limit leaves
    a day      the first half at once; of the other half an hour takes at most an eighth of what is
               left, so that one large mailing never uses up the day of everybody else

Nothing here reads the clock or a row: `limits` brings facts and `now`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from serversync.choices import Counted, Window

LENGTH = {
    Window.MINUTE: timedelta(minutes=1),
    Window.HOUR: timedelta(hours=1),
    Window.DAY: timedelta(days=1),
}
SLICE = timedelta(seconds=15)
SLICES = 4  # of a minute
#: The span that paces a window.
PACED = {
    Window.MINUTE: SLICE,
    Window.HOUR: LENGTH[Window.HOUR],
    Window.DAY: LENGTH[Window.HOUR],
}
AT_ONCE = 2  # one part in so many of a day leaves without waiting
METERED = 8  # of the rest, one part in so many leaves within an hour


class Whose(StrEnum):
    """Whose sending is counted."""

    MAILBOX = "mailbox"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` of `counted` within `window`. `learned`: a server taught it."""

    whose: Whose
    window: Window
    counted: Counted
    most: int
    learned: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """What left within a span that ends now, and when the first of it falls out of the span."""

    number: int = 0
    first_at: datetime | None = None


NOTHING = Use()


@dataclass(frozen=True, slots=True)
class Measured:
    """A limit, what was used of it, and what was used within the span that paces it (`PACED`); `mine`:
    of that, by the mailbox that asks."""

    limit: Limit
    used: Use
    lately: Use = NOTHING
    mine: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """A server asked for silence until then."""

    until: datetime
    window: Window


@dataclass(frozen=True, slots=True)
class Turn:
    """A profile's limit is shared: how many of its mailboxes have mail to send, and how many of them
    come before this one because they sent longer ago."""

    mailboxes: int = 1
    before: int = 0

    def share(self, whole: int) -> int:
        """Equal parts; what is over goes to those whose turn it is."""
        part, over = divmod(whole, max(self.mailboxes, 1))
        return part + (self.before < over)


@dataclass(frozen=True, slots=True)
class Allowance:
    """None: without limit. `largest`: how many recipients the first message may have; more than
    `recipients`, so that one message to many isn't paced out for good. `until`: when to ask again where
    nothing may leave, or `wider_at` where the first message has too many; `because`: what keeps it."""

    messages: int | None = None
    recipients: int | None = None
    largest: int | None = None
    until: datetime | None = None
    wider_at: datetime | None = None
    because: Limit | Hold | None = None

    @property
    def nothing(self) -> bool:
        return self.until is not None


def allowance(
    measured: Sequence[Measured], holds: Sequence[Hold], turn: Turn, now: datetime
) -> Allowance:
    """What this mailbox may send now. The strictest limit decides, and of those that leave nothing the
    one that lasts longest tells until when."""
    silent = [hold for hold in holds if hold.until > now]
    if silent:
        last = max(silent, key=lambda hold: hold.until)
        return Allowance(0, 0, 0, last.until, because=last)
    rooms = [_room(one, turn, now) for one in measured]
    full = [room for room in rooms if room.left == 0]
    messages = [room.left for room in rooms if room.limit.counted == Counted.MESSAGES]
    recipients = [room for room in rooms if room.limit.counted == Counted.RECIPIENTS]
    narrow = min(recipients, key=lambda room: room.left, default=None)
    longest = max(full, key=lambda room: room.again, default=None)
    because = longest or narrow
    return Allowance(
        min(messages, default=None),
        narrow.left if narrow else None,
        min((room.largest for room in recipients if room.largest is not None), default=None),
        longest.again if longest else None,
        narrow.again if narrow else None,
        because.limit if because else None,
    )


@dataclass(frozen=True, slots=True)
class Room:
    """What one limit leaves now, when there will be more, and how large one message may be."""

    limit: Limit
    left: int
    again: datetime
    largest: int | None = None


def _room(one: Measured, turn: Turn, now: datetime) -> Room:
    left, again = left_of(one, now)
    mine = left
    if one.limit.whose == Whose.PROFILE:
        mine = min(left, max(0, turn.share(left + one.lately.number) - one.mine))
    if left and not mine:
        again = now + SLICE  # it is another mailbox's turn, and soon ours
    return Room(one.limit, mine, again, _largest(one, mine))


def _largest(one: Measured, left: int) -> int | None:
    if one.used.number == 0:
        return None  # more than the whole limit: then by itself
    return left if one.lately.number else max(left, one.limit.most - one.used.number)


def left_of(one: Measured, now: datetime) -> tuple[int, datetime]:
    """How many more may leave now, and when there may be more."""
    limit = one.limit
    left = max(0, limit.most - one.used.number)
    if left == 0:
        return 0, _after(one.used, LENGTH[limit.window], now)
    if limit.window == Window.MINUTE:
        part = -(-limit.most // SLICES) - one.lately.number
        return min(left, max(part, 0)), _after(one.lately, SLICE, now)
    if limit.window == Window.DAY:
        free = limit.most // AT_ONCE - one.used.number
        metered = -(-left // METERED) - one.lately.number
        return min(left, max(free, metered, 0)), _after(one.lately, LENGTH[Window.HOUR], now)
    return left, _after(one.used, LENGTH[limit.window], now)


def _after(use: Use, span: timedelta, now: datetime) -> datetime:
    """When the first that was counted falls out; never now, for then nothing would be waited for."""
    first = use.first_at or now
    return max(first + span, now + timedelta(seconds=1))


# -- what a server teaches -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Growth:
    """A learned limit grows by `factor` with each `period`, and after `kept` it is forgotten, for
    servers lift limits without saying so. `pause`: first silence after a refusal, doubled with each
    further one up to `longest`."""

    factor: float
    period: timedelta
    kept: timedelta
    pause: timedelta
    longest: timedelta


GROWTH = {
    Window.MINUTE: Growth(
        2.0, timedelta(hours=1), timedelta(hours=12), timedelta(minutes=1), timedelta(hours=1)
    ),
    Window.HOUR: Growth(
        1.5, timedelta(hours=6), timedelta(days=2), timedelta(minutes=15), timedelta(hours=2)
    ),
    Window.DAY: Growth(
        2.0, timedelta(days=1), timedelta(days=7), timedelta(hours=1), timedelta(hours=6)
    ),
}
LONGEST_HINT = timedelta(days=1)  # beyond a day a server's own word is not believed


@dataclass(frozen=True, slots=True)
class Lesson:
    """What refusals of one account have taught about one window. `most` None: only to be silent."""

    window: Window
    counted: Counted
    most: int | None
    learned_at: datetime
    hold_until: datetime
    refusals: int = 1


def learn(
    before: Lesson | None,
    *,
    window: Window,
    counted: Counted,
    used: int,
    now: datetime,
    hint_seconds: float | None = None,
) -> Lesson:
    """The server has refused because of its limit, after it took `used` within the window.

    Within a day or an hour that number is the limit, as far as we can know; of a minute's limit half of
    it, for such refusals come late. If it took nothing, others have used the account up, and nobody
    knows its limit. A second refusal under a limit that we kept lowers it further.
    """
    growth = GROWTH[window]
    most = max(1, used // 2 if window == Window.MINUTE else used) if used else None
    refusals = 1
    if before is not None and not is_forgotten(before, now):
        known = grown(before, now)
        most = min((each for each in (most, known) if each is not None), default=None)
        refusals = before.refusals + 1
    pause = min(growth.pause * 2 ** min(refusals - 1, 16), growth.longest)
    if hint_seconds:
        pause = max(pause, min(timedelta(seconds=hint_seconds), LONGEST_HINT))
    return Lesson(window, counted, most, now, now + pause, refusals)


def grown(lesson: Lesson, now: datetime) -> int | None:
    if lesson.most is None:
        return None
    growth = GROWTH[lesson.window]
    periods = max(0.0, (now - lesson.learned_at) / growth.period)
    return int(lesson.most * growth.factor**periods)


def is_forgotten(lesson: Lesson, now: datetime) -> bool:
    """Also what was learned much later than now: by a clock that was wrong."""
    return abs(now - lesson.learned_at) >= GROWTH[lesson.window].kept


def taught(
    lessons: Iterable[tuple[Whose, Lesson]], now: datetime
) -> tuple[list[Limit], list[Hold]]:
    """The limits and silences that still hold."""
    limits: list[Limit] = []
    holds: list[Hold] = []
    for whose, lesson in lessons:
        if is_forgotten(lesson, now):
            continue
        if (most := grown(lesson, now)) is not None:
            limits.append(Limit(whose, lesson.window, lesson.counted, most, learned=True))
        if lesson.hold_until > now:
            holds.append(Hold(lesson.hold_until, lesson.window))
    return limits, holds


def strictest(limits: Iterable[Limit]) -> list[Limit]:
    """One of each kind: the lowest, whoever set it."""
    found: dict[tuple[Whose, Window, Counted], Limit] = {}
    for limit in limits:
        key = (limit.whose, limit.window, limit.counted)
        if key not in found or limit.most < found[key].most:
            found[key] = limit
    return list(found.values())
