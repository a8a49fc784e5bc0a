"""Which mailboxes are quieter than usual: single decisions, and a year of made-up mail."""

import math
import random
from itertools import accumulate

import pytest

from serversync.silence import Window, silences

BUSY = (40, 38, 45, 41)
HOURS, WEEK = (6, 12, 24), 168


def window(seen=0, before=BUSY, hours=24) -> Window:
    return Window(hours, seen, before)


@pytest.mark.parametrize(
    ("seen", "before", "silent"),
    [
        (0, BUSY, True),
        (4, BUSY, True),
        (12, BUSY, False),  # little, and not nothing
        (0, (9, 10, 12, 9), False),  # chance
        (0, (40, 38, 45), False),  # known for three weeks only
        (0, (40, 38, 45, 0), False),  # it was so before
        (0, (16, 200, 18, 90), False),  # never alike, so nothing is usual
        (0, (20, 16, 20, 400), True),  # one flood doesn't hide it
        (0, (), False),
    ],
)
def test_a_window_is_silent_if_what_always_came_does_not(seen, before, silent):
    assert window(seen, before).is_silent is silent


def test_the_shortest_window_that_tells_is_told():
    windows = [window(0, (3, 4, 2, 3), 6), window(2, BUSY, 12), window(3, (80, 80, 80, 80), 24)]
    silence = silences({"p": {"a": windows}}).mailboxes["a"]
    assert (silence.hours, silence.seen, silence.usual) == (12, 2, 40)


def test_one_mailbox_alone_is_told_by_itself_while_its_neighbours_get_theirs():
    verdict = silences({"p": {"a": [window()], "b": [window(39)], "c": [window(5, (6, 5, 7, 6))]}})
    assert set(verdict.mailboxes) == {"a"} and not verdict.profiles


def test_if_all_of_a_profile_are_quiet_it_is_one_alert_of_the_profile():
    verdict = silences({"p": {"a": [window()], "b": [window(1)], "c": [window(1, (6, 5, 7, 6))]}})
    assert not verdict.mailboxes
    assert (verdict.profiles["p"].mailboxes, verdict.profiles["p"].usual) == (2, 81)


def test_neighbours_with_too_little_mail_to_be_silent_themselves_are_heard_together():
    small = [window(0, (5, 6, 5, 5))]
    verdict = silences({"p": {"a": [window()], "b": small, "c": small, "d": small}})
    assert not verdict.mailboxes and set(verdict.profiles) == {"p"}


def test_a_mailbox_without_neighbours_is_compared_with_the_rest_of_the_site():
    site = {"p": {"a": [window()]}, "q": {"b": [window(2)], "c": [window(2)]}}
    assert set(silences(site).profiles) == {"p", "q"}
    site["q"] = {"b": [window(41)], "c": [window(40)]}
    assert set(silences(site).mailboxes) == {"a"}


def test_the_only_mailbox_of_a_site_is_believed():
    assert set(silences({"p": {"a": [window()]}}).mailboxes) == {"a"}


# -- a year

OF_DAY = (2, 1, 1, 1, 2, 4, 8, 15, 25, 30, 30, 26, 18, 24, 28, 26, 22, 16, 10, 7, 5, 4, 3, 2)
OF_WEEK = (1.1, 1.05, 1.0, 1.0, 0.9, 0.15, 0.12)
RATES = {"p": (120, 60, 30, 15), "q": (300, 90, 40), "r": (50,)}  # messages a day
DAYS, START = 364 + 35, 35


def made_year(seed: int) -> dict[tuple[str, int], list[int]]:
    """Hourly counts: nights, weekends, growth, days that differ, and ten holidays."""
    chance = random.Random(seed)
    holidays = set(chance.sample(range(START, DAYS), 10))
    year = {}
    for profile, rates in RATES.items():
        for number, rate in enumerate(rates):
            hours = []
            for day in range(DAYS):
                factor = OF_WEEK[day % 7] * math.exp(chance.gauss(-0.06, 0.35)) * (1 + day / 1_200)
                factor *= 0.08 if day in holidays else 1
                hours += [_poisson(chance, rate * factor * part / 310) for part in OF_DAY]
            year[profile, number] = hours
    return year


def _poisson(chance: random.Random, mean: float) -> int:
    if mean > 12:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        count, product = count + 1, product * chance.random()
    return count


def windows_at(hour: int, sums: list[int]) -> list[Window]:
    found = []
    for hours, end in (*((hours, hour) for hours in HOURS), (WEEK, hour // 24 * 24)):
        counts = [sums[end - WEEK * ago] - sums[end - WEEK * ago - hours] for ago in range(5)]
        found.append(Window(hours, counts[0], tuple(counts[1:])))
    return found


def alarms(year, begin: int, end: int, step: int) -> list[tuple[int, tuple[str, int]]]:
    """When which mailbox was told of anew."""
    sums = {key: [0, *accumulate(hours)] for key, hours in year.items()}
    told, open_ones = [], set()
    for hour in range(begin, end, step):
        site: dict = {}
        for key, counted in sums.items():
            site.setdefault(key[0], {})[key] = windows_at(hour, counted)
        silent = set(silences(site).mailboxes)
        told += [(hour, key) for key in silent - open_ones]
        open_ones = silent
    return told


@pytest.mark.parametrize("seed", [1, 2])
def test_a_year_without_silence_gives_far_less_than_an_alarm_a_mailbox_and_month(seed):
    year = made_year(seed)
    told = alarms(year, START * 24, DAYS * 24, 12)
    assert len(told) / (12 * len(year)) < 0.1


@pytest.mark.parametrize("key", [("p", 0), ("p", 2), ("p", 3), ("q", 0), ("q", 2), ("r", 0)])
def test_a_silence_that_was_put_in_is_found_within_ten_days_and_sooner_where_there_is_much_mail(
    key,
):
    year = made_year(3)
    begin, most = 200 * 24 + 15, 24 * 10
    year[key] = [0 if begin <= at < begin + most else n for at, n in enumerate(year[key])]

    told = [hour - begin for hour, who in alarms(year, begin, begin + most, 2) if who == key]

    assert told
    rate = RATES[key[0]][key[1]]
    assert told[0] <= (48 if rate >= 100 else 120 if rate >= 30 else most)
