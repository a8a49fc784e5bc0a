"""How fast mail may leave: windows, slices, turns, and what servers teach."""

from datetime import UTC, datetime, timedelta

import pytest

from serversync.choices import Counted, Window
from serversync.pacing import (
    GROWTH,
    LENGTH,
    SLICE,
    Allowance,
    Hold,
    Lesson,
    Limit,
    Measured,
    Turn,
    Use,
    Whose,
    allowance,
    grown,
    is_forgotten,
    learn,
    strictest,
    taught,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINE, ALL = Whose.MAILBOX, Whose.PROFILE
MINUTE, HOUR, DAY = Window.MINUTE, Window.HOUR, Window.DAY
MESSAGES, RECIPIENTS = Counted.MESSAGES, Counted.RECIPIENTS


def ago(**delta: float) -> datetime:
    return NOW - timedelta(**delta)


def measured(
    most: int,
    window: Window = MINUTE,
    counted: Counted = MESSAGES,
    whose: Whose = MINE,
    used: Use = Use(),  # noqa: B008 - frozen
    lately: Use = Use(),  # noqa: B008 - frozen
) -> Measured:
    return Measured(Limit(whose, window, counted, most), used, lately)


def asked(*limits: Measured, holds: tuple[Hold, ...] = (), turn: Turn = Turn()) -> Allowance:  # noqa: B008 - frozen
    return allowance(limits, holds, turn, NOW)


@pytest.mark.rule("R5.14")
def test_without_limits_everything_may_leave() -> None:
    assert asked() == Allowance()


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize(
    ("most", "used", "lately", "left", "until"),
    [
        (60, Use(), Use(), 15, None),
        (60, Use(15, ago(seconds=5)), Use(15, ago(seconds=5)), 0, NOW + timedelta(seconds=10)),
        (60, Use(50, ago(seconds=50)), Use(), 10, None),
        (60, Use(60, ago(seconds=50)), Use(), 0, NOW + timedelta(seconds=10)),
        (1, Use(), Use(), 1, None),
        (1, Use(1, ago(seconds=1)), Use(1, ago(seconds=1)), 0, NOW + timedelta(seconds=59)),
    ],
)
def test_a_minute_is_paced_in_slices(
    most: int, used: Use, lately: Use, left: int, until: datetime | None
) -> None:
    allowed = asked(measured(most, used=used, lately=lately))

    assert (allowed.messages, allowed.until) == (left, until)


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize(
    ("used", "lately", "left"),
    [
        (Use(), Use(), 500),
        (Use(200, ago(hours=3)), Use(), 300),
        (Use(500, ago(minutes=9)), Use(500, ago(minutes=9)), 0),
        (Use(500, ago(hours=2)), Use(), 63),
        (Use(563, ago(hours=2)), Use(63, ago(minutes=1)), 0),
        (Use(999, ago(hours=20)), Use(), 1),
        (Use(1000, ago(hours=20)), Use(), 0),
    ],
)
def test_half_a_day_leaves_at_once_and_the_rest_by_and_by(
    used: Use, lately: Use, left: int
) -> None:
    assert asked(measured(1000, DAY, used=used, lately=lately)).messages == left


@pytest.mark.rule("R5.14")
def test_a_mailing_never_uses_up_the_day_of_everybody_else() -> None:
    """Whoever comes in any hour of the day finds room within that hour."""
    sent: list[datetime] = []
    for hour in range(24):
        now = NOW + timedelta(hours=hour)
        recent = [at for at in sent if at > now - LENGTH[HOUR]]
        one = measured(
            1000,
            DAY,
            used=Use(len(sent), sent[0] if sent else None),
            lately=Use(len(recent), recent[0] if recent else None),
        )
        left = allowance([one], [], Turn(), now).messages
        assert left
        sent += [now] * left

    assert 900 < len(sent) < 1000


@pytest.mark.rule("R5.14")
def test_the_strictest_limit_decides_and_the_longest_tells_until_when() -> None:
    minute = measured(60, used=Use(60, ago(seconds=30)))
    day = measured(100, DAY, used=Use(100, ago(hours=3)))

    assert asked(minute, measured(100, DAY)).until == NOW + timedelta(seconds=30)
    both = asked(minute, day)
    assert both.until == NOW + timedelta(hours=21)
    assert both.because == day.limit


@pytest.mark.rule("R5.14")
def test_no_slice_of_a_minute_and_no_minute_sees_more_than_its_part() -> None:
    """A queue without end, asked every second: never more than the limit in any minute."""
    sent: list[datetime] = []
    for second in range(600):
        now = NOW + timedelta(seconds=second)
        minute = [at for at in sent if at > now - LENGTH[MINUTE]]
        slice_ = [at for at in sent if at > now - SLICE]
        one = measured(
            20,
            used=Use(len(minute), minute[0] if minute else None),
            lately=Use(len(slice_), slice_[0] if slice_ else None),
        )
        sent += [now] * (allowance([one], [], Turn(), now).messages or 0)

    assert 190 <= len(sent) <= 200
    for start in sent:
        assert sum(start <= at < start + LENGTH[MINUTE] for at in sent) <= 20
        assert sum(start <= at < start + SLICE for at in sent) <= 5


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize(
    ("used", "lately", "recipients", "largest"),
    [
        (Use(), Use(), 300, None),
        (Use(100, ago(hours=3)), Use(), 200, 500),
        (Use(400, ago(hours=3)), Use(), 25, 200),
        (Use(400, ago(hours=3)), Use(20, ago(minutes=2)), 5, 5),
    ],
)
def test_one_message_to_many_is_not_paced_out_for_good(
    used: Use, lately: Use, recipients: int, largest: int | None
) -> None:
    allowed = asked(measured(600, DAY, RECIPIENTS, used=used, lately=lately))

    assert (allowed.messages, allowed.recipients, allowed.largest) == (None, recipients, largest)


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize(
    ("turn", "share"),
    [(Turn(1, 0), 15), (Turn(2, 0), 8), (Turn(2, 1), 7), (Turn(30, 14), 1), (Turn(30, 15), 0)],
)
def test_mailboxes_share_the_limit_of_their_profile(turn: Turn, share: int) -> None:
    allowed = asked(measured(60, whose=ALL), turn=turn)

    assert allowed.messages == share
    assert allowed.until == (None if share else NOW + SLICE)


@pytest.mark.rule("R5.14")
def test_what_others_took_of_their_share_leaves_ours_whole() -> None:
    """15 in a slice, three mailboxes: each has its five, in whatever order they come."""
    others = Use(10, ago(seconds=1))
    one = Measured(Limit(ALL, MINUTE, MESSAGES, 60), others, others)
    ours = Measured(Limit(ALL, MINUTE, MESSAGES, 60), others, others, mine=5)

    assert asked(one, turn=Turn(3, 2)).messages == 5
    assert asked(ours, turn=Turn(3, 2)).messages == 0


def test_the_own_limit_of_a_mailbox_is_not_shared() -> None:
    assert asked(measured(60), turn=Turn(30, 15)).messages == 15


@pytest.mark.rule("R5.14")
def test_a_server_that_asks_for_silence_gets_it() -> None:
    hold = Hold(NOW + timedelta(minutes=7), HOUR)

    allowed = asked(measured(60), holds=(hold,))

    assert (allowed.messages, allowed.until, allowed.because) == (0, hold.until, hold)
    assert asked(measured(60), holds=(Hold(NOW, HOUR),)).messages == 15


# -- learning


def lesson(window: Window, used: int, before: Lesson | None = None, **more: object) -> Lesson:
    values = {"now": NOW, "counted": MESSAGES} | more
    return learn(before, window=window, used=used, **values)  # type: ignore[arg-type]


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize(
    ("window", "used", "most"),
    [(MINUTE, 40, 20), (MINUTE, 1, 1), (HOUR, 150, 150), (DAY, 2000, 2000), (DAY, 0, None)],
)
def test_what_the_server_took_before_it_refused_is_the_limit(
    window: Window, used: int, most: int | None
) -> None:
    assert lesson(window, used).most == most


@pytest.mark.rule("R5.14")
def test_each_refusal_asks_for_a_longer_silence() -> None:
    first = lesson(MINUTE, 40)
    second = lesson(MINUTE, 20, first)
    third = lesson(MINUTE, 20, second)

    pauses = [each.hold_until - NOW for each in (first, second, third)]
    assert pauses == [timedelta(minutes=minutes) for minutes in (1, 2, 4)]
    for _again in range(20):
        third = lesson(MINUTE, 20, third)
    assert third.hold_until - NOW == GROWTH[MINUTE].longest


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize(
    ("hint", "pause"),
    [
        (None, timedelta(minutes=1)),
        (5.0, timedelta(minutes=1)),
        (600.0, timedelta(minutes=10)),
        (9_999_999.0, timedelta(days=1)),
    ],
)
def test_the_servers_own_word_counts_if_it_is_longer(hint: float | None, pause: timedelta) -> None:
    assert lesson(MINUTE, 40, hint_seconds=hint).hold_until - NOW == pause


@pytest.mark.rule("R5.14")
def test_a_second_refusal_lowers_the_limit_and_never_raises_it() -> None:
    first = lesson(MINUTE, 40)

    assert lesson(MINUTE, 20, first).most == 10
    assert lesson(MINUTE, 400, first).most == 20


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize(
    ("window", "after", "most"),
    [
        (MINUTE, timedelta(), 10),
        (MINUTE, timedelta(hours=1), 20),
        (MINUTE, timedelta(hours=2), 40),
        (DAY, timedelta(days=1), 20),
    ],
)
def test_a_learned_limit_decays(window: Window, after: timedelta, most: int) -> None:
    learned = Lesson(window, MESSAGES, 10, NOW, NOW)

    assert grown(learned, NOW + after) == most


@pytest.mark.rule("R5.14")
@pytest.mark.parametrize("window", Window)
def test_a_learned_limit_is_forgotten(window: Window) -> None:
    learned = Lesson(window, MESSAGES, 10, NOW, NOW + timedelta(hours=1))
    kept = GROWTH[window].kept

    assert not is_forgotten(learned, NOW + kept - timedelta(seconds=1))
    assert is_forgotten(learned, NOW + kept)
    assert is_forgotten(learned, NOW - kept)  # the clock was set back
    assert taught([(MINE, learned)], NOW + kept) == ([], [])
    again = learn(learned, window=window, counted=MESSAGES, used=400, now=NOW + kept)
    assert again.refusals == 1


def test_what_was_taught_holds_and_is_silent_as_long_as_asked() -> None:
    learned = Lesson(DAY, MESSAGES, 10, NOW, NOW + timedelta(hours=1))

    assert taught([(ALL, learned)], NOW) == (
        [Limit(ALL, DAY, MESSAGES, 10, learned=True)],
        [Hold(NOW + timedelta(hours=1), DAY)],
    )
    assert taught([(ALL, learned)], NOW + timedelta(hours=1))[1] == []


def test_an_account_that_others_used_up_teaches_silence_only() -> None:
    learned = lesson(DAY, 0)

    limits, holds = taught([(MINE, learned)], NOW)
    assert (limits, len(holds)) == ([], 1)
    assert lesson(DAY, 0, lesson(DAY, 50)).most == 50


def test_of_two_limits_of_a_kind_the_lower_one_holds() -> None:
    limits = [Limit(MINE, DAY, MESSAGES, 50), Limit(MINE, DAY, MESSAGES, 20, learned=True)]

    assert strictest([*limits, Limit(ALL, DAY, MESSAGES, 30)]) == [
        limits[1],
        Limit(ALL, DAY, MESSAGES, 30),
    ]
